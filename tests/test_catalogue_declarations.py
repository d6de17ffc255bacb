from __future__ import annotations

from collections.abc import Collection
from dataclasses import FrozenInstanceError, replace
from typing import Any

import pytest

from pleo_connector.catalogue import (
    CATALOGUE,
    SYSTEM_FIELDS,
    Catalogue,
    Child,
    Column,
    CompanyIn,
    Field,
    LogicalType,
    Paging,
    Storage,
    Stream,
    SyncMode,
    Table,
    Window,
)
from pleo_connector.catalogue.types import fields_of, snake_case
from pleo_connector.errors import ConfigurationError

ENTRIES = CATALOGUE.stream("accounting_entries")
TAG_GROUPS = CATALOGUE.stream("tag_groups")
ID = Column("id", LogicalType.UUID, "Key.", required=True)


@pytest.mark.parametrize(
    ("stream", "changes", "message"),
    [
        (ENTRIES, {"key": "ID"}, "stream accounting_entries: key 'ID' is not one of its columns"),
        (ENTRIES, {"method": "PUT"}, "stream accounting_entries: method 'PUT' is neither"),
        (TAG_GROUPS, {"body": (("a", 1),)}, "stream tag_groups: a GET carries no body"),
        (TAG_GROUPS, {"company_in": CompanyIn.BODY}, "stream tag_groups: a GET carries no body"),
        (ENTRIES, {"path": "accounting-entries"}, "path 'accounting-entries' does not start with a version"),
        (ENTRIES, {"scope": "accounting-entries"}, "scope 'accounting-entries' does not look like"),
        (ENTRIES, {"window": None}, "a windowed stream needs a window"),
        (ENTRIES, {"mode": SyncMode.SNAPSHOT}, "a windowed stream needs a window, and only that does"),
        (ENTRIES, {"window": Window("a", "b", "performedAt")}, "window column 'performedAt' is not one of its columns"),
        (ENTRIES, {"limit": None}, "a cursor-paged stream needs a limit"),
        (ENTRIES, {"limit": 0}, "limit 0 is less than one record"),
        (TAG_GROUPS, {"limit": 10}, "a cursor-paged stream needs a limit, and only that does"),
        (TAG_GROUPS, {"sort": (("id", "ASC"),)}, "only a cursor-paged stream is sorted"),
        (ENTRIES, {"deleted_flag": "deletedAt"}, "deleted_flag 'deletedAt' is not one of its columns"),
        (ENTRIES, {"name": "accountingEntries"}, "stream accountingEntries: needs a snake_case name"),
        (ENTRIES, {"title": ""}, "needs a snake_case name, a singular record word and a title"),
        (ENTRIES, {"description": "no full stop"}, "table accounting_entries: the description must be a sentence"),
        (TAG_GROUPS, {"columns": (ID, ID)}, "stream tag_groups: table tag_groups: columns declared twice: ['id']"),
        (ENTRIES, {"children": (ENTRIES.children[1], ENTRIES.children[1])}, "tables declared twice: ['accounting_entry_tags']"),
    ],
)
def test_a_wrong_stream_fails_where_it_is_written_and_names_itself(stream: Stream, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=r"^stream ") as caught:
        replace(stream, **changes)
    assert message in str(caught.value)


def test_a_column_names_itself_when_its_description_is_no_sentence() -> None:
    with pytest.raises(ValueError, match="column address_line: the description must be a sentence"):
        Column("address.line", LogicalType.TEXT, "First line")


def test_a_child_names_itself_when_its_identity_is_no_column() -> None:
    with pytest.raises(ValueError, match="child parts: identity 'key' is not one of its columns"):
        Child("parts", "part", "parts", "Parts.", (ID,), identity="key")


def test_declarations_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        ENTRIES.limit = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("key", "parent_key", "message"),
    [((), (), "needs a key"), (("x",), (), "\\['x'\\] are not columns"), (("id",), ("x",), "\\['x'\\] are not columns")],
)
def test_a_table_needs_a_key_made_of_its_columns(key: tuple[str, ...], parent_key: tuple[str, ...], message: str) -> None:
    with pytest.raises(ValueError, match=f"table t: .*{message}|table t: {message}"):
        Table("t", "T.", (Field("id", Storage.UUID, "Key."),), key, "s", parent_key=parent_key)


def test_streams_and_tables_are_found_by_name_and_iterated_in_order() -> None:
    assert [stream.name for stream in CATALOGUE] == [
        "companies", "employees", "accounts", "tag_groups", "tag_group_dimensions", "tags", "tax_codes", "vendors", "accounting_entries",
        "receipts", "export_jobs", "export_job_items", "export_items", "installation", "subscriptions",
    ]  # fmt: skip
    assert len(CATALOGUE) == 15
    assert isinstance(CATALOGUE, Collection)
    assert "tags" in CATALOGUE
    assert ENTRIES in CATALOGUE
    assert "tagz" not in CATALOGUE
    assert CATALOGUE.table("accounting_entry_splits").stream == "accounting_entries"
    names = [table.name for table in CATALOGUE.tables()]
    assert len(names) == len(set(names)) == 26
    assert all(table.parent is None or names.index(table.parent) < names.index(table.name) for table in CATALOGUE.tables())


def test_an_unknown_stream_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigurationError, match="There is no stream 'accounting_entry'; did you mean 'accounting_entries'"):
        CATALOGUE.stream("accounting_entry")
    with pytest.raises(ConfigurationError, match="known streams: companies, employees"):
        CATALOGUE.stream("qqqq")


def test_a_catalogue_refuses_two_streams_or_tables_of_one_name() -> None:
    with pytest.raises(ValueError, match="stream tag_groups is declared twice"):
        Catalogue(TAG_GROUPS, TAG_GROUPS)
    other = replace(ENTRIES, name="other_entries")
    with pytest.raises(ValueError, match="table accounting_entry_splits is declared by two streams: accounting_entries and other_entries"):
        Catalogue(ENTRIES, other)


def test_every_table_ends_with_the_system_columns_and_knows_its_company() -> None:
    for table in CATALOGUE.tables():
        assert table.fields[-len(SYSTEM_FIELDS) :] == SYSTEM_FIELDS
        assert (table.company_column is None) is (table.name in ("companies", "installation", "subscriptions"))


def test_children_carry_the_keys_of_all_their_parents() -> None:
    splits, tags = CATALOGUE.table("accounting_entry_splits"), CATALOGUE.table("accounting_entry_split_tags")
    assert splits.key == ("accounting_entry_id", "position")
    assert splits.parent == "accounting_entries"
    assert tags.key == ("accounting_entry_id", "split_position", "position")
    assert tags.parent == "accounting_entry_splits"
    assert "split_id" in tags.column_names
    assert splits.parent_key == tags.parent_key == ("accounting_entry_id",)


def test_one_declared_column_becomes_the_columns_its_type_needs() -> None:
    def shape(kind: LogicalType) -> list[tuple[str, Storage]]:
        return [(field.name, field.storage) for field in fields_of("x", kind, "X.", personal=True)]

    assert shape(LogicalType.MONEY) == [("x", Storage.MONEY), ("x_minors", Storage.BIGINT), ("x_currency", Storage.TEXT)]
    assert shape(LogicalType.UUID_OR_UNKNOWN) == [("x", Storage.UUID), ("x_unknown", Storage.BOOLEAN)]
    assert shape(LogicalType.COUNTRY) == [("x", Storage.TEXT)]
    assert {len(shape(kind)) for kind in LogicalType} == {1, 2, 3}


def test_every_column_a_personal_field_becomes_is_marked() -> None:
    for kind in LogicalType:
        assert all(field.personal for field in fields_of("x", kind, "X.", personal=True)), kind
        assert not any(field.personal for field in fields_of("x", kind, "X.")), kind


@pytest.mark.parametrize(
    ("source", "name"),
    [("id", "id"), ("companyId", "company_id"), ("address.addressLine1", "address_address_line1"), ("supplier.cif", "supplier_cif")],
)
def test_names_are_snake_case(source: str, name: str) -> None:
    assert snake_case(source) == name


def test_no_stream_is_paged_but_by_cursor_or_whole() -> None:
    assert {stream.paging for stream in CATALOGUE} == set(Paging)
