"""Each check passes on what was loaded and fails on what was broken, in DuckDB and PostgreSQL; the break is rolled back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import dagster as dg
import pytest

from pleo_connector import sync
from pleo_connector.catalogue import CATALOGUE, Reference, Relations
from pleo_connector.frames import Drift
from pleo_connector.frames.drift import Finding
from pleo_connector.orchestration.checks import Check, Checks, drift_of
from pleo_connector.sandbox import RunningSandbox
from pleo_connector.sync import StreamReport
from pleo_connector.sync.state_tables import SWEEPS
from pleo_connector.warehouses import Transaction, Warehouse, open_warehouse
from tests.place import API_KEY
from tests.warehouses.conftest import URLS

CHECKS = Checks()
KEYS = {table.name: dg.AssetKey(table.name) for table in CATALOGUE.tables()}
NOBODY = "'11111111-1111-4111-8111-111111111111'"


@dataclass
class Loaded:
    """A warehouse in which everything was loaded once."""

    warehouse: Warehouse

    def evaluate(self, name: str, table: str, *breaks: str, now: datetime | None = None) -> tuple[bool, dict[str, Any]]:
        """Whether a check passes after these statements, and what it says; the warehouse stays as it was."""
        (check,) = (one for one in CHECKS.of(CATALOGUE.table(table)) if one.name == name)
        with undone(self.warehouse) as transaction:
            for statement in breaks:
                changed(transaction, statement)
            (result,) = CHECKS.stored([check], transaction, KEYS, now)
        assert result.asset_key == KEYS[table] and result.severity is dg.AssetCheckSeverity.WARN
        return result.passed, {name: value.value for name, value in result.metadata.items()}

    def one(self, sql: str) -> str:
        """A value as text."""
        with self.warehouse.transaction() as transaction:
            return str(transaction.scalar(sql))


class Undone(Exception):
    """Leaves a transaction without its changes."""


@contextmanager
def undone(warehouse: Warehouse) -> Iterator[Transaction]:
    with suppress(Undone), warehouse.transaction() as transaction:
        yield transaction
        raise Undone


def changed(transaction: Transaction, statement: str) -> None:
    run: Any = transaction
    run.run(statement)


BREAKABLE = {name: URLS[name] for name in ("duckdb", "postgres")}
"""Warehouses whose transaction runs any statement: the only way to break a row."""


@pytest.fixture(scope="module", params=list(BREAKABLE.values()), ids=list(BREAKABLE))
def loaded(request: pytest.FixtureRequest, sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    warehouse = open_warehouse(request.param(tmp_path_factory.mktemp("checked")), "books")
    connection = sync.Connection(sandbox.url, API_KEY, requests_per_minute=1_000_000)
    assert not sync.run(sync.SyncPlan(), connection, warehouse).failures
    return Loaded(warehouse)


def first(table: str, where: str = "") -> str:
    """The live row of a table with the smallest key, as a condition."""
    key = ", ".join(CATALOGUE.table(table).key)
    return f"({key}) IN (SELECT {key} FROM books.{table} WHERE _deleted_at IS NULL {where} ORDER BY {key} LIMIT 1)"


def test_all_stored_checks_pass_on_what_was_loaded_in_one_query(loaded: Loaded) -> None:
    wanted = [check for table in CATALOGUE.tables() for check in CHECKS.of(table) if check.stored]
    queries: list[str] = []
    with loaded.warehouse.transaction() as transaction:
        results = CHECKS.stored(wanted, Listening(transaction, queries), KEYS)  # type: ignore[arg-type]
    assert [(result.asset_key, result.check_name) for result in results if not result.passed] == [
        (KEYS["accounts"], "fits_the_declaration")
    ]
    assert len(results) == len(wanted) > 40 and len(queries) == 1


class Listening:
    """Records the queries of a transaction."""

    def __init__(self, transaction: Transaction, queries: list[str]) -> None:
        self._transaction, self._queries = transaction, queries

    def scalar(self, sql: str) -> object:
        self._queries.append(sql)
        return self._transaction.scalar(sql)


@pytest.mark.parametrize(
    ("table", "column", "may_predate"),
    [
        (one.table, one.column, one.may_predate)
        for table in CATALOGUE.tables()
        for check in CHECKS.of(table)
        for one in check.relations
        if isinstance(one, Reference) and not one.optional
    ],
)
def test_a_reference_that_leads_nowhere_is_found_and_its_row_named(
    loaded: Loaded, table: str, column: str, may_predate: str | None
) -> None:
    now = [f"{may_predate} = CURRENT_TIMESTAMP"] if may_predate else []
    row = first(table)
    passed, metadata = loaded.evaluate(
        "references_exist", table, f"UPDATE books.{table} SET {', '.join([f'{column} = {NOBODY}', *now])} WHERE {row}"
    )
    key = " || ' / ' || ".join(f"CAST({name} AS VARCHAR)" for name in CATALOGUE.table(table).key)
    assert not passed
    assert metadata[f"{column}_unknown"] == 1
    assert metadata["for_example"] == loaded.one(f"SELECT {key} FROM books.{table} WHERE {row}")


def test_categories_that_no_list_has_are_normal_and_only_counted(loaded: Loaded) -> None:
    unlisted = loaded.one(
        "SELECT count(*) FROM books.accounting_entries WHERE _deleted_at IS NULL AND account_id NOT IN (SELECT id FROM books.accounts)"
    )
    passed, metadata = loaded.evaluate("references_exist", "accounting_entries", "UPDATE books.companies SET name = name")
    assert passed
    assert metadata["account_id_unknown"] == int(unlisted) > 0
    assert "for_example" not in metadata


def test_archived_and_deleted_targets_are_there(loaded: Loaded) -> None:
    gone = "UPDATE books.tax_codes SET archived = TRUE, _deleted_at = CURRENT_TIMESTAMP"
    passed, metadata = loaded.evaluate("references_exist", "accounting_entries", gone)
    assert passed and metadata["tax_code_id_unknown"] == 0


def test_a_family_that_nobody_knows_is_found_in_what_is_stored(loaded: Loaded) -> None:
    row = first("accounting_entries")
    key = loaded.one(f"SELECT id FROM books.accounting_entries WHERE {row}")
    change = f"UPDATE books.accounting_entries SET family = 'CHARITY_DONATION' WHERE {row}"
    assert loaded.evaluate("family_is_known", "accounting_entries") == (True, {"unknown_family": 0})
    passed, metadata = loaded.evaluate("family_is_known", "accounting_entries", change)
    assert not passed and metadata == {"unknown_family": 1, "for_example": f"CHARITY_DONATION / {key}"}
    gone = f"UPDATE books.accounting_entries SET _deleted_at = CURRENT_TIMESTAMP WHERE {row}"
    assert loaded.evaluate("family_is_known", "accounting_entries", change, gone)[0], "deleted entries are in no sum"


def test_targets_that_were_never_read_to_the_end_prove_nothing(loaded: Loaded) -> None:
    gone, open_still = "DELETE FROM books.tax_codes", "UPDATE books._sweeps SET status = 'open' WHERE stream = 'tax_codes'"
    assert not loaded.evaluate("references_exist", "accounting_entries", gone)[0]
    assert loaded.evaluate("references_exist", "accounting_entries", gone, open_still)[0]


def test_people_who_left_before_the_first_sync_are_told_and_not_held_against_the_table(loaded: Loaded) -> None:
    stranger = (
        f"UPDATE books.accounting_entries SET employee_id = {NOBODY} WHERE {first('accounting_entries', 'AND employee_id IS NOT NULL')}"
    )
    unlisted = loaded.one(
        "SELECT count(*) FROM books.accounting_entries WHERE _deleted_at IS NULL AND employee_id NOT IN (SELECT id FROM books.employees)"
    )
    passed, metadata = loaded.evaluate("references_exist", "accounting_entries", stranger)
    assert passed
    assert (metadata["employee_id_unknown"], metadata["employee_id_unknown_before_first_sync"]) == (0, int(unlisted) + 1)
    assert "for_example" not in metadata


SUMS = [
    (
        "splits_sum_to_entry",
        "accounting_entry_splits",
        ("transaction_value_minors", "total_bill_value_minors"),
        "accounting_entry_id",
        "entries",
    ),
    (
        "lines_sum_to_item",
        "export_item_lines",
        ("line_amount_in_supplier_currency_value", "line_amount_in_wallet_currency_value"),
        "export_item_id",
        "items",
    ),
]


@pytest.mark.parametrize(("check", "table", "column", "owner", "word"), [(c, t, one, o, w) for c, t, both, o, w in SUMS for one in both])
def test_parts_that_do_not_sum_to_the_whole_are_found(loaded: Loaded, check: str, table: str, column: str, owner: str, word: str) -> None:
    row = first(table, f"AND {column} IS NOT NULL")
    passed, metadata = loaded.evaluate(check, table, f"UPDATE books.{table} SET {column} = {column} + 1 WHERE {row}")
    assert not passed
    assert metadata == {f"{word}_that_differ": 1, "for_example": loaded.one(f"SELECT {owner} FROM books.{table} WHERE {row}")}


@pytest.mark.parametrize(("check", "table", "column", "owner", "word"), [(c, t, both[0], o, w) for c, t, both, o, w in SUMS])
def test_another_currency_is_found_and_an_amount_left_out_is_not_compared(
    loaded: Loaded, check: str, table: str, column: str, owner: str, word: str
) -> None:
    row, currency = first(table, f"AND {column} IS NOT NULL"), column.rsplit("_", 1)[0] + "_currency"
    assert not loaded.evaluate(check, table, f"UPDATE books.{table} SET {currency} = 'XTS' WHERE {row}")[0]
    assert loaded.evaluate(check, table, f"UPDATE books.{table} SET {column} = NULL")[0]
    assert loaded.evaluate(check, table, f"UPDATE books.{table} SET {column} = 1, _deleted_at = CURRENT_TIMESTAMP")[0]


LINE, NET, TAX = (f"{part}_amount_in_wallet_currency_value" for part in ("line", "net", "tax"))


@pytest.mark.parametrize("column", [LINE, NET, TAX, NET.replace("wallet", "supplier")])
def test_a_line_that_is_not_net_plus_tax_is_found(loaded: Loaded, column: str) -> None:
    row = first("export_item_lines", "AND tax_type = 'inclusive'")
    passed, metadata = loaded.evaluate(
        "line_is_net_plus_tax", "export_item_lines", f"UPDATE books.export_item_lines SET {column} = {column} + 1 WHERE {row}"
    )
    assert not passed
    assert metadata["lines_that_differ"] == 1 and metadata["for_example"].endswith(" / 1")


def test_tax_that_the_buyer_owes_is_not_part_of_the_line_and_no_tax_is_none(loaded: Loaded) -> None:
    reverse = f"UPDATE books.export_item_lines SET tax_type = 'reverse', {TAX} = 25, {NET} = {LINE}"
    assert loaded.evaluate("line_is_net_plus_tax", "export_item_lines", reverse)[0]
    assert not loaded.evaluate("line_is_net_plus_tax", "export_item_lines", reverse.replace("reverse", "inclusive"))[0]
    none = f"UPDATE books.export_item_lines SET {TAX} = NULL, {NET} = {LINE} WHERE tax_type = 'inclusive'"
    assert loaded.evaluate("line_is_net_plus_tax", "export_item_lines", none)[0]


ENDED = "AND status = 'completed' AND number_of_items > 0"


def test_a_job_with_too_few_items_is_found_once_it_has_ended(loaded: Loaded) -> None:
    job = first("export_jobs", ENDED)
    key = loaded.one(f"SELECT id FROM books.export_jobs WHERE {job}")
    lost = f"DELETE FROM books.export_job_items WHERE export_job_id = '{key}'"
    passed, metadata = loaded.evaluate("item_counts_match_job", "export_jobs", lost)
    assert not passed and metadata == {"jobs_that_differ": 1, "for_example": key}
    runs = f"UPDATE books.export_jobs SET status = 'in_progress' WHERE id = '{key}'"
    assert loaded.evaluate("item_counts_match_job", "export_jobs", lost, runs)[0], "it is still moving"
    assert loaded.evaluate("item_counts_match_job", "export_jobs", "DELETE FROM books.export_job_items")[0], "items were never loaded"


def test_a_sweep_that_met_fewer_rows_than_reported_is_found_until_a_newer_one_is_right(loaded: Loaded) -> None:
    row = "stream = 'vendors' AND sweep_id IN (SELECT min(sweep_id) FROM books._sweeps WHERE stream = 'vendors')"
    short = f"UPDATE books._sweeps SET rows_reported = rows_served + 1 WHERE {row}"
    columns = ", ".join(column for column in SWEEPS.column_names if column not in ("sweep_id", "started_at"))
    newer = f"INSERT INTO books._sweeps (sweep_id, started_at, {columns}) SELECT 'newer', CURRENT_TIMESTAMP, {columns} FROM books._sweeps WHERE {row}"
    passed, metadata = loaded.evaluate("total_matched", "vendors", short)
    assert not passed and metadata["sweeps_that_differ"] == 1 and metadata["for_example"]
    assert loaded.evaluate("total_matched", "vendors", newer, short)[0]
    partial = f"UPDATE books._sweeps SET floor_at = CURRENT_TIMESTAMP WHERE {row}"
    assert loaded.evaluate("total_matched", "vendors", short, partial)[0], "a walk that stops early meets fewer on purpose"


def test_a_company_that_was_left_behind_is_found(loaded: Loaded) -> None:
    company = loaded.one("SELECT company_id FROM books._sweeps WHERE stream = 'tags' ORDER BY company_id LIMIT 1")
    late = (
        f"UPDATE books._sweeps SET finished_at = CURRENT_TIMESTAMP - INTERVAL '37 hours' WHERE stream = 'tags' AND company_id = '{company}'"
    )
    passed, metadata = loaded.evaluate("read_recently", "tags", late)
    assert not passed and metadata == {"companies_not_read": 1, "for_example": company}
    left = f"UPDATE books.companies SET _deleted_at = CURRENT_TIMESTAMP WHERE id = '{company}'"
    assert loaded.evaluate("read_recently", "tags", late, left)[0], "a company outside the grant is not read"
    assert loaded.evaluate("read_recently", "tags", late.replace("37", "35"))[0]


@pytest.mark.parametrize("stream", ["companies", "installation"])
def test_streams_without_companies_are_late_as_a_whole(loaded: Loaded, stream: str) -> None:
    now = datetime.now(UTC)
    assert loaded.evaluate("read_recently", stream, now=now + timedelta(hours=35))[0]
    assert loaded.evaluate("read_recently", stream, now=now + timedelta(hours=37)) == (
        False,
        {"streams_not_read": 1, "for_example": stream},
    )


def test_only_ten_rows_are_named(loaded: Loaded) -> None:
    dangling = f"UPDATE books.accounting_entries SET tax_code_id = {NOBODY}"
    _, metadata = loaded.evaluate("references_exist", "accounting_entries", dangling)
    assert metadata["tax_code_id_unknown"] > 10 and len(set(metadata["for_example"].split(", "))) == 10


DECLARED = "fits_the_declaration"


@pytest.mark.parametrize(
    ("stream", "broken", "expected"),
    [
        ("vendors", "state = 'PAUSED'", {"unseen_values": 1, "for_example": "state=PAUSED"}),
        ("vendors", "name = NULL", {"missing_required": 1, "for_example": "name"}),
        (
            "vendors",
            """_extra = '{"bankDetails": {"iban": "DK50, \\"x\\": 1", "bic": null}, "alias": "a: b"}'""",
            {"unknown_fields": 2, "for_example": "alias, bankDetails"},
        ),
        (
            "accounting_entries",
            "transaction_value = NULL, transaction_value_minors = 1, transaction_value_currency = 'XQQ'",
            {"unknown_currencies": 1, "for_example": "transactionValue=XQQ"},
        ),
    ],
)
def test_what_is_stored_and_not_declared_is_found_by_field_and_never_by_content(
    loaded: Loaded, stream: str, broken: str, expected: dict[str, Any]
) -> None:
    passed, found = loaded.evaluate(DECLARED, stream, f"UPDATE books.{stream} SET {broken} WHERE {first(stream)}")
    found["for_example"] = ", ".join(sorted(found["for_example"].split(", ")))
    assert not passed and found == expected
    gone = "_deleted_at = CURRENT_TIMESTAMP, _deleted_source"
    assert loaded.evaluate(DECLARED, stream, f"UPDATE books.{stream} SET {broken}, {gone} = 'sweep_absent' WHERE {first(stream)}")[0]
    assert not loaded.evaluate(DECLARED, stream, f"UPDATE books.{stream} SET {broken}, {gone} = 'api_flag' WHERE {first(stream)}")[0], (
        "still served"
    )


def test_an_undeclared_field_of_a_child_table_and_a_record_that_is_set_aside_are_found(loaded: Loaded) -> None:
    split = "accounting_entry_splits"
    passed, found = loaded.evaluate(
        DECLARED,
        "accounting_entries",
        f"""UPDATE books.{split} SET _extra = '{{"mood": "a"}}' WHERE {first(split)}""",
        "INSERT INTO books._quarantine (record_hash, stream, field, reason) VALUES "
        "('1', 'accounting_entries', 'splitItems[2].id', 'not a UUID'), ('2', 'accounting_entries', 'splitItems[7].id', 'not a UUID'), "
        "('3', 'vendors', 'name', 'not a name')",
    )
    assert not passed
    assert found == {"unknown_fields": 1, "impossible_values": 1, "for_example": "splitItems[].mood, splitItems[].id: not a UUID"}


def test_what_a_sync_met_and_no_row_shows_is_found_too(loaded: Loaded) -> None:
    (check,) = (one for one in CHECKS.of(CATALOGUE.table("vendors")) if one.name == DECLARED)
    served = drift_of(StreamReport("vendors", drift=Drift(type_changes={"name": Finding(3, ("k1",))})))
    with loaded.warehouse.transaction() as transaction:
        (passed,), (failed,) = (CHECKS.stored([check], transaction, KEYS, served=rows) for rows in (None, {"vendors": served}))
    assert passed.passed and not failed.passed
    assert {name: value.value for name, value in failed.metadata.items()} == {"type_changes": 1, "for_example": "name"}


def test_a_relation_that_names_what_no_table_has_fails_at_import() -> None:
    with pytest.raises(ValueError, match=r"names tags.grup_id, which no stream declares"):
        Relations(Reference("tags", "grup_id", "tag_groups"))


def test_without_a_limit_nothing_is_late() -> None:
    names = {check.name for check in Checks(fresh_within=None).of(CATALOGUE.table("tags"))}
    assert "read_recently" not in names and "references_exist" in names


def test_checks_have_names_and_sentences() -> None:
    found: list[Check] = [check for table in CATALOGUE.tables() for check in CHECKS.of(table)]
    assert len({(check.table.name, check.name) for check in found}) == len(found)
    assert all(check.description.endswith(".") and check.name.isidentifier() for check in found)


@pytest.mark.parametrize(
    ("changed_by_tier", "late"),
    [
        ({}, {}),
        ({"hot": 7, "first": 900, "cold": 0}, {}),
        ({"hot": 7, "warm": 2, "cold": 1}, {"rows_changed_warm": 2, "rows_changed_cold": 1}),
    ],
)
def test_changes_in_months_that_are_not_read_by_every_run_say_that_the_hot_window_is_narrow(
    changed_by_tier: dict[str, int], late: dict[str, int]
) -> None:
    entries = CATALOGUE.table("accounting_entries")
    (check,) = (one for one in CHECKS.of(entries) if one.name == "hot_window_wide_enough")
    result = CHECKS.reported(check, StreamReport("accounting_entries", changed_by_tier=changed_by_tier), KEYS[entries.name])
    assert result.passed is not bool(late)
    assert {name: value.value for name, value in result.metadata.items()} == late
