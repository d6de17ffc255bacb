from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from typer.testing import CliRunner

from pleo_connector import auth
from pleo_connector.cli.app import app
from pleo_connector.errors import PleoError, ReauthRequired, RefreshUnavailable
from pleo_connector.sandbox import Fault
from tests.auth.harness import Pleo, pleo


def test_before_during_and_after(unconnected: Pleo) -> None:
    settings = unconnected.settings
    assert auth.status(settings).state == "not connected"
    assert auth.disconnect(settings) == "Nothing is connected as sandbox/sandbox-client."
    unconnected.connect()
    unconnected.sandbox.state.reset_counters()
    active = auth.status(settings)
    assert (active.state, active.generation, active.access_expired) == ("active", 1, False)
    assert active.store_permissions == "0600" and active.store_kind == "sqlite" and len(active.key_id or "") == 8
    assert "companies:read" in active.scopes and active.last_refresh is not None and active.online_active is None
    assert unconnected.counted("requests") == 0
    sentence = auth.disconnect(settings)
    assert "forgotten here" in sentence and "no way to revoke" in sentence
    assert auth.status(settings).state == "disconnected"
    assert auth.disconnect(settings) == "Nothing is connected as sandbox/sandbox-client."


def test_it_never_refreshes(connected: Pleo) -> None:
    late = auth.status(connected.settings, clock=lambda: time.time() + 10_000)
    assert late.state == "active" and late.access_expired
    assert connected.counted("token_requests") == 0


def test_online_asks_once(connected: Pleo) -> None:
    online = auth.status(connected.settings, online=True)
    assert online.online_active is True and (online.subject or "").startswith("urn:pleo:")
    connected.sandbox.state.expire_access_tokens()
    assert auth.status(connected.settings, online=True).online_active is False
    assert connected.counted("token_requests") == 0


def test_online_asks_about_an_api_key(unconnected: Pleo) -> None:
    right, wrong = (unconnected.with_(PLEO_API_KEY=key) for key in ("sandbox-api-key", "not-the-key"))
    assert auth.status(right).online_active is None and unconnected.counted("requests") == 0
    told = auth.status(right, online=True)
    assert told.online_active is True and "accounting-entries:read" in told.scopes and (told.subject or "").startswith("urn:pleo:")
    refused = auth.status(wrong, online=True)
    assert refused.online_active is False and refused.scopes == () and "Pleo refused the API key" in refused.reason
    unconnected.sandbox.state.set_faults(Fault("status", path="/v1/introspect", status=503))
    assert auth.status(wrong, online=True).online_active is None, "nobody said that it is wrong"
    assert not Path(unconnected.environ["PLEO_TOKEN_STORE"]).exists()


def test_an_open_refresh_shows_its_owner(connected: Pleo) -> None:
    connected.sandbox.state.set_faults(Fault("reset", path="/"))
    with pytest.raises(RefreshUnavailable):
        connected.manager(sleep=lambda _: None).refresh()
    shown = auth.status(connected.settings)
    assert shown.state == "refreshing" and "pid=" in shown.reason


def test_it_is_plain_json_without_secrets(connected: Pleo) -> None:
    text = json.dumps(auth.status(connected.settings, online=True).to_json())
    tokens = connected.manager().tokens()
    for secret in (tokens.access.reveal(), tokens.refresh.reveal(), connected.settings.client_secret.get_secret_value()):
        assert secret not in text


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = "import sys, pleo_connector.auth; print([m for m in ('httpx', 'authlib', 'cryptography', 'sqlite3') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_where_introspection_does_not_tell_a_cheap_read_does(connected: Pleo) -> None:
    connected.sandbox.state.set_faults(Fault("status", path="/oauth/token/introspect", status=404))
    assert auth.status(connected.settings, online=True).online_active is True
    connected.sandbox.state.revoke_grants()
    assert auth.status(connected.settings, online=True).online_active is False
    connected.sandbox.state.set_faults(
        Fault("status", path="/oauth/token/introspect", status=404), Fault("status", path="/v1/introspect", status=503)
    )
    assert auth.status(connected.settings, online=True).online_active is None
    told = CliRunner().invoke(app, ["status", "--online"], env=connected.environ)
    assert told.exit_code == 0 and "Pleo did not answer" in " ".join(told.output.split())


def test_pleo_is_not_asked_about_a_grant_that_is_gone(connected: Pleo) -> None:
    connected.sandbox.state.revoke_grants()
    with pytest.raises(ReauthRequired):
        connected.manager().refresh()
    connected.sandbox.state.reset_counters()
    told = auth.status(connected.settings, online=True)
    assert (told.state, told.online_active) == ("reauth_required", None)
    assert connected.sandbox.counters()["by_path"] == {}


# --- what "inactive" is worth -------------------------------------------------------------------


@pytest.fixture
def not_told(tmp_path: Path) -> Iterator[Pleo]:
    """The authorisation server calls every token inactive: this client may not introspect."""
    with pleo(tmp_path, may_introspect=False, requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        yield found


def online(found: Pleo) -> tuple[int, bool | None]:
    ended = CliRunner().invoke(app, ["status", "--online"], env=found.environ)
    return type(ended.exception).exit_code if isinstance(ended.exception, PleoError) else ended.exit_code, shown_as_live(ended.output)


def shown_as_live(output: str) -> bool | None:
    (line,) = [line for line in output.splitlines() if "live at Pleo" in line] or [""]
    return {"yes": True, "no": False}.get(line.rpartition(" Pleo ")[2].strip(" \u2502"))


def test_inactive_is_no_alarm_while_the_api_works(not_told: Pleo) -> None:
    assert online(not_told) == (0, True)
    not_told.sandbox.state.set_faults(Fault("status", path="/v1/introspect", status=401, times=1))
    assert online(not_told) == (0, True), "a single 401 is no refusal"
    not_told.sandbox.state.set_faults(Fault("status", path="/v1/introspect", status=503))
    assert online(not_told) == (0, None), "nobody confirms it"
    not_told.sandbox.state.set_faults()
    not_told.sandbox.state.revoke_grants()
    assert online(not_told) == (3, False)
    assert not_told.counted("token_requests") == 0


def test_doctor_says_nothing_of_inactive_tokens(not_told: Pleo) -> None:
    told = CliRunner().invoke(app, ["doctor"], env=not_told.environ)
    (line,) = [line for line in told.output.splitlines() if f"{not_told.settings.connection} is active" in line]
    assert "ok" in line and "credential" in line


def test_tokens_that_another_process_replaces_meanwhile_are_no_alarm(connected: Pleo) -> None:
    class Overtaken(httpx.BaseTransport):
        """Another process refreshes before the first question arrives."""

        def __init__(self) -> None:
            self.behind = httpx.HTTPTransport()
            self.asked = 0

        def handle_request(self, request: httpx.Request) -> httpx.Response:
            self.asked += 1
            if self.asked == 1:
                connected.manager().refresh()
            return self.behind.handle_request(request)

    told = auth.status(connected.settings, online=True, transport=Overtaken())
    assert (told.online_active, told.generation) == (True, 2)


def test_a_lost_refresh_is_not_called_lost_because_of_inactive_alone(connected: Pleo) -> None:
    """At the login the client might introspect; it may no longer. The API says that nothing was rotated."""
    assert connected.manager().tokens().introspects_refresh
    connected.sandbox.state.may_introspect = False
    try:
        connected.sandbox.state.set_faults(
            Fault("reset", path="/oauth/token$", times=1), Fault("status", path="/v1/introspect", status=401, times=1)
        )
        connected.manager().refresh()
    finally:
        connected.sandbox.state.may_introspect = True
    assert connected.counted("refreshes") == 1 and connected.counted("reuse") == 0
