"""Checks of `doctor` that ask Pleo: is it there, does its clock agree, what does the credential cover."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx

from pleo_connector.auth.advice import how_to_connect
from pleo_connector.auth.granted import stream_access
from pleo_connector.catalogue import CATALOGUE, Stream
from pleo_connector.cli.findings import Finding, fine, worth_a_look, wrong
from pleo_connector.errors import CertificateRefused, ConfigurationError, PleoError
from pleo_connector.proxies import route, through
from pleo_connector.settings import Settings
from pleo_connector.tls import certificate_refused, checking

_SKEW_WORTH_A_LOOK, _SKEW_WRONG = 30.0, 300.0
"""Seconds: tokens are refreshed 15 s or more before they expire, so half a minute begins to matter."""


def check_hosts(settings: Settings, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Iterator[Finding]:
    """Whether API and authorisation server answer at all, and how far their clock is from ours."""
    addresses = (
        ("API", "PLEO_API_URL", f"{settings.api_url}/v1/introspect"),
        ("authorisation server", "PLEO_AUTH_URL", f"{settings.auth_url}/oauth/authorize"),
    )
    for name, variable, address in addresses:
        try:
            answer = _ask(address, settings.proxy)
        except (CertificateRefused, ConfigurationError) as error:
            yield wrong(name, str(error))
            continue
        except httpx.HTTPError as error:
            proxied = through(settings.proxy, address)
            advice = f"check {'PLEO_PROXY, ' if proxied else ''}{variable}, PLEO_ENVIRONMENT and the network"
            if settings.environment == "sandbox":
                advice += "; `pleo-connector sandbox` starts the local Pleo"
            yield wrong(name, f"no answer from {address}{proxied} ({str(error) or type(error).__name__})", advice)
            continue
        if answer.is_server_error:
            yield worth_a_look(name, f"{address} answers {answer.status_code}", "Pleo may have a fault now; try later")
        else:
            yield fine(
                name,
                f"answers at {address.removesuffix('/v1/introspect').removesuffix('/oauth/authorize')}{through(settings.proxy, address)}",
            )
        if "Date" in answer.headers:
            yield _skew(name, answer.headers["Date"], now())


def _ask(address: str, proxy: str) -> httpx.Response:
    with httpx.Client(
        timeout=10.0,
        follow_redirects=False,
        headers={"User-Agent": "pleo-connector"},
        verify=checking(address),
        **route(proxy, address),
    ) as client:
        try:
            return client.get(address)
        except httpx.ConnectError as error:
            if (refused := certificate_refused(error, address)) is not None:
                raise refused from None
            raise


def _skew(name: str, header: str, now: datetime) -> Finding:
    check = f"clock against the {name}"
    try:
        seconds = (now - parsedate_to_datetime(header)).total_seconds()
    except (ValueError, TypeError):
        return worth_a_look(check, "its Date header is no date")
    told = f"this machine is {abs(seconds):.0f} s {'ahead' if seconds > 0 else 'behind'}"
    if abs(seconds) < _SKEW_WORTH_A_LOOK:
        return fine(check, told)
    advice = "set this machine's clock (NTP): expiry of tokens is judged by it"
    return worth_a_look(check, told, advice) if abs(seconds) < _SKEW_WRONG else wrong(check, told, advice)


def check_scopes(settings: Settings, granted: Iterable[str], streams: Iterable[Stream] = CATALOGUE) -> Iterator[Finding]:
    """Which streams the granted scopes allow; wrong is only one that was asked for and not granted. An API key has scopes that nobody asks for here."""
    add = f"add it to PLEO_SCOPES (it must be registered at Pleo) and {how_to_connect(settings.connection)}"
    for access in stream_access(granted, () if settings.uses_api_key else settings.scopes.split(), streams):
        check, out = f"scope for {access.stream}", f"leave {access.stream} out of `sync`"
        if access.granted:
            yield fine(check, access.scope or "none is needed")
        elif settings.uses_api_key:
            yield worth_a_look(check, f"the API key has no {access.scope}", f"make a key in Pleo that has it, or {out}")
        elif access.asked:
            again = f"let Pleo register it for the client and {how_to_connect(settings.connection)}"
            yield wrong(check, f"{access.scope} was asked for and not granted", f"{again}, or take it out of PLEO_SCOPES and {out}")
        else:
            yield worth_a_look(check, access.why_not, f"{add}, or {out}")


def check_access(settings: Settings, granted: Iterable[str], streams: Iterable[Stream]) -> Iterator[Finding]:
    """Whether Pleo serves one record of each stream whose scope is granted, or not known: a scope alone does not say so."""
    from pleo_connector.sync import connection_from_settings  # noqa: PLC0415 - pandas and duckdb load here
    from pleo_connector.sync.probing import probe  # noqa: PLC0415

    scopes = list(granted)
    wanted = [access.stream for access in stream_access(scopes, (), streams) if access.granted or not scopes]
    try:
        answers = probe(connection_from_settings(settings), wanted)
    except PleoError as error:
        yield wrong("credential", str(error))
        return
    for answer in answers:
        check = f"access to {answer.stream}"
        if answer.error is not None:
            yield wrong(check, answer.summary)
        else:
            yield (worth_a_look if answer.open else fine)(check, answer.summary)
