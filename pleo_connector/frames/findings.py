"""Drift of a batch, by vectorised counts over its typed rows; details are computed for findings only."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pleo_connector.catalogue import LogicalType
from pleo_connector.frames.drift import EXAMPLES, Drift, Finding
from pleo_connector.frames.quarantine import SetAside
from pleo_connector.frames.rows import Indices, Rows, mask_of
from pleo_connector.frames.values import has_unit

Probe: TypeAlias = tuple[str, str, pa.Array, pa.Array | None]
"""(kind, path, rows that show it, the values to name or None)."""

_POSITION = re.compile(r"\[\d+\]")

SHOWN = 60
"""Characters of an unseen value that are shown."""


def find_drift(top: Rows, keys: pa.Array, aside: SetAside, served: Indices) -> Drift:
    """The differences between the records and the declaration; `served` numbers the rows of the top."""
    kinds: dict[str, dict[str, Finding]] = defaultdict(dict)
    for rows in top.walk():
        good = ~mask_of([*rows.faults], len(rows))
        if rows.absent is not None:
            good &= ~rows.absent
        for kind, path, shown, values in _probes(rows, good):
            mask = np.asarray(pc.fill_null(shown, fill_value=False))
            if values is None:
                kinds[kind][path] = _finding(rows, keys, mask)
                continue
            named = pc.utf8_slice_codeunits(values, 0, SHOWN)
            for value in sorted(named.filter(pa.array(mask)).unique().to_pylist()):
                kinds[kind][f"{path}={value}"] = _finding(
                    rows, keys, mask & np.asarray(pc.fill_null(pc.equal(named, value), fill_value=False))
                )
    for label, records in _by_path(aside).items():
        first = keys.filter(pa.array(np.isin(served, sorted(records)[:EXAMPLES])))
        kinds["impossible_values"][label] = Finding(len(records), tuple(first.drop_null().to_pylist()))
    return Drift(**kinds)


def _probes(rows: Rows, good: npt.NDArray[np.bool_]) -> Iterator[Probe]:
    """The findings of at least one row."""
    level, live = rows.level, pa.array(good)
    for unknown in rows.unknown:
        yield "unknown_fields", unknown.path, unknown.values.is_valid(), None
    for column in level.columns:
        money = column.type is LogicalType.MONEY
        served = {LogicalType.MONEY: "_minors", LogicalType.MONEY_TIMES_100: "_value"}.get(column.type, "")
        value, path = rows.columns[column.name + served], level.path_to(column.source)
        # UNDEFINED is an answer, though it is stored as NULL.
        answer = rows.raws[column.name] if column.type in (LogicalType.COUNTRY, LogicalType.CURRENCY) else value
        probes: list[Probe] = []
        if column.required and answer.null_count:
            probes.append(("missing_required", path, pc.and_(live, answer.is_null()), None))
        if column.values:
            probes.append(("unseen_values", path, pc.and_(live, pc.invert(pc.is_in(value, pa.array([*column.values, None])))), value))
        if money and value.null_count < len(value):
            currency = rows.columns[f"{column.name}_currency"]
            odd = pc.and_(pc.and_(live, value.is_valid()), pc.invert(has_unit(currency)))
            probes.append(("unknown_currencies", path, odd, pc.fill_null(currency, "none")))
        yield from (probe for probe in probes if pc.any(probe[2]).as_py())
    for path, mask in rows.changes:
        if pc.any(mask).as_py():
            yield "type_changes", path, mask, None


def _finding(rows: Rows, keys: pa.Array, mask: npt.NDArray[np.bool_]) -> Finding:
    """The count, and the keys of the first records with it; records without a key are left out."""
    first = keys.take(pa.array(np.unique(rows.record[mask])[:EXAMPLES]))
    return Finding(int(mask.sum()), tuple(first.drop_null().to_pylist()))


def _by_path(aside: SetAside) -> dict[str, list[int]]:
    """Records set aside, by field path (without positions) and reason."""
    records: dict[str, list[int]] = defaultdict(list)
    for record, (path, reason) in aside.reasons.items():
        records[f"{_POSITION.sub('[]', path)}: {reason}"].append(record)
    return records
