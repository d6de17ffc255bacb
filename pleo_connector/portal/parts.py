"""The portal's parts, put together from settings once per process."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pleo_connector.auth.stores import OpenedStore, open_store
from pleo_connector.errors import ConfigurationError
from pleo_connector.portal.attempts import Attempts
from pleo_connector.portal.connecting import Connecting
from pleo_connector.portal.facts import Facts
from pleo_connector.portal.invitations import Invitations
from pleo_connector.portal.pages import Pages
from pleo_connector.portal.place import Place, place_of
from pleo_connector.portal.postgres_facts import PostgresFacts
from pleo_connector.portal.sessions import Sessions
from pleo_connector.portal.sqlite_facts import SqliteFacts
from pleo_connector.portal.visitors import Visitors
from pleo_connector.settings import Settings


@dataclass(frozen=True, slots=True)
class Parts:
    """What handlers work with."""

    settings: Settings
    place: Place
    opened: OpenedStore
    invitations: Invitations
    visitors: Visitors
    attempts: Attempts
    sessions: Sessions
    connecting: Connecting
    pages: Pages


def parts_of(settings: Settings, *, clock: Callable[[], float] = time.time, **injectables: Any) -> Parts:
    """All parts; ConfigurationError when the portal is not set up."""
    place = place_of(settings)
    opened = open_store(settings.token_store, settings.host_marks)
    facts = facts_beside(opened, settings, clock)
    secret = settings.portal_secret.get_secret_value()
    return Parts(
        settings=settings,
        place=place,
        opened=opened,
        invitations=Invitations(facts, secret, place, clock=clock),
        visitors=Visitors(secret),
        attempts=Attempts(facts, secret, settings.issuer),
        sessions=Sessions(facts, secret, settings.portal_password.get_secret_value()),
        connecting=Connecting(settings, opened, **injectables),
        pages=Pages(place, settings.portal_name),
    )


def facts_beside(opened: OpenedStore, settings: Settings, clock: Callable[[], float] = time.time) -> Facts:
    """The facts that belong to a token store: as many hosts as share the one share the other."""
    if opened.kind == "postgresql":
        return PostgresFacts(settings.token_store)
    if opened.key_file is None:
        raise ConfigurationError(f"The portal keeps its facts beside an SQLite or PostgreSQL token store, and this one is {opened.kind}.")
    return SqliteFacts(opened.key_file.with_suffix(".portal"), clock=clock)
