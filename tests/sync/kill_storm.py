"""Syncs that are killed, run again, and compared with one that nobody killed. `benchmarks.exactly_once` runs the same at full counts."""

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any

from pleo_connector import sync
from pleo_connector.catalogue import CATALOGUE, Table
from pleo_connector.sandbox import RunningSandbox
from pleo_connector.sync import Mode, loader
from pleo_connector.sync.raw_tables import RAW_PAGES
from pleo_connector.sync.state_tables import QUARANTINE
from pleo_connector.warehouses import open_warehouse
from tests.place import API_KEY, NOW, sandbox
from tests.postgres_server import drop_database, new_database
from tests.sync.looking import ask, ask_all

ROWS = 1_000
STREAMS = ("companies", "employees", "vendors", "receipts", "accounting_entries")
"""One of each way to sync: a list of the credential, lists of a company, newest first, months."""
COMPANIES = ("2c63888f-28f0-4481-be6d-dce7a7ace732",)
BATCH = 100
"""Rows of a batch: so few that a short run has many commits to be killed between."""
BATCH_TO_CUT = 1_000
"""Where each write boundary gets its kill: fewer commits, all of the same make."""
LINGER = 0.02
"""Seconds for which a batch waits for more."""

BOOKKEEPING = {
    QUARANTINE.name: {"sweep_id", "quarantined_at"},
    RAW_PAGES.name: {"kept_at", "page", "stored"},
}
"""What differs between any two runs: the number of the sweep, and the times. (The fingerprint of a raw page stays.)"""

WRITES = frozenset(("ensure", "define", "keep_history", "merge", "upsert", "delete", "tombstone"))

TABLES = {table.name: table for table in (*(table for name in STREAMS for table in CATALOGUE.stream(name).tables()), QUARANTINE, RAW_PAGES)}
"""What is compared."""

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.sync.kill_storm", "pleo_connector.warehouses.postgres", "anyio._backends._asyncio"])


class CutOff:
    """A warehouse whose process is killed at its n-th write boundary: a transaction begun, a write made, a transaction committed."""

    def __init__(self, warehouse: Any, boundary: int) -> None:
        self._warehouse, self._left = warehouse, boundary

    def __getattr__(self, name: str) -> Any:
        return getattr(self._warehouse, name)

    def passed(self) -> None:
        """One boundary further."""
        self._left -= 1
        if self._left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        """The warehouse's own, watched."""
        with self._warehouse.transaction() as transaction:
            self.passed()
            yield _Watched(transaction, self.passed)
        self.passed()


class _Watched:
    def __init__(self, transaction: Any, passed: Callable[[], None]) -> None:
        self._transaction, self._passed = transaction, passed

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._transaction, name)
        return self._then_passed(method) if name in WRITES else method

    def _then_passed(self, method: Callable[..., Any]) -> Callable[..., Any]:
        def write(*arguments: Any, **named: Any) -> Any:
            result = method(*arguments, **named)
            self._passed()
            return result

        return write


def _sync(pleo: str, url: str, mode: str, ready: Pipe, boundary: int) -> None:
    loader.USUAL = replace(loader.USUAL, rows=BATCH_TO_CUT if boundary else BATCH, linger=LINGER)
    warehouse = open_warehouse(url, "pleo")
    connection = sync.Connection(pleo, API_KEY, requests_per_minute=1_000_000, concurrency=4)
    ready.send("ready")
    report = sync.run(
        sync.SyncPlan(STREAMS, Mode(mode), companies=COMPANIES), connection, CutOff(warehouse, boundary) if boundary else warehouse, now=NOW
    )
    raise SystemExit(len(report.failures))


def start(pleo: RunningSandbox, url: str, mode: Mode, boundary: int = 0) -> Any:
    """A sync in a process of its own, on the point of beginning; it kills itself at a write boundary where one is given."""
    here, there = _processes.Pipe(duplex=False)
    process = _processes.Process(target=_sync, args=(pleo.url, url, mode.value, there, boundary))
    process.start()
    assert here.recv() == "ready"
    return process


def run(pleo: RunningSandbox, url: str, mode: Mode, boundary: int = 0) -> int:
    """How a sync ended: 0, how many streams failed, or minus the signal."""
    process = start(pleo, url, mode, boundary)
    process.join()
    assert process.exitcode is not None
    return int(process.exitcode)


@dataclass(frozen=True)
class Store:
    """A kind of warehouse, and where tests make some."""

    kind: str
    folder: Path

    def make(self, base: str | None = None) -> str:
        """The URL of an empty one, or of a copy of `base`."""
        if self.kind == "PostgreSQL":
            return new_database(f"TEMPLATE {base.rpartition('/')[2]}" if base else "")
        file = self.folder / f"{uuid.uuid4().hex}.duckdb"
        if base:
            shutil.copy(base.removeprefix("duckdb:///"), file)
        return f"duckdb:///{file}"

    def drop(self, url: str) -> None:
        """Let go of it."""
        if self.kind == "PostgreSQL":
            drop_database(url)
        else:
            for file in self.folder.glob(f"{Path(url.removeprefix('duckdb:///')).stem}*"):
                file.unlink()


Contents = Mapping[str, Counter[tuple[Any, ...]]]


def contents(url: str, since: str | None) -> Contents:
    """Every column of every table but the bookkeeping of runs, each row with its key in front.

    `since` is a moment: of `_synced_at` counts whether a row was written after it. A tombstone of an absent row bears the time at
    which it was missed: that it has one is what counts.
    """
    queries = [f"SELECT {', '.join([*table.key, *_compared(table, since)])} FROM pleo.{table.name}" for table in TABLES.values()]
    return {name: Counter(tuple(map(repr, row)) for row in rows) for name, rows in zip(TABLES, ask_all(url, queries), strict=True)}


def _compared(table: Table, since: str | None) -> list[str]:
    values = {
        "_sweep_id": None,
        "_synced_at": None if since is None else f"_synced_at > TIMESTAMPTZ '{since}'",
        "_deleted_at": "CASE WHEN _deleted_source = 'sweep_absent' THEN NULL ELSE _deleted_at END",
    }
    columns = [column for column in table.column_names if column not in BOOKKEEPING.get(table.name, ())]
    return [values.get(column) or f'"{column}"' for column in columns if values.get(column, "") is not None]


@dataclass
class Outcome:
    """What a storm did. `lost` and `doubled` are rows, by key, over all tables and all cases."""

    kills: int = 0
    cases: int = 0
    resumed: int = 0
    identical: int = 0
    lost: int = 0
    doubled: int = 0
    differences: list[str] = field(default_factory=list)

    def note(self, case: str, expected: Contents, found: Contents) -> None:
        """Compare the tables of a case with those of the undisturbed run."""
        differ = [name for name in expected if expected[name] != found[name]]
        self.identical += not differ
        for name in differ:
            width = len(TABLES[name].key)
            keys, others = (Counter(row[:width] for row in rows.elements()) for rows in (expected[name], found[name]))
            self.lost += (keys - others).total()
            self.doubled += sum(count - 1 for count in others.values() if count > 1)
            self.differences.append(f"{case}: {name}: {list((expected[name] - found[name]) + (found[name] - expected[name]))[:4]}")

    @property
    def is_clean(self) -> bool:
        """Whether every case ended as if nobody had been killed."""
        return self.kills > 0 and self.cases == self.resumed == self.identical and not self.lost and not self.doubled


@dataclass(frozen=True)
class Ground:
    """Where a storm takes place: a Pleo, and what a sync that nobody kills makes of it."""

    pleo: RunningSandbox
    store: Store
    mode: Mode
    base: str | None
    """What the killed syncs begin with."""
    since: str | None
    expected: Contents
    seconds: float
    """What an undisturbed sync takes."""

    def finish(self, url: str) -> bool:
        """Run to the end: whether both runs did, and left nothing open. The second reads all months where entries are missing."""
        ended = [run(self.pleo, url, self.mode) for _ in range(_RUNS[self.mode])]
        left = "SELECT count(*) FROM pleo._seen_keys UNION ALL SELECT count(*) FROM pleo._checkpoints"
        still_open = ask(url, "SELECT count(*) FROM pleo._sweeps WHERE status = 'open'")
        return not any(ended) and {*ask(url, left), *still_open} == {(0,)}

    def judge(self, outcome: Outcome, case: str, url: str) -> None:
        """Run it to the end, compare, and let it go."""
        outcome.cases += 1
        outcome.resumed += self.finish(url)
        outcome.note(case, self.expected, contents(url, self.since))
        self.store.drop(url)


_RUNS = {Mode.FULL: 1, Mode.INCREMENTAL: 2}


@contextmanager
def ground(store: Store, mode: Mode, rows: int = ROWS) -> Iterator[Ground]:
    """A Pleo for one storm. Incremental runs begin with tables of yesterday, and Pleo has changed since."""
    # Its clock stands still: export jobs that are open stay so.
    with sandbox(rows=rows, latency_ms=2, clock=lambda: 0.0) as pleo:
        base = since = None
        if mode is Mode.INCREMENTAL:
            base = store.make()
            assert run(pleo, base, Mode.FULL) == 0
            ((since,),) = ask(base, "SELECT CAST(max(_synced_at) AS VARCHAR) FROM pleo.accounting_entries")
            edit(pleo)
        undisturbed = store.make(base)
        process = start(pleo, undisturbed, mode)
        began = time.monotonic()
        process.join()
        seconds = time.monotonic() - began
        assert process.exitcode == 0
        made = Ground(pleo, store, mode, base, since, {}, seconds)
        assert made.finish(undisturbed) if _RUNS[mode] > 1 else True
        yield Ground(pleo, store, mode, base, since, contents(undisturbed, since), seconds)
        for url in filter(None, (base, undisturbed)):
            store.drop(url)


def edit(pleo: RunningSandbox) -> None:
    """Entries that are new, changed, flagged as deleted and gone, in recent and in old months; and people and vendors."""
    entries = pleo.state.records("accounting_entries")
    for number, entry in enumerate(entries[-60:-20]):
        pleo.state.put("accounting_entries", entry | {"note": f"edited {number}"})
    for entry in entries[-20:-12]:
        pleo.state.put("accounting_entries", entry | {"deletedAt": "2026-11-22T10:00:00Z"})
    for number, entry in enumerate(entries[-12:-4]):
        pleo.state.put("accounting_entries", entry | {"id": str(uuid.UUID(int=number + 1, version=4)), "note": "new"})
    for entry in [*entries[-4:], *entries[100:103]]:
        pleo.state.remove("accounting_entries", entry["id"])
    first, second = pleo.state.records("employees")[:2]
    pleo.state.put("employees", first | {"lastName": "Changed"})
    pleo.state.remove("employees", second["id"])
    vendor = pleo.state.records("vendors")[0]
    pleo.state.put("vendors", vendor | {"name": "Changed", "createdAt": "never"})  # and goes to the quarantine


def at_random(ground: Ground, kills: int, seed: int, in_a_row: int = 1, over: Callable[[], bool] = lambda: False) -> Outcome:
    """So many SIGKILLs at random moments; after `in_a_row` of them, or a run that was faster, the sync is run to its end.

    Fewer, once it is `over`.
    """
    chance = random.Random(seed)
    outcome = Outcome()
    while outcome.kills < kills and not over():
        url, before = ground.store.make(ground.base), outcome.kills
        while outcome.kills < min(kills, before + in_a_row):
            process = start(ground.pleo, url, ground.mode)
            time.sleep(chance.uniform(0, ground.seconds))
            process.kill()
            process.join()
            outcome.kills += process.exitcode == -signal.SIGKILL
            if process.exitcode == 0:
                break
        if outcome.kills > before:
            ground.judge(outcome, f"kill {outcome.kills} of seed {seed}", url)
        else:
            ground.store.drop(url)
    return outcome


def at_each_boundary(ground: Ground, step: int = 1, over: Callable[[], bool] = lambda: False) -> Outcome:
    """A kill at every `step`-th write boundary, each in a sync of its own, until one ends before its boundary.

    Fewer, once it is `over`.
    """
    outcome = Outcome()
    boundary = 1
    while not over():
        url = ground.store.make(ground.base)
        ended = run(ground.pleo, url, ground.mode, boundary)
        if ended == 0:
            ground.store.drop(url)
            break
        assert ended == -signal.SIGKILL, ended
        outcome.kills += 1
        ground.judge(outcome, f"boundary {boundary}", url)
        boundary += step
    return outcome
