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
from functools import partial
from pathlib import Path
from statistics import median

import duckdb
import psutil
from adbc_driver_postgresql import dbapi
from pyiceberg.catalog.sql import SqlCatalog

from benchmarks.made_up import TABLES, Frames, changed, made_up
from benchmarks.section import write
from pleo_connector.warehouses import Gathers, open_warehouse
from pleo_connector.warehouses.dialect import DUCKDB
from pleo_connector.warehouses.merge import MergeSql
from pleo_connector.warehouses.staging import staged
from tests.postgres_server import Server, server

BATCH = 100_000
"""Rows of a load, in warehouses that do not gather more."""
SCHEMA = "pleo"


def batch_of(url: str) -> int:
    """Rows of a load: what the connector gathers for one in this warehouse."""
    warehouse = open_warehouse(url, SCHEMA)
    return max(BATCH, warehouse.batches.rows) if isinstance(warehouse, Gathers) else BATCH


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
    plan = MergeSql(DUCKDB, SCHEMA)
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
    frames: Frames = []
    made = 0
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
            for name, bare, url in (
                ("DuckDB", partial(bare_duckdb, folder / f"bare-{turn}.duckdb"), f"duckdb:///{folder}/{turn}.duckdb"),
                ("PostgreSQL", partial(bare_adbc, fresh()), fresh()),
                ("Iceberg", partial(bare_iceberg, folder / f"bare-{turn}"), f"iceberg:///{folder}/lake-{turn}"),
            ):
                if made != (batch := batch_of(url)):  # those of two sizes would be much in memory
                    frames, made = made_up(rows, 7, batch), batch
                later = changed(frames, f"changed {turn}")
                some = sum(len(range(0, len(one[TABLES[0].name]), 100)) for one in frames)
                clock.measure(f"bare {name}", "load", partial(bare, frames))
                clock.measure(name, "load", partial(load, url, frames, (rows, 0)))
                clock.measure(name, "the same again", partial(load, url, frames, (0, 0)))
                clock.measure(name, "1 % changed", partial(load, url, later, (0, some)))
    for times in (clock.wall, clock.cpu):
        for key in times:
            times[key] = times[key][1:]
    return clock


def table(clock: Clock, rows: int, rounds: int) -> str:
    """Markdown; the last columns compare CPU with the bare load of the same database, and with the connector's own."""
    both = rows + sum(2 * len(range(0, min(BATCH, rows - start), 3)) for start in range(0, rows, BATCH))
    gathered = batch_of("iceberg:///none")
    lines = [
        f"{rows:,} entries with some {both - rows:,} splits in loads of {BATCH:,} (Iceberg: {gathered:,}), median of {rounds} rounds, {os.cpu_count()} cores:",
        "",
        "| what | rows/s | wall s | CPU s | CPU against the bare load | CPU of a load |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for (contender, step), walls in clock.wall.items():
        wall, cpu = median(walls), median(clock.cpu[contender, step])
        plain = contender.removeprefix("bare ")
        bare, load = (median(clock.cpu[one, "load"]) for one in (f"bare {plain}", plain))
        told = {
            "bare DuckDB": "DuckDB: bare `INSERT ... SELECT`",
            "bare PostgreSQL": "PostgreSQL: bare `adbc_ingest`",
            "bare Iceberg": "Iceberg: bare `append`, no partitions",
        }.get(contender, f"{contender}: {step}")
        part = "" if step == "load" else f"{cpu / load:.0%}"
        lines.append(f"| {told} | {both / wall:,.0f} | {wall:.2f} | {cpu:.2f} | {cpu / bare:.2f} | {part} |")
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
