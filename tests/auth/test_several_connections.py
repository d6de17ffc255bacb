"""Connections side by side in one store: each with its own grant."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from pleo_connector import auth
from pleo_connector.auth.stores import open_store
from pleo_connector.errors import ConfigurationError, PleoUnavailable, ReauthRequired, TokenStoreCorrupt, WrongKey
from pleo_connector.sandbox import Fault
from tests.auth.harness import Pleo


def test_each_label_has_a_grant_of_its_own(connected: Pleo) -> None:
    acme, beta = connected.with_(PLEO_CONNECTION="acme"), connected.with_(PLEO_CONNECTION="beta")
    with pytest.raises(ReauthRequired, match="connect --connection acme`"):
        connected.manager(acme).access_token()
    assert connected.connect(acme).connection == "sandbox/sandbox-client/acme"
    connected.connect(beta)
    tokens = {connected.manager(settings).tokens().access for settings in (connected.settings, acme, beta)}
    assert len(tokens) == 3
    connected.manager(acme).refresh()
    assert [auth.status(settings).generation for settings in (connected.settings, acme, beta)] == [1, 2, 1]
    assert auth.status(acme).others == ("sandbox/sandbox-client", "sandbox/sandbox-client/beta")
    auth.disconnect(beta)
    assert auth.status(acme).others == ("sandbox/sandbox-client",)
    assert auth.status(beta).state == "disconnected" and auth.status(acme).state == "active"


def test_tokens_of_one_label_do_not_open_as_anothers(connected: Pleo) -> None:
    store = open_store(connected.environ["PLEO_TOKEN_STORE"]).store
    acme = connected.with_(PLEO_CONNECTION="acme")
    store.replace(acme.connection, connected.record().blob or b"")
    with pytest.raises(TokenStoreCorrupt, match="belong to another connection"):
        connected.manager(acme).access_token()


def test_what_a_person_is_told_to_do_is_about_the_same_connection(connected: Pleo, tmp_path: Path) -> None:
    """A command without the label is about another customer's connection."""
    acme = connected.with_(PLEO_CONNECTION="acme")
    connected.connect(acme)
    told = []
    with pytest.raises(WrongKey) as wrong_key:
        connected.manager(connected.with_(PLEO_CONNECTION="acme", PLEO_TOKEN_KEYS=Fernet.generate_key().decode())).access_token()
    told.append(str(wrong_key.value))
    (key,) = (tmp_path / "state").glob("*.key")
    moved = key.rename(tmp_path / "key")
    with pytest.raises(WrongKey) as no_key:
        connected.manager(acme).access_token()
    told.append(str(no_key.value))
    assert all("disconnect --connection acme` and then `pleo-connector connect --connection acme`" in one for one in told), told
    moved.rename(key)

    connected.sandbox.state.set_faults(Fault("status", path="/v1/installations/me", status=503))
    with pytest.raises(PleoUnavailable, match="run `pleo-connector disconnect --connection acme`"):
        auth.disconnect(acme, uninstall=True)
    connected.sandbox.state.set_faults(Fault("status", path="/v1/companies", status=401))
    with connected.client(acme) as client, pytest.raises(ReauthRequired, match="connect --connection acme`"):
        client.get("/v1/companies")
    with pytest.raises(ReauthRequired, match=r"PLEO_AUTH_URL is now .* run `pleo-connector connect --connection acme`"):
        connected.manager(acme.model_copy(update={"auth_url": "http://localhost:1"})).access_token()
    store = open_store(connected.environ["PLEO_TOKEN_STORE"]).store
    store.replace(acme.connection, connected.record().blob or b"")
    with pytest.raises(TokenStoreCorrupt, match="run `pleo-connector connect --connection acme`"):
        connected.manager(acme).access_token()


@pytest.mark.parametrize("label", ["Acme", "a b", "a/b", "-a", "x" * 41])
def test_a_label_is_a_plain_word(connected: Pleo, label: str) -> None:
    with pytest.raises(ConfigurationError, match="PLEO_CONNECTION"):
        connected.with_(PLEO_CONNECTION=label)


# --- uninstalling ----------------------------------------------------------------------------


def test_uninstalling_ends_the_grant_at_pleo(connected: Pleo) -> None:
    connected.sandbox.state.expire_access_tokens()
    assert "uninstalled at Pleo" in auth.disconnect(connected.settings, uninstall=True)
    assert connected.sandbox.counters()["live_grants"] == 0 and connected.counted("reuse") == 0
    assert auth.status(connected.settings).state == "disconnected"


def test_what_pleo_does_not_uninstall_is_not_forgotten(connected: Pleo) -> None:
    connected.sandbox.state.set_faults(Fault("status", path="/v1/installations/me", status=503))
    with pytest.raises(PleoUnavailable, match="nothing was forgotten"):
        auth.disconnect(connected.settings, uninstall=True)
    assert auth.status(connected.settings).state == "active" and connected.counted("revoked_grants") == 0


def test_without_the_option_nothing_is_asked_of_pleo(connected: Pleo) -> None:
    auth.disconnect(connected.settings)
    assert connected.counted("requests") == 0
