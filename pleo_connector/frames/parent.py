"""Columns that come from the parent record that records were read for, and not from the records themselves."""

from __future__ import annotations

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pleo_connector.catalogue import Stream
from pleo_connector.frames.reading import select
from pleo_connector.frames.rows import Rows


def add_parent(con: duckdb.DuckDBPyConnection, stream: Stream, rows: Rows, parents: pa.Array) -> None:
    """Add the parent's key, where records do not say it, and the key that is made of it; `parents` has one key per row.

    Both parts of a made key are canonical UUIDs, so that the same record has the same key for ever.
    """
    if stream.parent is None:
        return
    rows.columns.setdefault(stream.parent.column, parents)
    within = next((column.name for column in stream.columns if column.source == stream.parent.within), None)
    if within is not None:
        both = pc.binary_join_element_wise(parents, rows.columns[within], ":")
        rows.columns[stream.key] = select(con, "md5(rec)::UUID::VARCHAR", both)
