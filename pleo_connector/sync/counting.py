"""Every record served is accounted for, sweep by sweep; and what to do when Pleo's own count says otherwise.

If a walk reads another number of records than Pleo reports, rows moved meanwhile, or the count is wrong.
The walk is repeated once; if the numbers still differ, the run warns with both. If an earlier complete sweep of
the same scope had the same difference, Pleo counts differently, and the walk is not repeated.
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
    """WarehouseError before the commit, unless every served record of each sweep is loaded, unchanged, quarantined or a duplicate."""
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
            f"and {batch.duplicates} were served twice: the numbers do not add up. None of them were written; please report this."
        )


def to_read_again(transaction: Transaction, sweeps: Mapping[str, Sequence[Sweep]]) -> dict[str, list[Sweep]]:
    """By stream: the complete sweeps that read another number of records than Pleo reported, unless an earlier sweep had that difference."""
    complete = {name: [sweep for sweep in group if _is_counted(sweep)] for name, group in sweeps.items()}
    keys_by_sweep = row_counts.rows_by_sweep(transaction, SEEN_KEYS, [sweep.sweep_id for group in complete.values() for sweep in group])
    for sweep in chain(*complete.values()):
        # Keys are noted only where absence counts; a record without a readable key counts as read.
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
    """A warning with both numbers, where they still differ."""
    if sweep.rows_met is None or sweep.rows_met == sweep.rows_reported:
        return None
    return (
        f"Pleo reported {sweep.rows_reported} rows for {sweep} and served {sweep.rows_met}; "
        "rows moved while they were read, or Pleo counts others too."
    )


def _is_usual(transaction: Transaction, sweep: Sweep) -> bool:
    """Whether an earlier complete sweep of the same scope had the same difference."""
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
