"""The canary: do everything with all logging on, without the redactor, and look for live secrets everywhere.

What is secret is taken from the wire, as it was sent: authorisation codes, PKCE verifiers, client secrets, API keys,
access and refresh tokens.
"""

from __future__ import annotations

import base64
import contextlib
import logging
import os
import pickle
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, quote_plus, unquote_plus

import httpx
import pytest

from pleo_connector import auth
from pleo_connector.auth.answers import Granted
from pleo_connector.auth.client_auth import ClientCredentials
from pleo_connector.auth.connection import credentials_of
from pleo_connector.auth.key_sources import KeySource, source_of
from pleo_connector.auth.keys import KeyRing
from pleo_connector.auth.redirect import AuthorizationRequest
from pleo_connector.auth.stores import open_store
from pleo_connector.errors import PleoError
from pleo_connector.sandbox import API_KEY, CLIENT_ID, Fault
from pleo_connector.settings import ClientAuth, load
from pleo_connector.sync import connection_from_settings
from pleo_connector.warehouses import open_warehouse
from tests.auth.harness import Pleo, in_thread, pleo, visit

CLIENT_SECRET = "canary-client-secret/with+odd=chars"
WRONG_SECRET = "canary-wrong-secret/with+odd=chars"
WRONG_KEY = "canary-wrong-api-key/with+odd=chars"
PASSWORD = "canary-password"


class Wire(httpx.BaseTransport):
    """Sends requests, and notes every secret in them and in the answers, by what it is."""

    def __init__(self) -> None:
        self._sent = httpx.HTTPTransport()
        self.secrets: dict[str, set[str]] = {}

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        scheme, _, value = request.headers.get("Authorization", "").partition(" ")
        if scheme == "Bearer":
            self._note("access_token", value)
        elif scheme == "Basic":
            user, _, password = base64.b64decode(value).decode().partition(":")
            self._note(*(("client_secret", unquote_plus(password)) if password else ("api_key", user)))
            self._note("basic_header", value)
        form = parse_qs(request.read().decode())
        for name in ("code", "code_verifier", "client_secret", "refresh_token"):
            self._note(name, *form.get(name, ()))
        response = self._sent.handle_request(request)
        with contextlib.suppress(ValueError, httpx.HTTPError):
            answer = httpx.Response(response.status_code, content=response.read()).json()
            for name in ("access_token", "refresh_token"):
                self._note(name, *([answer[name]] if isinstance(answer, dict) and name in answer else []))
        return response

    def _note(self, what: str, *values: str) -> None:
        self.secrets.setdefault(what, set()).update(values)


class Collected(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if record.threadName != "browser":  # that thread plays the person, whose address bar does show the code
            self.lines.append(self.format(record))


@contextlib.contextmanager
def all_logging() -> Iterator[list[str]]:
    """Every line of every logger, at DEBUG."""
    handler, root = Collected(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield handler.lines
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


def forms(secret: str) -> set[str]:
    basic = [base64.b64encode(f"{user}:{secret}".encode()).decode() for user in (CLIENT_ID, "")]
    basic += [base64.b64encode(f"{secret}:".encode()).decode(), base64.b64encode(f"{CLIENT_ID}:{quote_plus(secret)}".encode()).decode()]
    return {secret, quote_plus(secret), base64.b64encode(secret.encode()).decode(), *basic}


def found(secrets: set[str], texts: list[str]) -> list[str]:
    """Forms of these secrets that are in one of the texts."""
    return [form for secret in secrets for form in forms(secret) if any(form in text for text in texts)]


def stored(folder: Path) -> list[str]:
    """Everything in the files of a folder, but for the sealing keys."""
    return [path.read_bytes().decode("latin-1") for path in folder.rglob("*") if path.is_file() and path.suffix != ".key"]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Pleo]:
    """A sandbox whose client has a secret that looks like nothing else; temporary files go beneath `tmp_path` too."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "tmp"))
    monkeypatch.setattr("tempfile.tempdir", None)
    with pleo(tmp_path, {"PLEO_CLIENT_SECRET": CLIENT_SECRET}, client_secret=CLIENT_SECRET, requests_per_minute=0) as found:
        yield found


@pytest.mark.parametrize("method", [ClientAuth.BASIC, ClientAuth.POST])
def test_no_secret_in_logs_errors_files_or_reprs(here: Pleo, tmp_path: Path, capfd: pytest.CaptureFixture[str], method: ClientAuth) -> None:
    wire = Wire()
    settings = here.with_(PLEO_CLIENT_AUTH=method.value)
    seen: list[str] = []

    def fails(attempt: Callable[[], object]) -> None:
        with pytest.raises(PleoError) as caught:
            attempt()
        seen.extend(("".join(traceback.format_exception(caught.value)), repr(caught.value), str(vars(caught.value))))

    def log_in(of: Any) -> object:
        return auth.login(of, show=seen.append, open_browser=in_thread(visit), timeout=10, settle=0.0, transport=wire)

    with all_logging() as lines:
        seen.append(repr(log_in(settings)))
        manager = here.manager(settings, sleep=lambda seconds: time.sleep(min(seconds, 0.05)), transport=wire)
        faults = (None, Fault("status", path="/oauth/token", status=500, times=1), Fault("truncated", path="/v1/introspect", times=1))
        for fault in faults:
            here.sandbox.state.set_faults(*([fault] if fault else []))
            manager.refresh()
            seen += [repr(manager), repr(vars(manager)), repr(manager.tokens()), repr(here.record()), repr(settings), str(settings)]
            here.sandbox.state.expire_access_tokens()
            with httpx.Client(base_url=here.url, auth=auth.PleoAuth(manager, [here.url]), transport=wire) as client:
                with contextlib.suppress(ValueError):
                    client.get("/v1/introspect")
                seen.append(repr(client.auth))
        here.sandbox.state.set_faults()
        wrong = here.with_(PLEO_CLIENT_AUTH=method.value, PLEO_CLIENT_SECRET=WRONG_SECRET)
        fails(lambda: here.manager(wrong, transport=wire).refresh())
        fails(lambda: log_in(wrong))
        for key in (API_KEY, WRONG_KEY):
            keyed = here.with_(PLEO_API_KEY=key, PLEO_CLIENT_ID="", PLEO_CLIENT_SECRET="")
            with httpx.Client(base_url=here.url, auth=auth.build_auth(keyed), transport=wire) as client:
                seen += [repr(client.auth), repr(keyed), repr(vars(client.auth))]
                if key == API_KEY:
                    assert client.get("/v1/introspect").is_success
                else:
                    fails(lambda: client.get("/v1/introspect"))
        here.sandbox.state.set_faults(Fault("truncated", path="/oauth/token", times=1))
        fails(manager.refresh)
    seen += [*lines, *capfd.readouterr()]
    (sealing,) = (tmp_path / "state").glob("*.key")
    live = set().union(*wire.secrets.values(), {sealing.read_text().strip()})
    assert {CLIENT_SECRET, WRONG_SECRET} <= wire.secrets["client_secret"] and {API_KEY, WRONG_KEY} <= wire.secrets["api_key"]
    assert len(wire.secrets["code"]) == len(wire.secrets["code_verifier"]) == 2
    assert min(len(wire.secrets["access_token"]), len(wire.secrets["refresh_token"])) >= 5 and len(lines) > 20
    assert found(live, seen) == []
    assert found(live, stored(tmp_path)) == []


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    for number, form in enumerate(forms(CLIENT_SECRET)):
        (tmp_path / f"file{number}").write_text(f"before {form} after")
    assert set(found({CLIENT_SECRET}, stored(tmp_path))) == forms(CLIENT_SECRET)
    assert found({CLIENT_SECRET}, ["client-secret canary"]) == []


def test_no_pickle_of_ours_holds_a_secret(here: Pleo) -> None:
    """What is pickled goes to other processes, caches and IO managers: it holds no secret, or refuses to be pickled."""
    from pleo_connector.orchestration import PleoResource, WarehouseResource  # noqa: PLC0415 - what every other test here does without

    wire = Wire()
    here.connect()
    manager = here.manager(transport=wire)
    tokens = manager.tokens()
    opened = open_store(here.environ["PLEO_TOKEN_STORE"])
    source = source_of(here.settings, opened)
    ring = source.ring()
    assert ring is not None
    key = next(Path(here.environ["PLEO_TOKEN_STORE"]).parent.glob("*.key")).read_text().strip()
    keyed = here.with_(PLEO_API_KEY=WRONG_KEY, PLEO_CLIENT_ID="", PLEO_CLIENT_SECRET="", PLEO_TOKEN_KEYS=key)
    request = AuthorizationRequest(here.url, "me", "https://example.com", "a:read")
    url = f"postgresql://me:{PASSWORD}@localhost/db"
    things: dict[str, object] = {
        "secret": tokens.access,
        "tokens": tokens,
        "granted": Granted(tokens.access, tokens.refresh, 900.0, None),
        "settings": here.settings,
        "settings with keys": keyed,
        "manager": manager,
        "OAuth": auth.build_auth(here.settings),
        "API key": auth.build_auth(keyed),
        "credentials": credentials_of(here.settings),
        "ring": ring,
        "source": source,
        "given keys": source_of(keyed, opened),
        "store": opened,
        "PostgreSQL store": open_store(url),
        "login": request,
        "connection": connection_from_settings(here.settings),
        "connection with a key": connection_from_settings(keyed),
        "warehouse": open_warehouse(url, "pleo"),
        "resource": PleoResource(client_secret=CLIENT_SECRET, api_key=WRONG_KEY, token_keys=key, token_store=url),
        "warehouse resource": WarehouseResource(warehouse=url),
        "redactor": auth.REDACTOR,
    }
    secrets = {tokens.access.reveal(), tokens.refresh.reveal(), request.verifier.reveal(), CLIENT_SECRET, WRONG_KEY, key, PASSWORD}
    raw = base64.urlsafe_b64decode(key)
    refused, leaked = set(), {}
    for name, thing in things.items():
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            try:
                data = pickle.dumps(thing, protocol)
            except (TypeError, AttributeError, pickle.PicklingError):
                refused.add(name)
                continue
            halves = [half.hex() for half in (raw[:16], raw[16:]) if half in data]  # of the sealing key, as Fernet keeps them
            if held := found(secrets, [data.decode("latin-1")]) + halves:
                leaked[name] = held
    assert leaked == {}
    assert {"settings", "manager", "ring", "given keys", "resource"} <= refused and "tokens" not in refused
    assert {type(thing) for thing in things.values()} >= {ClientCredentials, KeyRing, KeySource}


BROWSER = """
import sys
import httpx
from pleo_connector.sandbox import consent
httpx.get(consent(sys.argv[1]), trust_env=False)
"""


class CommandLines:
    """What every process of this machine has as its arguments, looked at all the time; as `ps` shows it to any user."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(0.02):
            for process in Path("/proc").glob("[0-9]*"):
                with contextlib.suppress(OSError):
                    self.seen.add((process / "cmdline").read_bytes().replace(b"\0", b" ").decode("latin-1"))


@pytest.mark.timeout(240)
@pytest.mark.skipif(not Path("/proc/self/cmdline").exists(), reason="no /proc here")
def test_no_secret_in_process_arguments_output_or_files_of_the_commands(here: Pleo, tmp_path: Path) -> None:
    """Real commands in processes of their own; `connect` opens a browser, which is a program here."""
    browser = tmp_path / "browser.py"
    browser.write_text(BROWSER)
    environ = {
        **{name: value for name, value in os.environ.items() if not name.startswith("PLEO_")},
        **here.environ,
        "BROWSER": f"{sys.executable} {browser} %s &",
        "HOME": str(tmp_path),
        "XDG_STATE_HOME": str(tmp_path / "xdg"),
        "PLEO_WAREHOUSE": f"duckdb:///{tmp_path / 'w.duckdb'}",
        "PLEO_SNAPSHOT": "on",  # copied by a child process
        "PLEO_RAW": str(tmp_path / "raw"),
    }
    settings = load({**here.environ, "PLEO_HOST_MARKS": str(tmp_path / "xdg" / "pleo-connector-host")}, None)
    secrets = {CLIENT_SECRET}
    said: list[str] = []
    with CommandLines() as command_lines:
        for command in (["connect"], ["refresh"], ["status", "--online"], ["sync", "vendors"], ["rotate-key"], ["doctor"]):
            done = subprocess.run(
                [sys.executable, "-m", "pleo_connector", *command],
                env=environ,
                cwd=tmp_path,
                capture_output=True,
                timeout=120,
                check=False,
            )
            said += [done.stdout.decode(), done.stderr.decode()]
            assert done.returncode == 0 or command == ["doctor"], said[-1]
            tokens = auth.build_manager(settings).tokens()
            secrets |= {tokens.access.reveal(), tokens.refresh.reveal()}
    (keys,) = (tmp_path / "state").glob("*.key")
    secrets |= set(keys.read_text().split())
    assert len(secrets) == 1 + 2 * 2 + 2, "one client secret, two pairs, two sealing keys"
    assert any("pleo_connector sync vendors" in line for line in command_lines.seen)
    assert any("browser.py http" in line and "code_challenge=" in line for line in command_lines.seen)
    assert not any("code_verifier" in line or "?code=" in line for line in command_lines.seen)
    assert found(secrets, sorted(command_lines.seen)) == []
    assert found(secrets, said) == []
    assert found(secrets, stored(tmp_path)) == []
