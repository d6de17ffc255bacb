"""`pleo-connector doctor`: is everything in place? Each line ok, warn or fail, with what to do."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from pleo_connector.catalogue import CATALOGUE, Stream
from pleo_connector.cli.findings import Finding, Verdict, fine, worth_a_look, wrong
from pleo_connector.cli.inputs import ConnectionOption, output_of, settings_in_use, stream_names
from pleo_connector.cli.output import Output, table
from pleo_connector.errors import ConfigurationError, PleoError

if TYPE_CHECKING:
    from pleo_connector.settings import Settings

_STYLES = {Verdict.OK: "green", Verdict.WARN: "yellow", Verdict.FAIL: "bold red"}


def doctor(
    ctx: typer.Context,
    streams: Annotated[
        list[str] | None,
        typer.Argument(metavar="STREAM", autocompletion=stream_names, help="Ask Pleo for these streams alone; `streams` lists them."),
    ] = None,
    connection: ConnectionOption = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Check that everything is in place.

    Settings, Pleo's hosts, credentials, scopes, one record of each stream, and the warehouse; exit code 1 when something would fail.
    """
    output = output_of(ctx, json)
    wanted = [CATALOGUE.stream(name) for name in streams or ()] or list(CATALOGUE)
    found: list[Finding] = []
    try:
        settings = settings_in_use(output, warn=False, connection=connection)
    except ConfigurationError as error:
        found.append(wrong("settings", str(error)))
    else:
        found += _all(settings, output, wanted)
    output.answer({"checks": [asdict(finding) for finding in found]})
    if not output.json:
        listing = table("", "check", "found", fold=["found"])
        for finding in found:
            told = f"{finding.found}{f' -> {finding.advice}' if finding.advice else ''}"
            listing.add_row(finding.verdict.value, finding.check, output.scrub(told), style=_STYLES[finding.verdict])
        output.print(listing)
    failed = [finding for finding in found if finding.verdict is Verdict.FAIL]
    if failed:
        count = "1 check fails" if len(failed) == 1 else f"{len(failed)} checks fail"
        raise PleoError(f"{count}: {', '.join(finding.check for finding in failed)}; each says what to do.")


def _all(settings: Settings, output: Output, streams: Sequence[Stream]) -> Iterator[Finding]:
    from pleo_connector.cli.doctor_local import (  # noqa: PLC0415 - pandas and duckdb
        check_categories,
        check_environment,
        check_settings,
        check_versions,
        check_warehouse,
    )
    from pleo_connector.cli.doctor_online import check_access, check_hosts, check_scopes  # noqa: PLC0415
    from pleo_connector.cli.doctor_portal import check_portal  # noqa: PLC0415
    from pleo_connector.cli.doctor_redirect import check_redirect  # noqa: PLC0415

    yield check_versions()
    yield from check_settings(settings, output.environ)
    yield from check_environment(settings)
    yield from check_redirect(settings)
    yield from check_portal(settings)
    scopes: list[str] = []
    online = [*check_hosts(settings), *_check_connection(settings, scopes)]
    yield from online
    if scopes:
        yield from check_scopes(settings, scopes, streams)
    if not any(finding.verdict is Verdict.FAIL for finding in online):
        yield from check_access(settings, scopes, streams)
    yield from check_warehouse(settings)
    yield from check_categories(settings)


def _check_connection(settings: Settings, scopes: list[str]) -> Iterator[Finding]:
    """The stored credential; `scopes` receives what it grants."""
    from pleo_connector.auth import status  # noqa: PLC0415
    from pleo_connector.cli.doctor_rotation import check_rotation  # noqa: PLC0415
    from pleo_connector.cli.status import USABLE, needs_connect  # noqa: PLC0415

    try:
        settings.require_credentials()
        told = status(settings, online=settings.uses_api_key)
    except PleoError as error:
        yield wrong("credential", str(error))
        return
    if told.state == "api key":
        scopes += told.scopes
        if told.online_active is None:
            yield worth_a_look("credential", "an API key; Pleo did not say whether it is good", "try later")
        else:
            yield fine("credential", "an API key that Pleo takes") if told.online_active else wrong("credential", told.reason)
        return
    if told.store_place:
        place = f"{told.store_kind}, {told.store_place}{f', {told.store_permissions}' if told.store_permissions else ''}"
        yield _writable(settings, place)
    if told.installation is not None and told.state != "stale":
        yield (worth_a_look if told.installation_fault else fine)("installation", told.installation)
    if told.state not in USABLE:
        advice = needs_connect(told)
        if told.others:
            advice += f" This store holds {' and '.join(told.others)}: perhaps PLEO_ENVIRONMENT, PLEO_CLIENT_ID or PLEO_CONNECTION is not the one meant."
        yield wrong("credential", told.state.replace("_", " "), advice)
        return
    yield from check_rotation(told)
    scopes += told.scopes
    if not scopes:
        yield worth_a_look("scopes", "Pleo did not say which scopes it granted")
    yield fine(
        "credential",
        f"{told.connection} is {told.state}; access token {'expired' if told.access_expired else 'until'} {told.access_expires_at}",
    )


def _writable(settings: Settings, place: str) -> Finding:
    from pleo_connector.auth.stores import open_store  # noqa: PLC0415

    try:
        open_store(settings.token_store, settings.host_marks).store.prove_writable()
    except PleoError as error:
        return wrong("token store", str(error))
    return fine("token store", f"{place}, can be written")
