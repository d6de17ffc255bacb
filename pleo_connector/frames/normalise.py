"""Raw records of a stream to typed frames: DuckDB reads, Arrow types and assembles, pandas carries.

    pages -> one Arrow column of record texts -> one nested column of value texts (DuckDB's from_json)
          -> typed rows per level: records, and the elements of their lists -> rows checked (quarantine,
          duplicates) -> hashes -> one frame per table, drift, counts

Records whose structure in DuckDB's json_structure is as declared need no more than that. Only levels with another
structure are inspected: the JSON type of each value, and the undeclared fields.

No step loops over records in Python, except over quarantined ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pleo_connector.catalogue import Stream
from pleo_connector.errors import DriftError
from pleo_connector.frames.assembly import Assembly, empty_frames
from pleo_connector.frames.batch import Batch, Served
from pleo_connector.frames.drift import Drift
from pleo_connector.frames.findings import find_drift
from pleo_connector.frames.hashing import row_hashes
from pleo_connector.frames.levels import StreamLevels, compile_levels
from pleo_connector.frames.parent import add_parent
from pleo_connector.frames.quarantine import SetAside, broken_rows, quarantine_frame
from pleo_connector.frames.reading import Reader, open_reader, select
from pleo_connector.frames.rows import Indices, Rows, mask_of, read_rows
from pleo_connector.frames.texts import record_texts
from pleo_connector.stream_options import DriftPolicy


def normalise(stream: Stream, pages: Sequence[Served], *, now: datetime, policy: DriftPolicy = DriftPolicy.EVOLVE) -> Batch:
    """Type the records of these pages; `now` (UTC-aware) becomes `_synced_at`.

    A record with an impossible value goes to `quarantined` and nowhere else. Of records with the same
    key the last one served wins. Raises DriftError under `DriftPolicy.FREEZE` when records do not fit.
    """
    if now.tzinfo is None:
        raise ValueError("normalise needs a `now` with a time zone")
    records = [record for page in pages for record in page.records]
    of_page = np.repeat(np.arange(len(pages), dtype=np.int64), [len(page.records) for page in pages])
    if not records:
        return Batch(stream, empty_frames(stream), quarantine_frame(stream, SetAside(), [], pages, of_page, now), 0, 0, Drift())
    levels = compile_levels(stream)
    texts, aside = record_texts(records)
    strict = policy is DriftPolicy.QUARANTINE
    with open_reader() as con:
        try:
            served, top = _read(con, levels, texts, aside, strict=strict)
        except duckdb.Error:
            aside = aside | _not_json(con, texts)
            served, top = _read(con, levels, texts, aside, strict=strict)
        del texts  # as much memory as the records themselves, and all of it is read
        add_parent(con, stream, top, pa.array([page.parent_id for page in pages], pa.string()).take(pa.array(of_page[served])))
        aside = aside | broken_rows(top, served)
        drift = find_drift(top, top.columns[stream.key], aside, served)
        if policy is DriftPolicy.FREEZE and drift.breaks_declaration:
            raise DriftError(
                f"The records of {stream.name} no longer fit the declaration ({drift.sentence()}); nothing was written:"
                " update the connector, or set the stream's drift policy to evolve."
            )
        hashes = row_hashes(con, top, levels.fingerprint)
    good = ~mask_of([*aside.reasons], len(records))[served]
    assembly = Assembly(stream, pages, now, top, hashes, of_page[served], good)
    quarantined = quarantine_frame(stream, aside, records, pages, of_page, now)
    return Batch(stream, assembly.frames(), quarantined, len(records), assembly.duplicates, drift)


def _read(con: duckdb.DuckDBPyConnection, levels: StreamLevels, texts: pa.Array, aside: SetAside, *, strict: bool) -> tuple[Indices, Rows]:
    """All records that are not set aside, and their numbers; duckdb.Error when one of them is not JSON."""
    served = np.flatnonzero(~mask_of([*aside.reasons], len(texts)))
    if aside:
        texts = texts.take(pa.array(served))
    return served, read_rows(Reader(con, levels, texts), levels.top, strict=strict)


def _not_json(con: duckdb.DuckDBPyConnection, texts: pa.Array) -> SetAside:
    """Records that DuckDB cannot parse; looked for only when it has complained."""
    valid = select(con, "json_valid(rec)", texts)
    return SetAside({int(number): ("$", "not valid JSON") for number in np.flatnonzero(pc.invert(valid).fill_null(False))})


__all__ = ["Served", "normalise"]
