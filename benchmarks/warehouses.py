"""Rows a second and CPU seconds of each warehouse, beside the barest load of the same Arrow data.

`python -m benchmarks.warehouses [--rows 1000000] [--rounds 3] [--write docs/warehouses.md]`

The rows are accounting entries with their splits, made up. A round runs every contender once, in turn, each into an empty
database; the table shows the median of the rounds. CPU is that of this process with all its threads, and for
PostgreSQL also that of the server.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
from adbc_driver_postgresql import dbapi
from pyiceberg.catalog.sql import SqlCatalog

from benchmarks.section import write
from pleo_connector.catalogue import CATALOGUE, Storage, Table
from pleo_connector.warehouses import open_warehouse
from pleo_connector.warehouses.dialect import DUCKDB
from pleo_connector.warehouses.plan import Plan
from pleo_connector.warehouses.staging import ARROW, staged
from tests.postgres_server import Server, server

BATCH = 100_000
TABLES = CATALOGUE.stream("accounting_entries").tables()[:2]
SCHEMA = "pleo"
COMPANIES = [str(uuid.UUID(int=number)) for number in range(1, 4)]
Frames = list[dict[str, pd.DataFrame]]


def made_up(rows: int, seed: int) -> Frames:
    """Batches of entries, each third of them with two splits."""
    chance = np.random.default_rng(seed)
    return [_batch(chance, min(BATCH, rows - start)) for start in range(0, rows, BATCH)]


def _batch(chance: np.random.Generator, rows: int) -> dict[str, pd.DataFrame]:
    parent, child = TABLES
    keys = pa.array([str(uuid.UUID(bytes=chance.bytes(16))) for _ in range(rows)])
    some = np.repeat(np.arange(0, rows, 3), 2)
    positions = pa.array(np.tile([1, 2], len(some) // 2))
    return {
        parent.name: _frame(chance, parent, rows, {parent.key[0]: keys}),
        child.name: _frame(chance, child, len(some), {child.parent_key[0]: keys.take(pa.array(some)), child.key[1]: positions}),
    }


def _frame(chance: np.random.Generator, table: Table, rows: int, given: dict[str, Any]) -> pd.DataFrame:
    columns = {}
    for one in table.fields:
        values = given.get(one.name)
        if values is None:
            pool = pa.array(_pool(chance, one.name, one.storage), ARROW[one.storage])
            values = pool.take(pa.array(chance.integers(0, len(pool), rows)))
        columns[one.name] = pd.Series(values.cast(ARROW[one.storage]), dtype=pd.ArrowDtype(ARROW[one.storage]))
    return pd.DataFrame(columns)


def _pool(chance: np.random.Generator, name: str, storage: Storage) -> list[Any]:
    if name in ("_deleted_at", "_deleted_source", "_extra"):
        return [None]
    if name in ("company_id", "_company_id"):
        return COMPANIES
    numbers = [int(number) for number in chance.integers(0, 10**7, 1000)]
    match storage:
        case Storage.UUID:
            return [str(uuid.UUID(bytes=chance.bytes(16))) for _ in range(200)] + [None] * 20
        case Storage.BOOLEAN:
            return [True, False, None]
        case Storage.BIGINT:
            return numbers
        case Storage.MONEY | Storage.RATE:
            return [pa.scalar(str(number / 100)).cast(ARROW[storage]).as_py() for number in numbers]
        case Storage.TIMESTAMP:
            return [datetime.fromtimestamp(1_760_000_000 + number, UTC) for number in numbers]
        case Storage.DATE:
            return [datetime.fromtimestamp(1_760_000_000 + number, UTC).date() for number in numbers]
        case Storage.JSON:
            return ['{"kind": "receipt", "pages": 2}', None]
        case _:
            return [f"{name} {number}, frokost på kontoret" for number in numbers] + [None] * 300


def changed(frames: Frames, at: str) -> Frames:
    """The same rows, 1 % of the entries with another fingerprint."""
    parent = TABLES[0].name
    later = []
    for batch in frames:
        entries = batch[parent].copy()
        entries.loc[entries.index % 100 == 0, "_row_hash"] = at
        later.append(batch | {parent: entries})
    return later


@dataclass
class Clock:
    """Seconds by contender and step."""

    server: psutil.Process
    resident: set[int]
    """Its processes that serve no session."""
    wall: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    cpu: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def measure(self, contender: str, step: str, work: Callable[[], None]) -> None:
        """Run it once."""
        cpu, began = self._cpu(contender), time.perf_counter()
        work()
        self.wall.setdefault((contender, step), []).append(time.perf_counter() - began)
        self.cpu.setdefault((contender, step), []).append(self._cpu(contender) - cpu)

    def _cpu(self, contender: str) -> float:
        spent = sum(os.times()[:2])
        if "PostgreSQL" in contender:
            until = time.monotonic() + 5
            while {child.pid for child in self.server.children()} - self.resident:
                assert time.monotonic() < until
                time.sleep(0.01)  # a session's seconds are the server's only when it has ended, to the last
            times = self.server.cpu_times()
            spent += times.user + times.system + times.children_user + times.children_system
        return spent


def load(url: str, frames: Frames, expected: tuple[int, int]) -> None:
    """Through the connector, a transaction for each batch."""
    warehouse = open_warehouse(url, SCHEMA)
    inserted = updated = 0
    for batch in frames:
        with warehouse.transaction() as work:
            work.ensure(TABLES)
            counts = work.merge(TABLES, batch)
        inserted, updated = inserted + counts.inserted, updated + counts.updated
    assert (inserted, updated) == expected


def bare_duckdb(path: Path, frames: Frames) -> None:
    """CREATE TABLE and INSERT ... SELECT, a transaction for each batch."""
    plan = Plan(DUCKDB, SCHEMA)
    for number, batch in enumerate(frames):
        with duckdb.connect(str(path)) as connection:
            connection.execute("BEGIN")
            if not number:
                connection.execute(plan.create_schema())
            for table in TABLES:
                if not number:
                    connection.execute(plan.create_table(table))
                connection.register("rows", staged(table, batch[table.name], "_row"))
                connection.execute(plan.insert(table, "rows"))
                connection.unregister("rows")
            connection.execute("COMMIT")


def bare_adbc(url: str, frames: Frames) -> None:
    """adbc_ingest into tables that it makes itself, a transaction for each batch."""
    for number, batch in enumerate(frames):
        with dbapi.connect(url) as connection:
            with connection.cursor() as cursor:
                for table in TABLES:
                    rows = staged(table, batch[table.name], "_row").drop_columns(["_row"])
                    cursor.adbc_ingest(table.name, rows, mode="append" if number else "create")
            connection.commit()


def bare_iceberg(folder: Path, frames: Frames) -> None:
    """PyIceberg's append to tables without partitions, a snapshot for each batch."""
    folder.mkdir()
    with SqlCatalog("bare", uri=f"sqlite:///{folder}/catalog.db", warehouse=folder.as_uri()) as catalog:
        catalog.create_namespace(SCHEMA)
        for batch in frames:
            for table in TABLES:
                rows = staged(table, batch[table.name], "_row").drop_columns(["_row"])
                catalog.create_table_if_not_exists((SCHEMA, table.name), rows.schema).append(rows)


@contextmanager
def databases(running: Server) -> Iterator[tuple[Path, Callable[[], str]]]:
    """A folder for files, and a maker of empty PostgreSQL databases."""
    with tempfile.TemporaryDirectory() as folder:

        def fresh() -> str:
            name = f"bench_{uuid.uuid4().hex}"
            running.program("createdb", "-h", "127.0.0.1", "-p", str(running.port), "-U", "postgres", name)
            return running.url(name)

        yield Path(folder), fresh


def measured(rows: int, rounds: int) -> Clock:
    """All contenders in turn, `rounds` times after one that is not counted; autovacuum would fall into some other step."""
    frames = made_up(rows, seed=7)
    some = sum(len(range(0, len(batch[TABLES[0].name]), 100)) for batch in frames)
    with (
        server(
            options={"fsync": "on", "synchronous_commit": "on", "full_page_writes": "on", "max_wal_size": "8GB", "autovacuum": "off"}
        ) as running,
        databases(running) as (folder, fresh),
    ):
        process = psutil.Process(running.pid)
        time.sleep(1)  # the last of its own processes have started, and pg_isready's sessions ended
        clock = Clock(process, {child.pid for child in process.children()})
        for turn in range(rounds + 1):
            later = changed(frames, f"changed {turn}")
            for name, bare, url in (
                ("DuckDB", partial(bare_duckdb, folder / f"bare-{turn}.duckdb"), f"duckdb:///{folder}/{turn}.duckdb"),
                ("PostgreSQL", partial(bare_adbc, fresh()), fresh()),
                ("Iceberg", partial(bare_iceberg, folder / f"bare-{turn}"), f"iceberg:///{folder}/lake-{turn}"),
            ):
                clock.measure(f"bare {name}", "load", partial(bare, frames))
                clock.measure(name, "load", partial(load, url, frames, (rows, 0)))
                clock.measure(name, "the same again", partial(load, url, frames, (0, 0)))
                clock.measure(name, "1 % changed", partial(load, url, later, (0, some)))
    for times in (clock.wall, clock.cpu):
        for key in times:
            times[key] = times[key][1:]
    return clock


def table(clock: Clock, rows: int, rounds: int) -> str:
    """Markdown; the last column compares CPU with the bare load of the same database."""
    both = rows + sum(2 * len(range(0, min(BATCH, rows - start), 3)) for start in range(0, rows, BATCH))
    lines = [
        f"{rows:,} entries with {both - rows:,} splits in batches of {BATCH:,}, median of {rounds} rounds, {os.cpu_count()} cores:",
        "",
        "| what | rows/s | wall s | CPU s | CPU against the bare load |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for (contender, step), walls in clock.wall.items():
        wall, cpu = median(walls), median(clock.cpu[contender, step])
        bare = median(clock.cpu[f"bare {contender.removeprefix('bare ')}", "load"])
        told = {
            "bare DuckDB": "DuckDB: bare `INSERT ... SELECT`",
            "bare PostgreSQL": "PostgreSQL: bare `adbc_ingest`",
            "bare Iceberg": "Iceberg: bare `append`, no partitions",
        }.get(contender, f"{contender}: {step}")
        lines.append(f"| {told} | {both / wall:,.0f} | {wall:.2f} | {cpu:.2f} | {cpu / bare:.2f} |")
    return "\n".join(lines)


def main() -> None:
    """Measure, then print or write."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--rows", type=int, default=100_000)
    options.add_argument("--rounds", type=int, default=3)
    options.add_argument("--write", type=Path, metavar="FILE", help="put the table into this file's section `benchmark`")
    given = options.parse_args()
    text = table(measured(given.rows, given.rounds), given.rows, given.rounds)
    print(text)
    if given.write:
        write(given.write, "benchmark", text)


if __name__ == "__main__":
    main()
