"""The end of a stream's sweeps: what was not met is gone.

Absence proves deletion only after a complete walk, and only if not suspiciously much is
absent: losing a fifth of a table more likely means a lost permission than a tidy-up.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pleo_connector.catalogue import Stream, SyncMode
from pleo_connector.errors import MassDeleteRefused, PleoError
from pleo_connector.sync import ledger
from pleo_connector.sync.report import StreamReport
from pleo_connector.sync.sweep import Sweep
from pleo_connector.warehouses import Scope, Transaction

MASS_ROWS = 10
MASS_SHARE = 0.2

NO_SWEEP = ("none",)
"""Met nothing: stands for the sweeps of a company whose last parent is gone."""


@dataclass(slots=True)
class Finished:
    """What the end of a stream's sweeps found; reported once it is committed."""

    completed: int = 0
    absent: int = 0
    tables: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    error: PleoError | None = None

    def add_to(self, report: StreamReport) -> None:
        """Add these figures to the stream's report."""
        report.sweeps_completed += self.completed
        report.absent += self.absent
        report.tables = self.tables
        report.warnings += self.warnings
        report.error = report.error or self.error


def finish(
    transaction: Transaction, stream: Stream, sweeps: Sequence[Sweep], whole: Collection[str], *, allow_mass_delete: bool
) -> Finished:
    """Close the sweeps that were walked to the end and mark what they did not meet as deleted.

    `whole` names the companies whose parents are all known, for a stream that is read for each record of another.
    """
    found = Finished()
    complete = [sweep for sweep in sweeps if sweep.exhausted and sweep.error is None]
    ids = [sweep.sweep_id for sweep in sweeps]
    deleted: dict[str, int] = {}
    for proof in _proofs(stream, sweeps, complete, whole):
        # One look at the whole stretch: nearly always nothing is absent, whatever the number of windows.
        if transaction.absent(stream.tables()[0], _scope(stream, proof.company_id, proof.sweeps), ids or NO_SWEEP)[1] == 0:
            continue
        parts = [[sweep] for sweep in proof.sweeps] if stream.window is not None else [proof.sweeps]
        for part in parts:
            count = _bury(transaction, stream, Proof(proof.company_id, part), ids or NO_SWEEP, found, allow_mass_delete=allow_mass_delete)
            if part:
                deleted[part[0].sweep_id] = count
            found.absent += count
    for sweep in complete:
        if sweep.rows_reported is not None and sweep.rows_reported != sweep.rows_served and sweep.floor is None:
            found.warnings.append(
                f"Pleo reported {sweep.rows_reported} rows for {sweep} and served {sweep.rows_served}; rows may have moved while they were read."
            )
    ledger.write_sweeps(transaction, complete, "complete", deleted)
    ledger.forget(transaction, complete)
    found.completed = len(complete)
    found.tables = {table.name: transaction.count(table) for table in stream.tables()}
    return found


@dataclass(frozen=True, slots=True)
class Proof:
    """Sweeps that together met every living row of a company, or of the span that they cover."""

    company_id: str | None
    sweeps: Sequence[Sweep]


def _proofs(stream: Stream, sweeps: Sequence[Sweep], complete: Sequence[Sweep], whole: Collection[str]) -> Iterator[Proof]:
    """What absence can be told from: nothing of export jobs, which Pleo forgets, and nothing that was read down to a floor only."""
    if stream.mode is SyncMode.OPEN_JOBS:
        return
    if stream.parent is not None:
        ended = {sweep.sweep_id for sweep in complete}
        for listed in whole:
            mine = [sweep for sweep in sweeps if sweep.company_id == listed]
            if all(sweep.sweep_id in ended for sweep in mine):
                yield Proof(listed, mine)
        return
    proving = [sweep for sweep in complete if sweep.floor is None]
    for company_id in dict.fromkeys(sweep.company_id for sweep in proving):
        yield Proof(company_id, [sweep for sweep in proving if sweep.company_id == company_id])


def _bury(transaction: Transaction, stream: Stream, proof: Proof, ids: Sequence[str], found: Finished, *, allow_mass_delete: bool) -> int:
    scope = _scope(stream, proof.company_id, proof.sweeps)
    what = str(proof.sweeps[0]) if len(proof.sweeps) == 1 else f"{stream.name} of company {proof.company_id}"
    live, absent = transaction.absent(stream.tables()[0], scope, ids)
    if absent == 0:
        return 0
    if not all(sweep.proves_absence for sweep in proof.sweeps):
        found.warnings.append(
            f"{absent} rows of {what} were not served, but nothing is marked deleted: the sweep could not read every key."
        )
        return 0
    if absent > MASS_ROWS and absent > MASS_SHARE * live and not allow_mass_delete:
        found.error = MassDeleteRefused(
            f"{absent} of {live} rows of {what} are no longer served; nothing was marked deleted. Check the credential's access, "
            "and if the rows are really gone, run `pleo-connector sync --allow-mass-delete`."
        )
        return 0
    return transaction.tombstone(stream.tables(), scope, ids, datetime.now(UTC))


def _scope(stream: Stream, company_id: str | None, sweeps: Sequence[Sweep]) -> Scope:
    spans = [sweep.span for sweep in sweeps if sweep.span is not None]
    if not spans or stream.window is None:
        return Scope(company_id)
    return Scope(company_id, stream.window.column, min(span.start for span in spans), max(span.end for span in spans))
