"""A process that uses credentials as a sync would; the tests start it, watch it, and kill it.

Settings come from the environment. Verbs:
  call THREADS SECONDS   threads that keep calling the API; prints {"calls", "failed", "errors", "long"}, the last of them when each
                         call of a second or more began and ended
  call-while FILE THREADS   the same, until FILE is removed
  wait-and-call ...      the same, once "ready" is printed and a line has come
  read FILE              reads all accounting entries page by page, again and again until FILE is removed, with a byte into it
                         per page; prints {"calls", "failed", "errors"} of readings
  fork                   for each line on stdin, forks a child that refreshes back to back, and prints its pid
  once                   one refresh; prints "done"
  insist                 once "ready" is printed and a line has come: asks for another access token than the present one, a second at
                         most each time, until it has one; prints how often it got which error
  stubborn               one refresh whose clock runs 50 times as fast, so that it tries for 1.2 s to store what it got; prints
                         "done", or what it could not do, and waits to be killed
  verb                   the same as the command line does it: SIGTERM ends it like Ctrl-C
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import httpx

from pleo_connector.auth import build_auth, build_manager
from pleo_connector.cli.ending import _sigterm_as_ctrl_c
from pleo_connector.errors import PleoError, TokenStoreUnavailable
from pleo_connector.settings import load
from tests.auth.reading import ROWS, read_entries

DEADLINE = float(os.environ.get("REFRESHER_DEADLINE", "20"))
"""Where a lock does not prove its owner dead, this long passes before an open refresh is looked into."""


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def call(threads: int, more: Callable[[], bool]) -> None:
    settings = load(None, None)
    auth = build_auth(settings)
    calls, errors = [0] * threads, []
    long: list[tuple[float, float]] = []

    def go(number: int) -> None:
        with httpx.Client(base_url=settings.api_url, auth=auth, trust_env=False) as client:
            while more():
                began = time.time()
                try:
                    answer = client.get("/v1/introspect")
                    if answer.status_code != httpx.codes.OK:
                        errors.append(str(answer.status_code))
                except Exception as error:  # noqa: BLE001 - counted and told
                    errors.append(f"{type(error).__name__}: {error}")
                calls[number] += 1
                if time.time() - began >= 1:
                    long.append((began, time.time()))
                time.sleep(0.02)

    workers = [threading.Thread(target=go, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    tell(json.dumps({"calls": sum(calls), "failed": len(errors), "errors": sorted(set(errors))[:5], "long": long}))


def read(progress: Path) -> None:
    settings = load(None, None)
    readings, errors = 0, []
    with (
        progress.open("ab", buffering=0) as pages,
        httpx.Client(base_url=settings.api_url, auth=build_auth(settings), trust_env=False) as client,
    ):
        while progress.exists():
            readings += 1
            try:
                ids = read_entries(client, lambda: pages.write(b"."))
                if len(ids) != ROWS or len(set(ids)) != ROWS:
                    errors.append(f"{len(ids)} rows, {len(set(ids))} of them once")
            except Exception as error:  # noqa: BLE001 - counted and told
                errors.append(f"{type(error).__name__}: {error}")
    tell(json.dumps({"calls": readings, "failed": len(errors), "errors": sorted(set(errors))[:5]}))


def fork() -> None:
    tell("ready")
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # killed children leave no zombies
    for _ in sys.stdin:
        pid = os.fork()
        if pid == 0:
            try:
                manager = build_manager(load(None, None), settle=0.05, deadline=DEADLINE)
                while True:
                    manager.refresh()
            finally:
                os._exit(1)
        tell(str(pid))


def once() -> None:
    manager = build_manager(load(None, None), settle=0.05, deadline=DEADLINE)
    tell("ready")
    manager.refresh()
    tell("done")


def insist() -> None:
    manager = build_manager(load(None, None), settle=0.05, deadline=DEADLINE, lock_timeout=1.0)
    present = manager.tokens().access
    tell("ready")
    sys.stdin.readline()
    met: Counter[str] = Counter()
    while True:
        try:
            manager.access_token(rejected=present)
        except PleoError as error:
            met[type(error).__name__] += 1
            time.sleep(0.1)
        else:
            break
    tell(json.dumps(met))


def stubborn() -> None:
    manager = build_manager(
        load(None, None),
        settle=0.05,
        deadline=DEADLINE,
        monotonic=lambda: 50 * time.monotonic(),
        sleep=lambda seconds: time.sleep(seconds / 50),
    )
    tell("ready")
    try:
        manager.refresh()
    except TokenStoreUnavailable as error:
        tell(str(error))
        time.sleep(3600)
    tell("done")


def as_verb() -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell starts what runs in the background without it
    with _sigterm_as_ctrl_c():
        once()


if __name__ == "__main__":
    verb, *rest = sys.argv[1:]
    if verb == "wait-and-call":
        tell("ready")
        sys.stdin.readline()
    if verb in ("call", "wait-and-call"):
        end = time.monotonic() + float(rest[1])
        call(int(rest[0]), lambda: time.monotonic() < end)
    elif verb == "call-while":
        call(int(rest[1]), Path(rest[0]).exists)
    elif verb == "read":
        read(Path(rest[0]))
    elif verb == "fork":
        fork()
    elif verb == "insist":
        insist()
    elif verb == "stubborn":
        stubborn()
    elif verb == "verb":
        as_verb()
    else:
        once()
