"""Every record served is accounted for, sweep by sweep; and what to do when Pleo's own count says otherwise.

A walk that meets another number of records than Pleo reports was read while rows moved, or the count is wrong.
It is read once more; if the numbers still differ, the run warns with both. A difference that was there
at an earlier complete sweep of the same is Pleo's way of counting, and costs no second walk.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import chain

from pleo_connector.catalogue import SyncMode
from pleo_connector.errors import WarehouseError
from pleo_connector.frames import Batch
from pleo_connector.sync import row_counts
from pleo_connector.sync.state_tables import SEEN_KEYS, SWEEPS
from pleo_connector.sync.sweep import ServedPage, Sweep
from pleo_connector.warehouses import MergeCounts, Transaction


def check_balance(batch: Batch, pages: Sequence[ServedPage], counts: MergeCounts) -> None:
    """WarehouseError, before anything is committed, unless of each sweep every record served is loaded, unchanged, set aside or met twice."""
    served: Counter[str] = Counter()
    for page in pages:
        served[page.sweep.sweep_id] += page.rows
    parent = batch.frames[batch.stream.name]
    accounted = Counter(map(str, parent["_sweep_id"])) + Counter(map(str, batch.quarantined["sweep_id"]))
    twice = served.total() - accounted.total()
    merged = counts.inserted + counts.updated + counts.unchanged
    if twice != batch.duplicates or any(accounted[sweep] > served[sweep] for sweep in accounted) or merged != len(parent):
        raise WarehouseError(
            f"Of {served.total()} records of {batch.stream.name}, {merged} reached the warehouse, {len(batch.quarantined)} were set aside "
            f"and {batch.duplicates} were served twice: that does not add up. Nothing of it was written; please report this."
        )


def to_read_again(transaction: Transaction, sweeps: Mapping[str, Sequence[Sweep]]) -> dict[str, list[Sweep]]:
    """By stream: the complete sweeps that met another number of records than Pleo reported, and not for the first time like that."""
    complete = {name: [sweep for sweep in group if _is_counted(sweep)] for name, group in sweeps.items()}
    keys_by_sweep = row_counts.rows_by_sweep(transaction, SEEN_KEYS, [sweep.sweep_id for group in complete.values() for sweep in group])
    for sweep in chain(*complete.values()):
        # Keys are noted where absence counts; and a record that hid its key was met all the same.
        keyed = sweep.stream.mode is not SyncMode.OPEN_JOBS and sweep.proves_absence
        sweep.rows_met = keys_by_sweep.get(sweep.sweep_id, 0) if keyed else sweep.rows_served
    return {
        name: [sweep for sweep in group if sweep.rows_met != sweep.rows_reported and not _is_usual(transaction, sweep)]
        for name, group in complete.items()
    }


def _is_counted(sweep: Sweep) -> bool:
    """Whether the sweep was walked to the end of a listing for which Pleo reported a total."""
    return sweep.exhausted and sweep.error is None and sweep.rows_reported is not None and not sweep.floor


def miscounted(sweep: Sweep) -> str | None:
    """A warning with both numbers, where they differ at last."""
    if sweep.rows_met is None or sweep.rows_met == sweep.rows_reported:
        return None
    return (
        f"Pleo reported {sweep.rows_reported} rows for {sweep} and served {sweep.rows_met}; "
        "rows moved while they were read, or Pleo counts others too."
    )


def _is_usual(transaction: Transaction, sweep: Sweep) -> bool:
    """Whether an earlier complete sweep of the same met as many more or fewer."""
    start, end = sweep.span.limits if sweep.span is not None else (None, None)
    rows = transaction.read(
        SWEEPS,
        ("rows_reported", "rows_met"),
        stream=sweep.stream.name,
        company_id=sweep.company_id,
        parent_id=sweep.parent_id,
        span_start=start,
        span_end=end,
        status="complete",
    ).to_pylist()
    more = (sweep.rows_reported or 0) - (sweep.rows_met or 0)
    return any(None not in row.values() and row["rows_reported"] - row["rows_met"] == more for row in rows)
