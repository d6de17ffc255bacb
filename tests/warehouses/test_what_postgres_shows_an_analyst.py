"""What stands in the database after a load, asked with another driver (psycopg) than the one that wrote it."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import psycopg
import pytest

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.errors import WarehouseError
from pleo_connector.warehouses import MergeCounts, Warehouse, open_warehouse
from tests.postgres_server import new_database
from tests.warehouses.rows import BILLS, CURSORS, LATER, LINES, SEEN, bill, bills, frame, key, lines, load, stored


@pytest.fixture
def url() -> str:
    return new_database()


def ask(url: str, sql: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(url, options="-c TimeZone=UTC") as connection:
        return connection.execute(sql).fetchall()


def test_columns_have_the_types_of_postgres(warehouse: Warehouse, url: str) -> None:
    found = dict(
        ask(url, "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'bills' ORDER BY ordinal_position")
    )
    assert found == {
        "id": "uuid", "company_id": "uuid", "note": "text", "paid": "boolean", "amount_minors": "bigint", "amount": "numeric",
        "rate": "numeric", "performed_at": "timestamp with time zone", "due_on": "date", "details": "jsonb",
        "_synced_at": "timestamp with time zone", "_deleted_at": "timestamp with time zone", "_deleted_source": "text",
        "_row_hash": "text", "_sweep_id": "text", "_extra": "jsonb",
    }  # fmt: skip
    precise = ask(
        url, "SELECT numeric_precision, numeric_scale FROM information_schema.columns WHERE table_name = 'bills' AND data_type = 'numeric'"
    )
    assert sorted(precise) == [(18, 9), (38, 4)]


def test_values_are_exact_for_another_driver(warehouse: Warehouse, url: str) -> None:
    load(warehouse, bill(1), bill(2, amount=Decimal("-0.0001"), rate=Decimal(0), amount_minors=-(2**63), details=None))
    assert ask(url, "SELECT id::text, amount, rate, amount_minors, details->'nested'->>1, performed_at::text, note FROM spend.bills ORDER BY id") == [
        (key(1), Decimal("9999999999999999999999999999999998.9999"), Decimal("0.250000001"), 2**63 - 2, "2.50",
         "2026-01-31 23:59:59.999999+00", bill(1)["note"]),
        (key(2), Decimal("-0.0001"), Decimal("0E-9"), -(2**63), None, "2026-01-31 23:59:59.999999+00", bill(2)["note"]),
    ]  # fmt: skip


@pytest.mark.parametrize(
    "amount", ["0", "1", "-1", "0.0001", "9999.9999", "10000", "10000.0001", "99990000", "100000000", "123456789012345678901234567890.1234", "-99999999999999999999.5", "1E+20"]
)  # fmt: skip
def test_decimals_of_every_size_arrive(warehouse: Warehouse, url: str, amount: str) -> None:
    load(warehouse, bill(1, amount=Decimal(amount)))
    assert ask(url, "SELECT amount FROM spend.bills") == [(Decimal(amount),)]
    with warehouse.transaction() as work:
        assert work.read(BILLS, ["id"], amount=Decimal(amount)).num_rows == 1
        assert work.scalar("SELECT amount FROM {schema}.bills") == Decimal(amount)


def test_uniqueness_is_a_constraint(warehouse: Warehouse, url: str) -> None:
    load(warehouse, bill(1))
    with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.UniqueViolation):
        connection.execute("INSERT INTO spend.bills SELECT * FROM spend.bills")
    keys = ask(
        url,
        "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint WHERE contype = 'p' AND connamespace = 'spend'::regnamespace",
    )
    assert ("spend.bill_lines", 'PRIMARY KEY (bill_id, "position")') in keys
    assert len(keys) == len([BILLS, LINES, SEEN, CURSORS])


def test_schema_tables_and_columns_are_described(warehouse: Warehouse, url: str) -> None:
    assert "pleo-connector" in ask(url, "SELECT obj_description('spend'::regnamespace)")[0][0]
    assert ask(url, "SELECT obj_description('spend.bills'::regclass), col_description('spend.bills'::regclass, 3)") == [
        ("What was billed; it's the parent.", "The spender's note.")
    ]


def test_comments_hold_what_they_say_even_with_backslashes_read_as_escapes(url: str) -> None:
    warehouse = open_warehouse(f"{url}?options=-c%20standard_conforming_strings%3Doff%20-c%20search_path%3Dpublic", "spend")
    odd = CATALOGUE.tables()[0]
    odd = type(odd)(odd.name, "It's \\' a \\ trap", odd.fields, odd.key, odd.stream)
    with warehouse.transaction() as work:
        work.ensure([odd])
    assert ask(url, f"SELECT obj_description('spend.{odd.name}'::regclass)") == [("It's \\' a \\ trap",)]


def test_what_postgres_cannot_store_is_replaced_and_told(warehouse: Warehouse, url: str, caplog: pytest.LogCaptureFixture) -> None:
    emoji, escaped = r"\ud83c\udf89", r"\\u0000"
    documents = ['{"a": "x\\u0000y"}', '{"a": "\\ud800 \\uDC00"}', f'{{"a": "{emoji}{escaped}"}}', None]
    with caplog.at_level(logging.WARNING):
        load(warehouse, *(bill(number, note="n\0te" if number == 0 else "note", details=text) for number, text in enumerate(documents)))
    assert ask(url, "SELECT note, details->>'a' FROM spend.bills ORDER BY id") == [
        ("n\ufffdte", "x\ufffdy"), ("note", "\ufffd \ufffd"), ("note", "\N{PARTY POPPER}\\u0000"), ("note", None),
    ]  # fmt: skip
    assert [record.getMessage() for record in caplog.records] == [
        "3 values for table bills hold characters that PostgreSQL cannot store (NUL, or half of a surrogate pair); U+FFFD was stored in their place."
    ]


def test_a_key_is_compared_as_it_is_stored(warehouse: Warehouse) -> None:
    with warehouse.transaction() as work:
        for cursor in ("first", "second"):
            work.upsert(CURSORS, frame(CURSORS, [{"stream": "a\0b", "window": "", "cursor": cursor}]))
        assert [row["cursor"] for row in work.read(CURSORS, stream="a\0b").to_pylist()] == ["second"]
    with pytest.raises(WarehouseError, match="more than once"), warehouse.transaction() as work:
        work.upsert(CURSORS, frame(CURSORS, [{"stream": name, "window": "", "cursor": ""} for name in ("a\0b", "a\ufffdb")]))


def test_uuids_in_any_spelling_are_the_same_uuid(warehouse: Warehouse, url: str) -> None:
    load(warehouse, bill(10), bill(11, company_id=None))
    spelled = [bill(10, id=key(10).upper()), bill(11, id=f"{{{key(11)}}}".replace("-", ""), company_id=None)]
    assert load(warehouse, *spelled) == MergeCounts(unchanged=2)
    with pytest.raises(WarehouseError, match=r"column company_id: '0123456789012345678901234567890123456' is not a UUID"):
        load(warehouse, bill(12, company_id="0123456789012345678901234567890123456"))
    with pytest.raises(WarehouseError, match="is not a UUID"):
        load(warehouse, bill(12, company_id=key(12).replace("-", "0")))


def test_nothing_new_writes_nothing_at_all(warehouse: Warehouse, url: str) -> None:
    load(warehouse, bill(1), bill(2), children=lines((1, 2)))
    where = "SELECT ctid::text, xmin::text FROM spend.bills UNION ALL SELECT ctid::text, xmin::text FROM spend.bill_lines"
    before = ask(url, where)
    load(warehouse, bill(1, _synced_at=LATER), bill(2), children=lines((1, 2)))
    with warehouse.transaction() as work:
        work.ensure([BILLS, LINES, SEEN, CURSORS])
    assert ask(url, where) == before
    assert ask(url, "SELECT count(*) FROM pg_class WHERE relname LIKE '\\_pleo%'") == [(0,)]


def test_a_failure_that_was_swallowed_still_keeps_nothing(warehouse: Warehouse, url: str) -> None:
    with pytest.raises(WarehouseError, match="nothing of it was kept"), warehouse.transaction() as work:  # noqa: PT012 - the whole load
        work.merge([BILLS, LINES], {"bills": bills(bill(1)), "bill_lines": lines()})
        with pytest.raises(WarehouseError):
            work.scalar("SELECT 1 FROM {schema}.nothing")
    assert stored(warehouse) == []


def test_a_stray_table_with_our_names_is_left_alone(warehouse: Warehouse, url: str) -> None:
    with psycopg.connect(url) as connection:
        for name in ("_pleo_staged", "_pleo_served", "_pleo_absent"):
            connection.execute(f"CREATE TABLE public.{name} AS SELECT 1 AS x")
    load(warehouse, bill(1))
    load(warehouse, bill(1, _row_hash="new"))
    assert ask(url, "SELECT count(*) FROM pg_class WHERE relname LIKE '\\_pleo%'") == [(3,)]


def test_scalar_takes_what_a_query_may_hold(warehouse: Warehouse) -> None:
    with warehouse.transaction() as work:
        assert work.scalar('-- a; comment\nWITH one AS (SELECT \'a;b\' AS "c;d") SELECT "c;d" FROM one; ') == "a;b"
        assert work.scalar("SELECT $$;$$ /* ; */") == ";"
        assert work.scalar("VALUES (1.50)") == Decimal("1.50")
        for text in ("", "INSERT INTO {schema}.bills DEFAULT VALUES", "select 1) as x; drop table {schema}.bills; select (1"):
            with pytest.raises(ValueError, match="one SELECT"):
                work.scalar(text)
    with pytest.raises(WarehouseError), warehouse.transaction() as work:
        work.scalar("WITH gone AS (DELETE FROM {schema}.bills RETURNING 1) SELECT * FROM gone")
