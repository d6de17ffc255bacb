"""Record bytes to one Arrow text column, in three copies of memory at most and no Python strings."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from pleo_connector.frames.envelope import RawRecord
from pleo_connector.frames.quarantine import SetAside


def record_texts(records: Sequence[RawRecord]) -> tuple[pa.Array, SetAside]:
    """The records as one large_string column; those that are not UTF-8 are NULL in it and set aside."""
    offsets = np.zeros(len(records) + 1, np.int64)
    views = [memoryview(record) for record in records]
    np.cumsum([view.nbytes for view in views], out=offsets[1:])
    joined = b"".join(views)
    binary = pa.Array.from_buffers(pa.large_binary(), len(records), [None, pa.py_buffer(offsets), pa.py_buffer(joined)])
    try:
        return binary.cast(pa.large_string()), SetAside()
    except pa.ArrowInvalid:
        return _only_utf8(records)


def _only_utf8(records: Sequence[RawRecord]) -> tuple[pa.Array, SetAside]:
    texts: list[str | None] = []
    aside: dict[int, tuple[str, str]] = {}
    for number, record in enumerate(records):
        try:
            texts.append(bytes(record).decode("utf-8"))
        except UnicodeDecodeError:
            texts.append(None)
            aside[number] = ("$", "not valid UTF-8")
    return pa.array(texts, pa.large_string()), SetAside(aside)
