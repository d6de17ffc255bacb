"""Columns of Iceberg's data files that stay in memory from one load to the next: never somebody else's past, and never too much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pytest

from pleo_connector.warehouses import Warehouse, iceberg_reading, open_warehouse
from pleo_connector.warehouses.iceberg import IcebergWarehouse
from pleo_connector.warehouses.iceberg_cache import ColumnCache
from pleo_connector.warehouses.iceberg_canonical_text import is_canonical
from tests.warehouses.rows import BILLS, CURSORS, LINES, SEEN, bill, key, lines, load, stored


def opened(folder: Path) -> Warehouse:
    warehouse = open_warehouse(f"iceberg:///{folder}/lake", "spend")
    with warehouse.transaction() as work:
        work.ensure([BILLS, LINES, SEEN, CURSORS])
    return warehouse


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The columns of the files that were read."""
    found: list[str] = []
    real = iceberg_reading.read_columns

    def counted(io: object, metadata: object, file: object, names: Sequence[str]) -> pa.Table:
        found.extend(names)
        return real(io, metadata, file, names)  # type: ignore[arg-type]

    monkeypatch.setattr("pleo_connector.warehouses.iceberg_rows.read_columns", counted)
    return found


def test_what_was_compared_with_once_is_not_read_again(tmp_path: Path, reads: list[str]) -> None:
    warehouse = opened(tmp_path)
    load(warehouse, bill(1), bill(2))
    load(warehouse, bill(1), bill(2))
    assert "_row_hash" in reads
    reads.clear()
    assert load(warehouse, bill(1), bill(2)).unchanged == 2
    assert reads == []


def test_what_another_writer_committed_in_between_is_seen(tmp_path: Path) -> None:
    mine, other = opened(tmp_path), opened(tmp_path)
    load(mine, bill(1), bill(2), children=lines((1, 2)))
    load(mine, bill(1), bill(2), children=lines((1, 2)))  # and now all of it is kept
    load(other, bill(1, _row_hash="theirs"), bill(3))
    assert load(mine, bill(1, _row_hash="theirs"), bill(2), bill(3)).unchanged == 3
    assert load(mine, bill(1), bill(3)).updated == 1
    assert load(other, bill(1), bill(2), bill(3)).unchanged == 3
    assert len(stored(mine, BILLS)) == 3


def test_nothing_is_left_of_a_table_that_was_dropped_and_made_anew(tmp_path: Path) -> None:
    warehouse = opened(tmp_path)
    assert isinstance(warehouse, IcebergWarehouse)
    for _ in range(2):
        load(warehouse, bill(1))
    with warehouse.writing() as catalogue:
        catalogue.drop_table(("spend", "bills"))
    opened(tmp_path)
    assert load(warehouse, bill(1), bill(2)).inserted == 2


def test_a_load_that_failed_leaves_nothing_to_compare_with(tmp_path: Path) -> None:
    warehouse = opened(tmp_path)
    load(warehouse, bill(1))

    def fails() -> None:
        with warehouse.transaction() as work:
            work.delete(BILLS, id=key(1))
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fails()
    assert load(warehouse, bill(1)).unchanged == 1


def numbers(many: int) -> Callable[[Sequence[str]], pa.Table]:
    return lambda names: pa.table({name: pa.array(range(many), pa.int64()) for name in names})


def test_no_more_is_kept_than_the_limit_and_the_answer_is_whole_all_the_same() -> None:
    kept = ColumnCache(limit=2_000)
    kept.begin()
    for file in range(10):
        rows = kept.columns({"a": (file, "a"), "b": (file, "b")}, numbers(100))
        assert rows.column_names == ["a", "b"]
        assert rows.num_rows == 100
        assert kept.bytes <= 2_000
    read: list[str] = []

    def noted(names: Sequence[str]) -> pa.Table:
        read.extend(names)
        return numbers(100)(names)

    kept.columns({"b": (0, "b"), "a": (0, "a")}, noted)
    assert read == []  # the first stay: what loads go through in the same order each time would else never be found
    assert kept.bytes == 1_600


def test_what_three_loads_did_not_ask_for_makes_room() -> None:
    kept = ColumnCache(limit=2_000)
    kept.begin()
    kept.columns({"a": ("old", "a"), "b": ("old", "b")}, numbers(100))
    for _ in range(3):
        kept.begin()
        kept.columns({"a": ("new", "a")}, numbers(100))
    assert kept.bytes == 800


@pytest.mark.parametrize(
    ("values", "right"),
    [
        ([key(1), None, key(2)], True),
        ([], True),
        ([None, None], True),
        ([key(1), key(2).upper().replace("0", "A")], False),
        ([key(1), "{" + key(2) + "}"], False),
        ([key(1), key(2).replace("-", "")], False),
        ([key(1), key(2)[:-1] + "g"], False),
        ([key(1), key(2)[:-1] + "/"], False),
        ([key(1), key(2)[:-1] + "-"], False),
        ([key(1), "0" + key(2).replace("-", "", 1)], False),
        ([key(1)[:-2], key(2) + "00"], False),
    ],
)
def test_only_uuids_in_their_one_spelling_need_no_respelling(values: list[str | None], right: bool) -> None:  # noqa: FBT001
    for kind in (pa.string(), pa.large_string(), pa.string_view()):
        assert is_canonical(pa.array(values, pa.string()).cast(kind)) is right
        assert is_canonical(pa.array(["odd", *values, "odd"], pa.string()).cast(kind)[1:-1]) is right
