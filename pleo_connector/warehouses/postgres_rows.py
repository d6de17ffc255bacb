"""Arrow tables in the form in which PostgreSQL's binary COPY takes them, column by column and without a Python loop.

The driver writes Arrow's own types. Two of PostgreSQL's types have none: `uuid` is 16 bytes, and `jsonb` is text after
one byte that says version 1. Both formats are those of `uuid_recv` and `jsonb_recv` since PostgreSQL 8.3 and 9.4.
"""

from __future__ import annotations

import re
import uuid
from binascii import unhexlify
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pleo_connector.catalogue import Storage, Table
from pleo_connector.errors import WarehouseError

UUID = pa.binary(16)

_HYPHENS = [8, 13, 18, 23]
_GROUPS = [(0, 8), (9, 13), (14, 18), (19, 23), (24, 36)]
_LENGTH = 36
_AT_ONCE = 4096
"""Texts that are read at once: what is made of them on the way stays in the processor's cache."""

_ESCAPE = re.compile(r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u([0-9a-fA-F]{4})|.)", re.DOTALL)
_UNSTORABLE = r"\\u(0000|[dD][89a-fA-F])"


def wired(table: Table, rows: pa.Table) -> tuple[pa.Table, int]:
    r"""The rows for COPY, and how many values held characters that PostgreSQL cannot store.

    Those are NUL in text, and `\u0000` and half surrogate pairs in JSON: U+FFFD takes their place.
    WarehouseError for a value that is no UUID.
    """
    storage = {field.name: field.storage for field in table.fields}
    columns, replaced = [], 0
    for name in rows.column_names:
        column, count = _column(table, name, storage.get(name), rows.column(name))
        columns.append(column)
        replaced += count
    return pa.table(columns, names=rows.column_names), replaced


def _column(table: Table, name: str, storage: Storage | None, values: Any) -> tuple[Any, int]:
    match storage:
        case Storage.UUID:
            return _uuids(table, name, values), 0
        case Storage.TEXT:
            return _texts(values.cast(pa.string()))
        case Storage.JSON:
            if values.null_count == len(values):
                return values, 0
            column, count = _documents(values.cast(pa.string()))
            return pc.binary_join_element_wise("\x01", column, ""), count
        case _:
            return values, 0


def _texts(values: Any) -> tuple[Any, int]:
    if not any(map(_holds_nul, values.chunks if isinstance(values, pa.ChunkedArray) else [values])):
        return values, 0
    count = pc.sum(pc.match_substring(values, "\0")).as_py() or 0
    return (pc.replace_substring(values, "\0", "\N{REPLACEMENT CHARACTER}") if count else values), count


def _holds_nul(texts: Any) -> bool:
    """Whether NUL may be in one of them: one search of their bytes, in a tenth of the time of a kernel that reads each text."""
    data = texts.buffers()[2]
    return data is not None and b"\0" in data.to_pybytes()


def _documents(values: Any) -> tuple[Any, int]:
    suspects = pc.fill_null(pc.match_substring_regex(values, _UNSTORABLE), fill_value=False)
    if not pc.any(suspects).as_py():
        return _texts(values)
    before = values.filter(suspects)
    after = pa.array([_ESCAPE.sub(_storable, text) for text in before.to_pylist()], pa.string())
    # most suspects are whole pairs, that is emoji
    count = pc.sum(pc.not_equal(before, after)).as_py() or 0
    if not count:
        return _texts(values)
    column, more = _texts(pc.replace_with_mask(values.combine_chunks(), suspects.combine_chunks(), after))
    return column, count + more


def _storable(escape: re.Match[str]) -> str:
    code = escape[1]
    return "\\ufffd" if code and (code == "0000" or "d800" <= code.lower() <= "dfff") else escape[0]


def _uuids(table: Table, name: str, values: Any) -> Any:
    """16 bytes each; what is not written in the usual 36 characters is read one by one."""
    texts = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    if texts.null_count == len(texts):
        return pa.nulls(len(texts), UUID)
    known = texts.drop_null().cast(pa.string())
    try:
        packed = _packed(known)
    except ValueError:
        packed = _packed(pa.array([_canonical(table, name, text) for text in known.to_pylist()], pa.string()))
    if not texts.null_count:
        return pa.FixedSizeBinaryArray.from_buffers(UUID, len(texts), [None, pa.py_buffer(packed)])
    is_known = np.asarray(pc.is_valid(texts))
    spread = np.zeros((len(texts), 16), np.uint8)
    spread[is_known] = np.frombuffer(packed, np.uint8).reshape(-1, 16)
    return pa.FixedSizeBinaryArray.from_buffers(UUID, len(texts), [pa.array(is_known).buffers()[1], pa.py_buffer(spread)])


def _packed(texts: Any) -> bytes:
    """16 bytes for each text of 36 characters; ValueError when one of them is written differently."""
    _, offsets, data = texts.buffers()
    start = int(np.frombuffer(offsets, np.int32, 1, texts.offset * 4)[0])
    if (np.asarray(pc.binary_length(texts)) != _LENGTH).any():
        raise ValueError("not 36 characters")
    characters = np.frombuffer(data, np.uint8, len(texts) * _LENGTH, start).reshape(-1, _LENGTH)
    return b"".join(_bytes(characters[begin : begin + _AT_ONCE]) for begin in range(0, len(texts), _AT_ONCE))


def _bytes(characters: np.ndarray) -> bytes:
    if (characters[:, _HYPHENS] != ord("-")).any():
        raise ValueError("hyphens elsewhere")
    return unhexlify(np.concatenate([characters[:, begin:end] for begin, end in _GROUPS], axis=1).data)


def _canonical(table: Table, name: str, text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise WarehouseError(f"Table {table.name}, column {name}: {text!r} is not a UUID.") from None
