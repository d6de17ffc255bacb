"""Tables made again from raw pages, without asking Pleo.

The recorded loads go, in the order of their commits, through the code that a sync uses: normalised by this version, merged
with their own times, and ended as they ended. All of it is one transaction: readers see the old tables or the new ones.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from pleo_connector.catalogue import CATALOGUE, Catalogue, Stream
from pleo_connector.catalogue.rules import under_rules
from pleo_connector.errors import ConfigurationError
from pleo_connector.stream_options import DEFAULT, StreamOptions
from pleo_connector.sync import state
from pleo_connector.sync.owner import is_alive
from pleo_connector.sync.raw import RawLanding
from pleo_connector.sync.raw_cover import superseded, walked
from pleo_connector.sync.raw_folder import RawFolder
from pleo_connector.sync.raw_policy import OFF, RawPolicy
from pleo_connector.sync.raw_reading import RawLoad, RawReader
from pleo_connector.sync.raw_tables import RAW_REQUESTS, RAW_TABLES
from pleo_connector.sync.report import StreamReport
from pleo_connector.sync.state_tables import CHECKPOINTS, QUARANTINE, SEEN_KEYS, STATE_TABLES, SWEEPS
from pleo_connector.sync.writing import Run, StreamWork, Writer, joined
from pleo_connector.warehouses import Transaction, Warehouse


@dataclass(slots=True)
class ReplayReport:
    """The result of a replay. `missing` names streams with sweeps whose pages are not stored: their rows could not be made again."""

    streams: dict[str, StreamReport]
    loads: int = 0
    pages: int = 0
    missing: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {
            "loads": self.loads,
            "pages": self.pages,
            "missing": dict(self.missing),
            "seconds": round(self.seconds, 3),
            "streams": [report.as_dict() for report in self.streams.values()],
        }


def replay(
    source: Warehouse,
    target: Warehouse | None = None,
    streams: Sequence[str] = (),
    *,
    raw: RawPolicy,
    options: Mapping[str, StreamOptions] | None = None,
    hash_key: str = "",
    catalogue: Catalogue = CATALOGUE,
    partial: bool = False,
) -> ReplayReport:
    """Make the tables of these streams (none means all) again from the raw pages in `source`.

    Into `target`, where their tables must be empty; without one, in place: history tables then stay as they are, and so do rows
    whose pages are no longer kept. ConfigurationError when pages of the present rows are missing, unless `partial`; and in
    place while a sync is running.
    """
    options = options or {}
    catalogue = under_rules(catalogue, options, hash_key)
    chosen = [catalogue.stream(name) for name in streams] or list(catalogue)
    began = time.monotonic()
    in_place = target is None or _same(source, target, chosen)
    work = {stream.name: StreamWork(stream, StreamReport(stream.name)) for stream in chosen}
    report = ReplayReport({name: one.report for name, one in work.items()})
    if in_place:
        options = {name: replace(chosen_, history=False) for name, chosen_ in options.items()}
    landing = RawLanding(RawPolicy(OFF) if in_place else raw)
    with ExitStack() as stack:
        reading = stack.enter_context(source.transaction())
        reading.ensure([*STATE_TABLES, *RAW_TABLES])
        writing = reading if in_place or target is None else stack.enter_context(target.transaction())
        report.missing = _missing(reading, chosen, partial=partial or in_place)
        _prepare(writing, chosen, options, landing, in_place=in_place)
        replaying = _Replaying(writing, work, Writer(work, options, landing), RawFolder(raw.folder) if raw.folder else None)
        reader = RawReader(reading, catalogue, frozenset(work), replaying.folder)
        for load in reader.loads():
            replaying.one(reader, load)
            report.loads += 1
            report.pages += len(load.requests)
    report.seconds = time.monotonic() - began
    return report


@dataclass(slots=True)
class _Replaying:
    transaction: Transaction
    work: Mapping[str, StreamWork]
    writer: Writer
    folder: RawFolder | None
    _runs: dict[str, str] = field(default_factory=dict)

    def one(self, reader: RawReader, load: RawLoad) -> None:
        """One load as it was."""
        names = {row["stream"] for row in load.requests} | {end.stream for end in load.ended}
        begun = [name for name in names if self._runs.get(name) != load.run]
        for name, keys in state.quarantined_keys(self.transaction, begun).items() if begun else ():
            self._runs[name] = load.run  # what a run knows of the quarantine is what was there when it began
            self.work[name].quarantined = keys
        pieces = [self.writer.prepare(pages, load.at, packed_pages) for pages, packed_pages in reader.pages(load)]
        ended = []
        for end in load.ended:
            one = self.work[end.stream]
            one.sweeps = [sweep for sweep_end in end.sweeps if (sweep := reader.sweep(one.stream, sweep_end)) is not None]
            one.abandoned = [sweep for sweep_end in end.abandoned if (sweep := reader.sweep(one.stream, sweep_end)) is not None]
            one.whole = set(end.whole)
            ended.append(one)
        prepared = joined(pieces, load.at)
        for name in names:
            if (error := self.work[name].report.error) is not None:
                raise error
        self.writer.write(self.transaction, prepared, ended, Run(load.run, allow_mass_delete=any(e.allow_mass_delete for e in load.ended)))
        self.writer.count(prepared, ended)
        for one in ended:
            one.report.error = None  # a refused deletion was refused then, too


def _same(source: Warehouse, target: Warehouse, streams: Sequence[Stream]) -> bool:
    table = streams[0].tables()[0]
    return (source.kind, source.location, source.relation(table)) == (target.kind, target.location, target.relation(table))


def _missing(transaction: Transaction, streams: Sequence[Stream], *, partial: bool) -> dict[str, int]:
    """Sweeps whose rows are there and whose pages are not: raw landing was off, or is younger than they are."""
    missing: dict[str, int] = {}
    stale: list[str] = []
    for stream in streams:
        sweeps = walked(transaction, stream)
        stored_sweeps = set(transaction.read(RAW_REQUESTS, ("sweep_id",), stream=stream.name)["sweep_id"].to_pylist())
        lacking = [sweep for sweep in sweeps if sweep.rows and sweep.sweep_id not in stored_sweeps]
        having = [sweep for sweep in sweeps if sweep.sweep_id in stored_sweeps]
        replaced = {sweep.sweep_id for sweep in superseded(stream, lacking, having)}
        lost = [sweep for sweep in lacking if sweep.sweep_id not in replaced]
        if lost:
            missing[stream.name] = len(lost)
        if any(older.started_at < sweep.started_at for sweep in lost for older in having):
            stale.append(stream.name)
    if missing and (not partial or stale):
        summary = ", ".join(f"{name} ({count} sweeps)" for name, count in missing.items())
        raise ConfigurationError(
            f"Raw pages are missing for rows of the tables: {summary}; run `pleo-connector sync --mode full` with PLEO_RAW on, and then replay"
            + ("." if stale else ", or replay what there is with --partial.")
        )
    return missing


def _prepare(
    transaction: Transaction,
    streams: Sequence[Stream],
    options: Mapping[str, StreamOptions],
    landing: RawLanding,
    *,
    in_place: bool,
) -> None:
    transaction.ensure([*(table for stream in streams for table in stream.tables()), *STATE_TABLES])
    landing.ensure(transaction)
    for stream in streams:
        if options.get(stream.name, DEFAULT).history:
            transaction.keep_history(stream.tables())
        if in_place:
            _forget_progress(transaction, stream)
        elif not _is_empty(transaction, stream):
            raise ConfigurationError(
                f"The warehouse to replay into has rows of {stream.name} already; name an empty one, or another schema (PLEO_SCHEMA)."
            )


def _is_empty(transaction: Transaction, stream: Stream) -> bool:
    table = stream.tables()[0]
    return (
        not transaction.read(table, (table.key[0],)).num_rows and not transaction.read(SWEEPS, ("sweep_id",), stream=stream.name).num_rows
    )


def _forget_progress(transaction: Transaction, stream: Stream) -> None:
    """Empty what the replay fills again; open sweeps of which pages are missing start again with the next sync."""
    now = datetime.now(UTC)
    rows = transaction.read(SWEEPS, stream=stream.name, status="open").to_pylist()
    if any(is_alive(row["owner"] or "", row["touched_at"], now) for row in rows):
        raise ConfigurationError(f"A sync of {stream.name} is running; wait for its end or stop it, then run the replay again.")
    stored_sweeps = (
        transaction.read(RAW_REQUESTS, ("sweep_id",), sweep_id=[row["sweep_id"] for row in rows])["sweep_id"].to_pylist() if rows else []
    )
    for row in rows:
        if stored_sweeps.count(row["sweep_id"]) != row["pages"]:
            transaction.upsert(SWEEPS, state.frame_of(SWEEPS, [row | {"status": "abandoned"}]))
    for table in (SEEN_KEYS, CHECKPOINTS, QUARANTINE):
        transaction.delete(table, stream=stream.name)
