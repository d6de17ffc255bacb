"""Whatever is loaded in whatever order, the tables hold what a few lines of Python say they hold."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pleo_connector.warehouses import MergeCounts, Scope, Transaction, open_warehouse
from tests.warehouses.conftest import SLOW, URLS
from tests.warehouses.rows import BILLS, FIRST, LINES, SEEN, bill, bills, key, lines, seen


@dataclass(frozen=True)
class Served:
    """One served bill: what its record says, how many lines it has, and whether Pleo flags it as deleted."""

    number: int
    version: int
    many: int
    gone: bool


@dataclass
class Model:
    """Bill number -> (version, lines, deleted source, step that wrote it)."""

    rows: dict[int, tuple[int, int, str | None, int]] = field(default_factory=dict)

    def merge(self, step: int, served: list[Served]) -> MergeCounts:
        inserted = updated = unchanged = deleted = 0
        for one in served:
            source = "api_flag" if one.gone else None
            before = self.rows.get(one.number)
            if before is not None and (before[0], before[2]) == (one.version, source):
                unchanged += 1
                continue
            inserted, updated = (inserted + 1, updated) if before is None else (inserted, updated + 1)
            deleted += one.gone and (before is None or before[2] is None)
            self.rows[one.number] = (one.version, one.many, source, step)
        return MergeCounts(inserted, updated, unchanged, deleted)

    def sweep(self, step: int, numbers: set[int]) -> int:
        absent = [number for number, row in self.rows.items() if row[2] is None and number not in numbers]
        for number in absent:
            version, many, _, _ = self.rows[number]
            self.rows[number] = (version, many, "sweep_absent", step)
        return len(absent)


served = st.lists(
    st.builds(Served, st.integers(0, 5), st.integers(0, 2), st.integers(0, 2), st.booleans()), max_size=5, unique_by=lambda one: one.number
)
steps = st.lists(st.tuples(st.sampled_from(["merge", "sweep"]), served), min_size=1, max_size=6)


def write(work: Transaction, model: Model, step: int, verb: str, rows: list[Served]) -> None:
    at = FIRST + timedelta(days=step)
    state: dict[int, dict[str, Any]] = {one.number: {"_deleted_at": at, "_deleted_source": "api_flag"} if one.gone else {} for one in rows}
    children = [lines((one.number, one.many), _synced_at=at, **state[one.number]) for one in rows]
    frames = {
        "bills": bills(*(bill(one.number, _row_hash=str(one.version), _synced_at=at, **state[one.number]) for one in rows)),
        "bill_lines": pd.concat([lines(), *children]),
    }
    if verb == "sweep":
        work.upsert(SEEN, seen(str(step), *(one.number for one in rows)))
        live, missing = work.absent(BILLS, Scope(), [str(step)])
        assert live == sum(row[2] is None for row in model.rows.values())
        assert work.tombstone([BILLS, LINES], Scope(), [str(step)], at) == missing == model.sweep(step, {one.number for one in rows})
    else:
        assert work.merge([BILLS, LINES], frames) == model.merge(step, rows)


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps)
def test_the_tables_hold_what_the_model_holds(history: list[tuple[str, list[Served]]]) -> None:
    for make in (URLS[name] for name in URLS if name not in SLOW):
        with TemporaryDirectory() as folder:
            warehouse = open_warehouse(make(Path(folder)), "spend")
            with warehouse.transaction() as work:  # one for all steps: opening the file for each takes most of a test's time
                work.ensure([BILLS, LINES, SEEN])
                model = Model()
                for step, (verb, rows) in enumerate(history):
                    write(work, model, step, verb, rows)
                parents = work.read(BILLS, ["id", "_row_hash", "_deleted_source", "_synced_at"]).to_pylist()
                children = work.read(LINES, ["bill_id", "position", "_deleted_at", "_synced_at"]).to_pylist()
                assert work.count(BILLS) == sum(row[2] is None for row in model.rows.values())
            assert {(row["id"], row["_row_hash"], row["_deleted_source"], row["_synced_at"]) for row in parents} == {
                (key(number), str(version), source, FIRST + timedelta(days=step))
                for number, (version, _, source, step) in model.rows.items()
            }
            assert len(parents) == len(model.rows)
            assert sorted((row["bill_id"], row["position"], row["_deleted_at"] is None, row["_synced_at"]) for row in children) == sorted(
                (key(number), position, source is None, FIRST + timedelta(days=step))
                for number, (_, many, source, step) in model.rows.items()
                for position in range(1, many + 1)
            )
