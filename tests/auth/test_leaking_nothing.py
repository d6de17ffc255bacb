"""The canary: do everything with all logging on, without the redactor, and look for live secrets everywhere."""

from __future__ import annotations

import base64
import contextlib
import logging
import traceback
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote_plus

import pytest

from pleo_connector import auth
from pleo_connector.errors import PleoError
from pleo_connector.sandbox import Fault
from tests.auth.harness import Pleo

SECRET = "canary-secret/with+odd=chars"


class Collected(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        if record.threadName != "browser":  # that thread plays the person, whose address bar does show the code
            self.lines.append(self.format(record))


def forms(secret: str) -> set[str]:
    basic = [base64.b64encode(f"{user}:{secret}".encode()).decode() for user in ("sandbox-client", "")]
    return {secret, quote_plus(secret), base64.b64encode(secret.encode()).decode(), *basic}


def test_no_secret_in_logs_errors_files_or_reprs(connected: Pleo, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    handler = Collected()
    root = logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    live: set[str] = set()
    seen: list[str] = []
    try:
        connected.connect()
        manager = connected.manager(sleep=lambda _: None)

        def remember() -> None:
            tokens = connected.manager().tokens()
            live.update({tokens.access.reveal(), tokens.refresh.reveal()})
            seen.extend(
                [repr(tokens), repr(manager), repr(vars(manager)), repr(connected.record()), repr(auth.build_auth(connected.settings))]
            )

        remember()
        for fault in (None, Fault("status", path="/oauth/token", status=500, times=1), Fault("truncated", path="/v1/introspect", times=1)):
            connected.sandbox.state.set_faults(*([fault] if fault else []))
            manager.refresh()
            remember()
            connected.sandbox.state.expire_access_tokens()
            with connected.client() as client, contextlib.suppress(ValueError):
                client.get("/v1/introspect")
            remember()
        wrong = connected.with_(PLEO_CLIENT_SECRET=SECRET)
        attempts: list[Callable[[], object]] = [lambda: connected.manager(wrong).refresh(), lambda: connected.connect(wrong)]
        connected.sandbox.state.set_faults()
        for attempt in attempts:
            try:
                attempt()
            except PleoError as error:
                seen.append("".join(traceback.format_exception(error)))
                seen.append(repr(error))
        connected.sandbox.state.set_faults(Fault("truncated", path="/oauth/token", times=1))
        with pytest.raises(PleoError) as caught:
            manager.refresh()
        seen.append("".join(traceback.format_exception(caught.value)))
        live.add(SECRET)
        live.add(next((tmp_path / "state").glob("*.key")).read_text().strip())
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
    seen += handler.lines
    seen += capfd.readouterr()
    stored = [path.read_bytes().decode("latin-1") for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".key"]
    assert len(live) >= 12 and len(handler.lines) > 20
    found = [form for secret in live for form in forms(secret) if any(form in text for text in (*seen, *stored))]
    assert found == []
