"""The end of a stream's sweeps: absent rows become tombstones.

Absence proves deletion only after a complete walk, and only if not too many rows are
absent: a missing fifth of a table more likely means a lost permission than deleted records.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime

from pleo_connector.api import Interval
from pleo_connector.catalogue import Stream, SyncMode
from pleo_connector.errors import MassDeleteRefused, PleoError
from pleo_connector.sync import row_counts, state, windows
from pleo_connector.sync.counting import miscounted
from pleo_connector.sync.report import StreamReport
from pleo_connector.sync.sweep import Sweep
from pleo_connector.warehouses import Scope, Transaction

MASS_ROWS = 10
MASS_SHARE = 0.2

NO_SWEEP = ("none",)
"""An id that no sweep has: for a company whose last parent is gone, so that no row counts as read."""


@dataclass(slots=True)
class Finished:
    """The result of ending a stream's sweeps; reported after the commit."""

    completed: int = 0
    spans: tuple[Interval, ...] = ()
    """The spans that were read to their end, of a stream with windows."""
    absent: int = 0
    states: list[state.SweepState] = field(default_factory=list)
    """How the sweeps that were walked to the end ended; the caller writes them."""
    tables: dict[str, int] = field(default_factory=dict)
    changed_by_tier: dict[str, int] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    error: PleoError | None = None

    def add_to(self, report: StreamReport) -> None:
        """Add these figures to the stream's report."""
        report.sweeps_completed += self.completed
        report.spans = windows.joined((*report.spans, *self.spans))
        report.absent += self.absent
        report.tables = self.tables
        report.changed_by_tier = self.changed_by_tier
        report.warnings += self.warnings
        report.error = report.error or self.error


def finish(
    transaction: Transaction,
    stream: Stream,
    sweeps: Sequence[Sweep],
    whole: Collection[str],
    *,
    allow_mass_delete: bool,
    at: datetime,
    history: bool = False,
    new: Collection[str] = (),
) -> Finished:
    """Close the sweeps that were walked to the end, and mark the rows that they did not read as deleted, `at` that time.

    `whole` names the companies whose parents are all known, for a stream that is read for each record of another. `new` names
    companies that are read whole for the first time: their sweeps stay open until all have ended, so that the next run goes on.
    """
    outcome = Finished()
    partly = {sweep.company_id for sweep in sweeps if sweep.company_id in new and not _ended(sweep)}
    complete = [sweep for sweep in sweeps if _ended(sweep) and sweep.company_id not in partly]
    ids = [sweep.sweep_id for sweep in sweeps] or NO_SWEEP
    checks = list(_absence_checks(transaction, stream, list(_proofs(stream, sweeps, complete, whole)), ids))
    missing = [check for check in checks if check.absent]
    refused = [] if allow_mass_delete else _suspicious(checks)
    status = {sweep.sweep_id: "complete" for sweep in complete}
    deleted: dict[str, int] = {}
    for check in missing:
        absence_status = "refused" if check in refused else _absence_status(check, outcome)
        if absence_status == "gone":
            count = transaction.tombstone(stream.tables(), check.scope, ids, at, history=history)
            outcome.absent += count
            deleted |= {sweep.sweep_id: count for sweep in check.sweeps[:1]}
        else:
            status |= {sweep.sweep_id: absence_status for sweep in check.sweeps}
    if refused:
        outcome.error = MassDeleteRefused(
            f"{_summary(refused)}: none of them were marked deleted. Check the credential's access, "
            "and if the rows are really gone, run the same sync with --allow-mass-delete."
        )
    if stream.window is not None:
        for company_id in {check.company_id for check in checks if check.settles}:
            state.settle(transaction, stream, company_id)
    outcome.warnings += filter(None, map(miscounted, complete))
    outcome.changed_by_tier = _changed(transaction, stream, sweeps, deleted)
    outcome.states = [state.SweepState(sweep, status[sweep.sweep_id], deleted.get(sweep.sweep_id, 0)) for sweep in complete]
    outcome.completed = sum(state == "complete" for state in status.values())
    outcome.spans = windows.joined({sweep.span for sweep in complete if sweep.span is not None})
    return outcome


def _ended(sweep: Sweep) -> bool:
    return sweep.exhausted and sweep.error is None


def _changed(transaction: Transaction, stream: Stream, sweeps: Sequence[Sweep], deleted: Mapping[str, int]) -> dict[str, int]:
    """Rows that were new, changed or deleted in these sweeps, by tier of their windows. Sets `rows_changed` of each sweep."""
    if stream.window is None:
        return {}
    written = row_counts.by_sweep(transaction, stream, [sweep.sweep_id for sweep in sweeps])
    by_tier: dict[str, int] = {}
    for sweep in sweeps:
        sweep.rows_changed = written.get(sweep.sweep_id, 0)
        if sweep.tier is not None:
            by_tier[sweep.tier] = by_tier.get(sweep.tier, 0) + sweep.rows_changed + deleted.get(sweep.sweep_id, 0)
    return by_tier


def _summary(checks: Sequence[AbsenceCheck]) -> str:
    more = f"; and {len(checks) - 3} more like these" if len(checks) > 3 else ""  # noqa: PLR2004 - a sentence, not a list
    return "; ".join(map(str, checks[:3])) + more


def _absence_status(check: AbsenceCheck, outcome: Finished) -> str:
    """`gone` if absent rows are to be marked deleted, else the status of their sweeps."""
    if not all(sweep.proves_absence for sweep in check.sweeps):
        outcome.warnings.append(f"{check}, but nothing is marked deleted: the sweep could not read every key.")
        return "complete"
    if not check.settles:
        outcome.warnings.append(f"{check}; they may have moved to a month that was not read, so the next run reads all months.")
        return "unproven"
    return "gone"


@dataclass(frozen=True, slots=True)
class Proof:
    """Sweeps that together read every live row of a company, or of the span that they cover."""

    company_id: str | None
    sweeps: Sequence[Sweep]
    settles: bool = True
    """False when a missing row may be in a window that was not read."""


@dataclass(frozen=True, slots=True)
class AbsenceCheck:
    """The absent rows of one proof, or of one window of it."""

    stream: Stream
    company_id: str | None
    sweeps: Sequence[Sweep]
    scope: Scope
    live: int
    absent: int
    settles: bool

    def __str__(self) -> str:
        what = str(self.sweeps[0]) if len(self.sweeps) == 1 else f"{self.stream.name} of company {self.company_id}"
        return f"{self.absent} of {self.live} rows of {what} are no longer served"


def _absence_checks(transaction: Transaction, stream: Stream, proofs: Sequence[Proof], ids: Sequence[str]) -> Iterator[AbsenceCheck]:
    """One query for all companies, since nearly always nothing is absent; else one for each."""
    scopes = [_scope(stream, proof.company_id, proof.sweeps) for proof in proofs]
    if len(proofs) > 1:
        before = [scope.before for scope in scopes if scope.before is not None]
        latest = max(before) if len(before) == len(scopes) else None
        everywhere = replace(_scope(stream, None, [sweep for proof in proofs for sweep in proof.sweeps]), before=latest)
        if not transaction.absent(stream.tables()[0], everywhere, ids)[1]:
            for proof, scope in zip(proofs, scopes, strict=True):
                yield AbsenceCheck(stream, proof.company_id, proof.sweeps, scope, 0, 0, proof.settles)
            return
    for proof, scope in zip(proofs, scopes, strict=True):
        yield from _absence_checks_of_company(transaction, stream, proof, scope, ids)


def _absence_checks_of_company(
    transaction: Transaction, stream: Stream, proof: Proof, scope: Scope, ids: Sequence[str]
) -> Iterator[AbsenceCheck]:
    """One query for the whole span; if rows are absent, one for each window."""
    table = stream.tables()[0]
    live, absent = transaction.absent(table, scope, ids)
    if absent == 0 or stream.window is None:
        yield AbsenceCheck(stream, proof.company_id, proof.sweeps, scope, live, absent, proof.settles)
        return
    for sweep in proof.sweeps:
        part = _scope(stream, proof.company_id, [sweep])
        yield AbsenceCheck(stream, proof.company_id, [sweep], part, *transaction.absent(table, part, ids), proof.settles)


def _suspicious(checks: Sequence[AbsenceCheck]) -> list[AbsenceCheck]:
    """The checks with too many absent rows: alone, together with others of their company, or if the whole stream is absent."""
    live, absent = sum(check.live for check in checks), sum(check.absent for check in checks)
    missing = [check for check in checks if check.absent]
    if live > 1 and absent == live:
        return missing
    companies = {check.company_id for check in checks}
    groups = [[check for check in checks if check.company_id == company_id] for company_id in companies] + [[check] for check in checks]
    bad = {id(check) for group in groups if _is_mass(group) for check in group}
    return [check for check in missing if id(check) in bad]


def _is_mass(group: Sequence[AbsenceCheck]) -> bool:
    absent = sum(check.absent for check in group)
    return absent > MASS_ROWS and absent > MASS_SHARE * sum(check.live for check in group)


def _proofs(stream: Stream, sweeps: Sequence[Sweep], complete: Sequence[Sweep], whole: Collection[str]) -> Iterator[Proof]:
    """The sweeps that can prove absence: none of export jobs, which Pleo stops serving, and none that read down to a floor only."""
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
        mine = [sweep for sweep in proving if sweep.company_id == company_id]
        settles = stream.window is None or _covers_all([sweep for sweep in sweeps if sweep.company_id == company_id], complete)
        yield Proof(company_id, mine, settles)


def _covers_all(mine: Sequence[Sweep], complete: Sequence[Sweep]) -> bool:
    """Whether these sweeps of one company were all walked to the end, and leave no moment out."""
    ended = {sweep.sweep_id for sweep in complete}
    spans = [sweep.span for sweep in mine if sweep.span is not None]
    return all(sweep.sweep_id in ended for sweep in mine) and windows.cover_everything(spans)


def _scope(stream: Stream, company_id: str | None, sweeps: Sequence[Sweep]) -> Scope:
    # A row that another run wrote since the sweep began may have come too late for it to meet.
    before = min((sweep.started_at for sweep in sweeps), default=None)
    spans = [sweep.span for sweep in sweeps if sweep.span is not None]
    if not spans or stream.window is None:
        return Scope(company_id, before=before)
    start, end = Interval(min(span.start for span in spans), max(span.end for span in spans)).limits
    return Scope(company_id, stream.window.column, start, end, before)
