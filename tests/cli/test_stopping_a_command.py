"""Ctrl-C and SIGTERM: a sentence, no traceback, no stray process, and a sync that goes on."""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.cli.local import Local, command, local, start

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals are a matter of POSIX")


@pytest.fixture
def pleo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Local]:
    with local(tmp_path, capsys, latency_ms=60) as made:
        made.connect()
        yield made


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_stopped_sync_says_that_it_goes_on_and_does(pleo: Local, tmp_path: Path, number: signal.Signals) -> None:
    process = start("sync", pleo=pleo.environ, cwd=tmp_path)
    deadline = time.monotonic() + 30
    while pleo.sandbox.counters()["requests"] < 40 and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "Traceback" not in err
    assert err.splitlines()[-1] == "Error: Stopped. The next sync goes on where this one stopped."
    assert out == ""
    assert command("sync", pleo=pleo.environ, cwd=tmp_path).code == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_sandbox_ends_by_a_signal_and_frees_its_port(tmp_path: Path, number: signal.Signals) -> None:
    process = start("sandbox", "--port", "0", "--rows", "50", "--redirect-uri", "http://127.0.0.1:9/cb", pleo={}, cwd=tmp_path)
    assert process.stdout is not None
    first, *commands = (process.stdout.readline() for _ in range(5))
    url = next(word for word in first.split() if word.startswith("http://"))
    assert "sandbox-client" in first
    assert httpx.get(f"{url}/_sandbox/counters", trust_env=False).json()["requests"] == 0
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0, err
    assert out == ""
    for verb in ("connect", "sync", "status --online"):
        assert f"  PLEO_API_URL={url} PLEO_AUTH_URL={url} pleo-connector {verb}\n" in commands
    with socket.socket() as probe, pytest.raises(OSError, match="refused"):
        probe.connect(("127.0.0.1", urlsplit(url).port))


def test_a_port_that_is_taken(pleo: Local) -> None:
    ended = pleo.run("sandbox", "--port", str(urlsplit(pleo.sandbox.url).port))
    assert ended.code == 2
    assert "--port" in ended.err or "port" in ended.err
