"""Raw records of a stream to typed frames: DuckDB reads and types, Arrow assembles, pandas carries.

    pages -> one Arrow column of record texts -> one typed relation per level (record, lists in it)
          -> rows judged (quarantine, duplicates) -> hashes -> one frame per table, drift, counts

No step loops over records in Python; only what is set aside is looked at one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import duckdb
import numpy as np
import pyarrow as pa

from pleo_connector.catalogue import Stream
from pleo_connector.errors import DriftError
from pleo_connector.frames.assembly import Assembly, Indices, empty_frames
from pleo_connector.frames.batch import Batch, Served
from pleo_connector.frames.drift import Drift, DriftPolicy
from pleo_connector.frames.findings import find_drift
from pleo_connector.frames.hashing import row_hashes
from pleo_connector.frames.plan import Plan, compile_plan
from pleo_connector.frames.quarantine import SetAside, broken_rows, quarantine_frame
from pleo_connector.frames.reading import ReadLevel, open_reader, read_level
from pleo_connector.frames.texts import record_texts


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
    plan = compile_plan(stream)
    texts, aside = record_texts(records)
    strict = policy is DriftPolicy.QUARANTINE
    with open_reader() as con:
        try:
            top = _read(con, plan, texts, of_page, aside, strict=strict)
        except duckdb.Error:
            aside = aside | _not_json(con, texts)
            top = _read(con, plan, texts, of_page, aside, strict=strict)
        aside = aside | broken_rows(con, top)
        drift = find_drift(con, top, aside, stream)
        if policy is DriftPolicy.FREEZE and drift.breaks_declaration:
            raise DriftError(
                f"The records of {stream.name} no longer fit the declaration ({drift.sentence()}); nothing was written:"
                " update the connector, or set the stream's drift policy to evolve."
            )
        hashes = row_hashes(con, top, plan.fingerprint)
        assembly = Assembly(stream, pages, now, con, top, hashes, aside)
        frames = assembly.frames()
    quarantined = quarantine_frame(stream, aside, records, pages, of_page, now)
    return Batch(stream, frames, quarantined, len(records), assembly.duplicates, drift)


def _read(con: duckdb.DuckDBPyConnection, plan: Plan, texts: pa.Array, of_page: Indices, aside: SetAside, *, strict: bool) -> ReadLevel:
    """Type all records that are not set aside; duckdb.Error when one of them is not JSON."""
    numbers = np.arange(len(texts), dtype=np.int64)
    if aside:
        numbers = np.setdiff1d(numbers, np.fromiter(aside.reasons, np.int64, len(aside.reasons)))
        texts, of_page = texts.take(pa.array(numbers)), of_page[numbers]
    con.register("served", pa.table({"i": numbers, "page": of_page, "rec": texts}))
    return read_level(con, plan.top, "served", strict=strict)


def _not_json(con: duckdb.DuckDBPyConnection, texts: pa.Array) -> SetAside:
    """Records that DuckDB cannot parse; looked for only when it has complained."""
    con.register("texts", pa.table({"i": np.arange(len(texts)), "rec": texts}))
    rows = con.execute("SELECT i FROM texts WHERE NOT json_valid(rec)").fetchall()
    return SetAside({i: ("$", "not valid JSON") for (i,) in rows})


__all__ = ["Served", "normalise"]
