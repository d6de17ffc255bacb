"""A store that could not keep the tokens of a login is found out before a person is asked to consent, and by `doctor`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from pleo_connector import auth
from pleo_connector.auth.stores import Intent, SqliteTokenStore, open_store
from pleo_connector.errors import ConfigurationError, CredentialError
from tests.auth.harness import Pleo
from tests.auth.session_sharing_proxy import sharing_sessions
from tests.disks import full, full_of_files, mounted_read_only, read_only, small_disk, unprivileged
from tests.postgres_server import new_database, run_sql

Breaks = Callable[[Path], AbstractContextManager[None]]

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="POSIX rights and mounts")


@pytest.fixture(params=["full", "full of files", "mounted read-only", "a read-only folder"])
def broken(request: pytest.FixtureRequest, unconnected: Pleo) -> Iterator[Breaks]:
    """How the disk of the token store fails; it is in order so far."""
    ways: dict[str, Breaks] = {"full": full, "full of files": full_of_files, "mounted read-only": mounted_read_only}
    folder = Path(unconnected.environ["PLEO_TOKEN_STORE"]).parent
    if request.param not in ways:
        folder.mkdir(mode=0o700)
    with small_disk(folder) if request.param in ways else nullcontext():
        yield ways.get(request.param, read_only)


def command(found: Pleo, *arguments: str) -> subprocess.CompletedProcess[str]:
    environ = {"PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", ""), "PLEO_HOST_MARKS": os.environ.get("PLEO_HOST_MARKS", "")}
    whole = [*unprivileged(), sys.executable, "-m", "pleo_connector", *arguments]
    # Somebody waits for consent for seconds, not for minutes, should this test fail.
    return subprocess.run(whole, env=environ | found.environ, capture_output=True, text=True, check=False, timeout=60)


@pytest.mark.parametrize("logins", [0, 1])
def test_nobody_is_asked_for_a_consent_that_would_be_lost(broken: Breaks, unconnected: Pleo, logins: int) -> None:
    for _ in range(logins):
        unconnected.connect()
    with broken(Path(unconnected.environ["PLEO_TOKEN_STORE"]).parent):
        before = unconnected.counted("logins")
        ended = command(unconnected, "connect", "--no-browser", "--timeout", "5")
        told = command(unconnected, "doctor", "--json")
    assert ended.returncode == 1 and "/oauth/authorize" not in ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr and "token store" in ended.stderr
    (finding,) = (check for check in json.loads(told.stdout)["checks"] if check["check"] == "token store")
    assert finding["verdict"] == "fail" and "check the disk, its space and permissions" in finding["found"]
    unconnected.connect()
    assert unconnected.counted("logins") == before + 1


@pytest.mark.parametrize("size", [400, 3000])
def test_tokens_go_into_a_disk_that_became_full_after_the_intent(tmp_path: Path, size: int) -> None:
    """The intent has taken the room: two refreshes in turn, each on a disk without a byte left."""
    folder = tmp_path / "disk"
    with small_disk(folder):
        store = SqliteTokenStore(folder / "tokens.sqlite")
        store.replace("sandbox/one", b"x" * size)
        for generation in (1, 2):
            assert store.begin("sandbox/one", generation, Intent("abc", "host", 42, 1000.0, 1020.0))
            with full(folder):
                assert store.commit("sandbox/one", generation, "abc", b"%d" % generation * size)
        store.delete("sandbox/one")
        assert not any(b"222222" in file.read_bytes() for file in folder.iterdir())


def asked(found: Pleo, url: str) -> str:
    """What a login into this store says; it must not get as far as to show an address."""
    settings = found.with_(PLEO_TOKEN_STORE=url, PLEO_TOKEN_KEYS=Fernet.generate_key().decode())

    def shown(_: str) -> None:
        raise AssertionError("somebody was asked for consent")

    with pytest.raises((CredentialError, ConfigurationError)) as caught:
        auth.login(settings, show=shown, timeout=5)
    return str(caught.value)


def test_a_user_that_may_not_create_the_schema(unconnected: Pleo) -> None:
    url = new_database()
    role = f"role_{os.getpid()}_{time.monotonic_ns()}"
    run_sql(url, f"create role {role} login")
    assert "permission denied" in asked(unconnected, url.replace("postgres@", f"{role}@"))
    assert run_sql(url, "select to_regnamespace('pleo_connector')") == [(None,)]


def test_a_user_that_may_only_read(unconnected: Pleo) -> None:
    url = new_database()
    open_store(url).store.replace("sandbox/other", b"x")
    role = f"role_{os.getpid()}_{time.monotonic_ns()}"
    run_sql(url, f"create role {role} login")
    run_sql(url, f"grant usage on schema pleo_connector to {role}")
    run_sql(url, f"grant select on pleo_connector.connection to {role}")
    assert "permission denied for table connection" in asked(unconnected, url.replace("postgres@", f"{role}@"))


def test_a_server_that_takes_no_writes(unconnected: Pleo) -> None:
    url = new_database()
    open_store(url).store.replace("sandbox/other", b"x")
    name = run_sql(url, "select current_database()")[0][0]
    run_sql(url, f'alter database "{name}" set default_transaction_read_only = on')
    assert "read-only transaction" in asked(unconnected, url)


def test_a_pooler_that_shares_sessions(unconnected: Pleo) -> None:
    with sharing_sessions(new_database()) as url:
        assert "shares sessions" in asked(unconnected, url)
