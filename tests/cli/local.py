"""A sandbox with a logged-in connector and a warehouse, for tests of the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pleo_connector.auth import build_manager
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.cli.demo_place import free_port
from pleo_connector.cli.ending import run
from pleo_connector.cli.local_pleo import log_in
from pleo_connector.sandbox import RunningSandbox, SandboxConfig, running
from pleo_connector.settings import load

CLIENT_SECRET = "secret-of-the-test-client+%/:"
CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def errors(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("Error: ")]


@dataclass
class Local:
    """The sandbox, and the environment that points to it."""

    sandbox: RunningSandbox
    environ: dict[str, str]
    capsys: pytest.CaptureFixture[str]
    secrets: set[str] = field(default_factory=set)

    @property
    def warehouse(self) -> Path:
        return Path(self.environ["PLEO_WAREHOUSE"].removeprefix("duckdb:///"))

    def connect(self) -> None:
        settings = load(self.environ, None)
        log_in(settings)
        tokens = build_manager(settings).tokens()
        self.secrets |= {tokens.access.reveal(), tokens.refresh.reveal(), CLIENT_SECRET}

    def run(self, *argv: str, **environ: str) -> Ended:
        """One command line, in this process."""
        self.capsys.readouterr()
        code = run(argv, self.environ | environ)
        told = self.capsys.readouterr()
        return Ended(code, told.out, told.err)


@contextmanager
def local(folder: Path, capsys: pytest.CaptureFixture[str], **config: Any) -> Iterator[Local]:
    """A sandbox on a free port; nobody is logged in yet."""
    uri = f"http://127.0.0.1:{free_port(0)}/callback"
    given: dict[str, Any] = {"port": 0, "requests_per_minute": 0, "redirect_uris": (uri,), "client_secret": CLIENT_SECRET} | config
    with running(SandboxConfig(**given)) as sandbox:
        environ = {
            "PLEO_API_URL": sandbox.url,
            "PLEO_AUTH_URL": sandbox.url,
            "PLEO_CLIENT_SECRET": CLIENT_SECRET,
            "PLEO_REDIRECT_URI": uri,
            "PLEO_TOKEN_STORE": str(folder / "state" / "tokens.sqlite"),
            "PLEO_WAREHOUSE": f"duckdb:///{folder}/spend.duckdb",
            "PLEO_REQUESTS_PER_MINUTE": "100000",
        }
        yield Local(sandbox, environ, capsys)


def environment(pleo: Mapping[str, str]) -> dict[str, str]:
    """The environment of a subprocess: this checkout importable, and these PLEO_* variables."""
    return {**os.environ, "PYTHONPATH": str(CHECKOUT), **pleo}


def start(*argv: str, pleo: Mapping[str, str], cwd: Path) -> subprocess.Popen[str]:
    """`pleo-connector` as a process of its own, stdout and stderr apart."""
    return subprocess.Popen(
        [sys.executable, "-m", "pleo_connector", *argv],
        env=environment(pleo),
        cwd=cwd,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def command(*argv: str, pleo: Mapping[str, str], cwd: Path, timeout: float = 60.0) -> Ended:
    """Run it to its end."""
    process = start(*argv, pleo=pleo, cwd=cwd)
    out, err = process.communicate(timeout=timeout)
    return Ended(process.returncode, out, err)


def contents(file: Path) -> dict[str, tuple[object, ...]]:
    """A fingerprint of every row of every Pleo table in a DuckDB file; {} when there is no file."""
    if not file.exists():
        return {}
    with duckdb.connect(str(file), read_only=True) as connection:
        there = {name for (name,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        found = {}
        for table in CATALOGUE.tables():
            if table.name in there:
                row = connection.execute(f'SELECT count(*), bit_xor(hash(t)) FROM "{file.stem}".pleo.{table.name} AS t').fetchone()
                found[table.name] = row or ()
    return found
