"""The SQL of every statement, held against golden files; run this file as a module to write them anew."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest

from pleo_connector.catalogue import Storage
from pleo_connector.warehouses import Scope
from pleo_connector.warehouses.dialect import DUCKDB, Dialect
from pleo_connector.warehouses.merge import ABSENT, ROW, SERVED, MergeSql
from pleo_connector.warehouses.postgres_dialect import POSTGRES
from pleo_connector.warehouses.postgres_merge import STAGED, PostgresMergeSql
from tests.warehouses.conftest import DIALECTS
from tests.warehouses.rows import BILLS, COMPANY, CURSORS, FIRST, LATER, LINES

GOLDEN = Path(__file__).parent / "golden"


def statements(dialect: Dialect) -> str:
    """Every statement of a plan under a title, for two related tables in a schema that needs quotes."""
    plan = (
        PostgresMergeSql(dialect, 'order "1"')
        if dialect is POSTGRES
        else MergeSql(dialect, 'order "1"', "pleo" if dialect is DUCKDB else None)
    )
    scope = Scope(COMPANY, "performed_at", FIRST, LATER)
    found: dict[str, str | tuple[str, list[object]]] = {
        "create schema": plan.create_schema(),
        "create parent": plan.create_table(BILLS),
        "create child": plan.create_table(LINES),
        "add column": plan.add_column(BILLS, BILLS.fields[2]),
        "comment on table": plan.comment_table(BILLS),
        "comment on column": plan.comment_column(BILLS, BILLS.fields[2]),
        "snapshot": dialect.snapshot,
        "served": plan.served(BILLS, "staged_bills"),
        "count served": plan.count_served(BILLS),
        "served children": plan.served_children(LINES, "staged_lines", BILLS),
        "count served children": plan.count_children(LINES),
        "delete changed parents": plan.delete_changed(BILLS, BILLS),
        "delete their children": plan.delete_changed(LINES, BILLS),
        "parents to write": plan.parents_to_write(),
        "children to write": plan.children_to_write(),
        "insert parents": plan.insert(BILLS, "staged_bills"),
        "insert children": plan.insert(LINES, "staged_lines"),
        "drop served": plan.drop_temporary(SERVED),
        "upsert state": plan.delete_staged(CURSORS, "staged_cursors"),
        "count absent": plan.count_absent(BILLS, scope, ["sweep-1", "sweep-2"]),
        "select absent": plan.select_absent(BILLS, Scope(), ["sweep-1"]),
        "count selected": plan.count_selected(),
        "tombstone parents": plan.tombstone(BILLS, datetime(2026, 3, 1, tzinfo=UTC)),
        "tombstone children": plan.tombstone(LINES, datetime(2026, 3, 1, tzinfo=UTC)),
        "drop absent": plan.drop_temporary(ABSENT),
        "read": plan.select(BILLS, ["id", "note"], {"company_id": COMPANY, "note": None, "performed_at": FIRST}),
        "delete": plan.delete(CURSORS, {"stream": "bills"}),
        "count live rows": plan.count(BILLS),
        "count all rows": plan.count(CURSORS),
    }
    if isinstance(plan, PostgresMergeSql):
        found |= {
            "stage keys": plan.create_stage(STAGED, BILLS, BILLS.key, f"{dialect.quote(ROW)} BIGINT"),
            "what is stored beside them": plan.stored_beside(BILLS),
            "drop staged": plan.drop_temporary(STAGED),
        }
    text = []
    for title, statement in found.items():
        sql, values = (statement, []) if isinstance(statement, str) else statement
        text += [f"-- {title}", *(f"-- ${position}: {value}" for position, value in enumerate(values, 1)), f"{sql};", ""]
    return "\n".join(text)


@pytest.mark.parametrize("name", DIALECTS)
def test_the_sql_is_the_golden_sql(name: str) -> None:
    assert statements(DIALECTS[name]) == (GOLDEN / f"{name}.sql").read_text(encoding="utf-8")


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_a_dialect_knows_every_storage_kind(dialect: Dialect) -> None:
    assert set(dialect.types) == set(dialect.catalogue_types) == set(Storage)


def test_the_reserved_words_are_those_of_duckdb() -> None:
    with duckdb.connect() as connection:
        rows = connection.execute("SELECT keyword_name FROM duckdb_keywords() WHERE keyword_category = 'reserved'").fetchall()
    assert {word for (word,) in rows} <= DUCKDB.reserved


if __name__ == "__main__":
    for each in DIALECTS.values():
        (GOLDEN / f"{each.name}.sql").write_text(statements(each), encoding="utf-8")
