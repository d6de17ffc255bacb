"""What no honest server sends, as bytes on a real socket: none of it becomes a token, and no redirect is followed."""

from __future__ import annotations

import gzip
import json
import socketserver
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from pleo_connector.auth.connection import binding_of, keys_of
from pleo_connector.auth.stores import State, open_store
from pleo_connector.errors import PleoError
from tests.auth.harness import Pleo
from tests.auth.storms import SCALE
from tests.auth.test_asking_the_token_endpoint import GOOD


def reply(status: int, body: bytes, *headers: str) -> bytes:
    head = [f"HTTP/1.1 {status} Whatever", "Content-Type: application/json", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(head).encode() + b"\r\n\r\n" + body


JUNK = {
    "a page of HTML": reply(200, b"<html><body>Log in to the hotel's WLAN</body></html>"),
    "an empty object": reply(200, b"{}"),
    "no refresh token": reply(200, json.dumps({name: value for name, value in GOOD.items() if name != "refresh_token"}).encode()),
    "a wrong type of token": reply(200, json.dumps(GOOD | {"token_type": "mac"}).encode()),
    "429 without an error": reply(429, b'{"message": "slow down"}'),
    "403 without an error": reply(403, b'{"message": "no"}'),
    "a megabyte": reply(200, json.dumps(GOOD | {"pad": "x" * 1_000_000}).encode()),
    "a gzip bomb": reply(200, gzip.compress(json.dumps(GOOD | {"pad": "0" * 50_000_000}).encode()), "Content-Encoding: gzip"),
    "a redirect": reply(302, b"", "Location: /elsewhere"),
}


@contextmanager
def answering(found: Pleo, junk: bytes, pause: float = 0.0) -> Iterator[tuple[Pleo, list[str], list[float]]]:
    """The same grant at a server that answers token requests with `junk`, a byte per `pause`; what it was asked, and seconds per answer."""
    asked: list[str] = []
    took: list[float] = []

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            asked.append(self.rfile.readline().decode().split()[1])
            length = 0
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                name, _, value = line.partition(b":")
                length = int(value) if name.lower() == b"content-length" else length
            self.rfile.read(length)
            began = time.monotonic()
            try:
                for part in self.parts():
                    self.wfile.write(part)
                    time.sleep(pause)
            except OSError:
                pass
            took.append(time.monotonic() - began)

        def parts(self) -> Iterator[bytes]:
            if asked[-1] != "/oauth/token":
                yield reply(404, b"{}")
            elif pause:
                yield from (junk[at : at + 1] for at in range(len(junk)))
            else:
                yield junk

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        there = Pleo(found.sandbox, found.environ | {"PLEO_AUTH_URL": f"http://127.0.0.1:{server.server_address[1]}"})
        opened = open_store(found.environ["PLEO_TOKEN_STORE"])
        keys = keys_of(found.settings, opened)
        assert keys is not None
        tokens = keys.open(found.record().blob or b"", binding_of(found.settings))
        opened.store.replace(found.settings.connection, keys.seal(tokens, binding_of(there.settings)))
        try:
            yield there, asked, took
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize("junk", JUNK.values(), ids=JUNK)
def test_junk_never_becomes_a_token(connected: Pleo, junk: bytes) -> None:
    with answering(connected, junk) as (there, asked, _):
        before = there.record()
        with pytest.raises(PleoError):
            there.manager(sleep=lambda seconds: time.sleep(min(seconds, 0.1))).refresh()
        after = there.record()
    assert (after.blob, after.generation, after.state, after.intent) == (before.blob, before.generation, State.ACTIVE, None)
    assert set(asked) <= {"/oauth/token", "/oauth/token/introspect"} and 1 <= asked.count("/oauth/token") <= 6


@pytest.mark.slow
def test_a_trickle_is_cut_off_at_the_deadline(connected: Pleo) -> None:
    """A byte per second and a deadline of twenty, at the full scale."""
    deadline = 20.0 * max(SCALE, 0.05)
    with answering(connected, JUNK["a page of HTML"] * 5, pause=deadline / 20) as (there, asked, took):
        before = there.record()
        with pytest.raises(PleoError):
            there.manager(deadline=deadline, sleep=lambda _: None).refresh()
        assert there.record().blob == before.blob and there.record().state is State.ACTIVE
    assert asked.count("/oauth/token") <= 6
    assert max(took) <= deadline + 5
