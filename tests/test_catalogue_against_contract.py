from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from openapi_spec_validator import validate

from pleo_connector.catalogue import CATALOGUE, Child, Column, CompanyIn, Field, LogicalType, Paging, Stream, Window
from pleo_connector.catalogue.left_out import LEFT_OUT
from pleo_connector.frames.currencies import exponents
from pleo_connector.settings import DEFAULT_SCOPES
from tests.catalogue_contract import contract, faults, operations, resolved

ENTRIES = CATALOGUE.stream("accounting_entries")
ACCOUNTS = CATALOGUE.stream("accounts")
TAG_GROUPS = CATALOGUE.stream("tag_groups")


def test_the_contract_is_valid_openapi() -> None:
    validate(dict(contract()))


@pytest.mark.parametrize("stream", CATALOGUE, ids=lambda stream: stream.name)
def test_a_stream_agrees_with_the_contract(stream: Stream) -> None:
    assert faults(stream) == []


def test_every_readable_operation_is_read_or_left_out_with_a_reason() -> None:
    read = {stream.operation for stream in CATALOGUE}
    assert read.isdisjoint(LEFT_OUT)
    assert read | set(LEFT_OUT) == set(operations())
    assert all(reason.strip() for reason in LEFT_OUT.values())


def test_what_is_called_deprecated_is_deprecated_and_no_stream_reads_it() -> None:
    deprecated = {name for name, (_, _, operation) in operations().items() if operation.get("deprecated")}
    assert {name for name, reason in LEFT_OUT.items() if reason.startswith("deprecated")} == deprecated


def test_the_default_scopes_are_those_of_the_streams() -> None:
    assert set(DEFAULT_SCOPES.split()) == {stream.scope for stream in CATALOGUE} - {""}


def test_every_currency_of_the_contract_has_a_known_exponent() -> None:
    codes = set(resolved({"$ref": "#/components/schemas/CurrencyCode"})["enum"]) - {"UNDEFINED"}
    # ISO 4217 gives metals, bond units, drawing rights and test codes no smallest unit: their amounts stay NULL.
    without = {"XAG", "XAU", "XBA", "XBB", "XBC", "XBD", "XDR", "XPD", "XPT", "XSU", "XTS", "XUA", "XXX"}
    assert codes - set(exponents()) == without


def test_everything_about_an_employee_but_its_keys_is_personal() -> None:
    (table,) = CATALOGUE.stream("employees").tables()
    declared = [field for field in table.fields if not field.name.startswith("_")]
    assert {field.name for field in declared if not field.personal} == {"id", "company_id"}


def _with_column(stream: Stream, which: str, **changes: Any) -> Stream:
    columns = tuple(replace(column, **changes) if column.source == which else column for column in stream.columns)
    assert columns != stream.columns
    return replace(stream, columns=columns)


def _with_child(stream: Stream, name: str, change: Callable[[Child], Child]) -> Stream:
    return replace(stream, children=tuple(change(child) if child.name == name else child for child in stream.children))


def _without(stream: Stream, source: str) -> Stream:
    return replace(stream, columns=tuple(column for column in stream.columns if column.source != source))


EXTRA = Column("spendMood", LogicalType.TEXT, "Not in the contract.")

WRONG = {
    "operation": (replace(ENTRIES, operation="searchEntriez"), "no operation 'searchEntriez'"),
    "method": (replace(TAG_GROUPS, method="POST"), "the contract says GET /v0/tag-groups"),
    "path": (replace(ENTRIES, path="/v1/acounting-entries:search"), "the contract says POST /v1/accounting-entries:search"),
    "scope": (replace(ENTRIES, scope="entries:read"), "scope entries:read"),
    "scope spelling": (replace(TAG_GROUPS, scope_alternatives=()), "scope alternatives"),
    "company parameter": (replace(ENTRIES, company_in=CompanyIn.QUERY_CAMEL), "no query parameter 'companyId'"),
    "company left out": (replace(CATALOGUE.stream("vendors"), company_in=CompanyIn.NOWHERE), "query parameter 'company_id' is required"),
    "company in body": (replace(ENTRIES, company_in=CompanyIn.BODY), "no body field 'companyId'"),
    "company not in body": (replace(ACCOUNTS, company_in=CompanyIn.NOWHERE), "body field 'companyId' is required"),
    "query parameter": (replace(TAG_GROUPS, query=(("includeArchived", "true"),)), "no query parameter 'includeArchived'"),
    "query value": (replace(TAG_GROUPS, query=(("include_archived", "yes"),)), "'include_archived' is a boolean"),
    "body field": (replace(ENTRIES, body=(("includeDeleted", True), ("includeHidden", True))), "no body field 'includeHidden'"),
    "body value": (replace(ENTRIES, body=(("includeDeleted", "true"),)), "body field 'includeDeleted' is boolean"),
    "required body field": (replace(ENTRIES, body=()), "body field 'includeDeleted' is required"),
    "window field": (replace(ENTRIES, window=Window("performedFrom", "performedAtEnd", "performed_at")), "no body field 'performedFrom'"),
    "window column": (replace(ENTRIES, window=Window("performedAtStart", "performedAtEnd", "settled_at")), "do not filter on 'settledAt'"),
    "limit": (replace(ENTRIES, limit=101), "limit 101 is out of bounds"),
    "undocumented limit": (replace(ACCOUNTS, limit=1000), "limit 1000 is out of bounds"),
    "sort key": (replace(ENTRIES, sort=(("updatedAt", "ASC"), ("id", "ASC"))), "no sort key 'updatedAt'"),
    "sort order": (replace(ENTRIES, sort=(("id", "ASC_NULLS"),)), "no sort order 'ASC_NULLS'"),
    "partial order": (replace(ENTRIES, sort=(("performedAt", "ASC"),)), "must end in 'id'"),
    "sort where undocumented": (replace(ACCOUNTS, sort=(("id", "ASC"),)), "exactly where sort keys are documented"),
    "paging": (replace(ACCOUNTS, paging=Paging.WHOLE, limit=None), "paging is cursor in the contract"),
    "extra field": (replace(ENTRIES, columns=(*ENTRIES.columns, EXTRA)), "no field 'spendMood'"),
    "missing field": (_without(ENTRIES, "teamId"), "field 'teamId' is neither declared nor ignored"),
    "nested field": (_with_column(ENTRIES, "supplier.cif", source="supplier.cf"), "no field 'supplier.cf'"),
    "missing nested field": (_without(ENTRIES, "supplier.cif"), "field 'supplier.cif' is neither"),
    "type": (_with_column(ENTRIES, "performedAt", type=LogicalType.TEXT), "field 'performedAt' is declared text"),
    "money type": (_with_column(ENTRIES, "totalBillValue", type=LogicalType.RATE), "field 'totalBillValue' is declared rate"),
    "country as text": (_with_column(CATALOGUE.stream("vendors"), "country", type=LogicalType.TEXT), "field 'country' is declared text"),
    "not required": (_with_column(ENTRIES, "status", required=False), "field 'status' is required"),
    "required": (_with_column(ENTRIES, "note", required=True), "field 'note' is not required"),
    "values": (_with_column(ENTRIES, "status", values=("DRAFT", "DONE")), "field 'status': its values differ"),
    "personal": (_with_column(ENTRIES, "note", personal=False), "field 'note' says something about a person"),
    "missing child": (replace(ENTRIES, children=ENTRIES.children[1:]), "field 'splitItems' is neither declared nor ignored"),
    "child source": (
        _with_child(ENTRIES, "accounting_entry_tags", lambda child: replace(child, source="tagz")),
        "child accounting_entry_tags: field 'tagz' is not a list",
    ),
    "grandchild": (
        _with_child(ENTRIES, "accounting_entry_splits", lambda child: replace(child, children=())),
        "field 'splitItems.tags' is neither",
    ),
    "child of values": (
        _with_child(
            ENTRIES,
            "accounting_entry_receipts",
            lambda child: replace(child, columns=(replace(child.columns[0], type=LogicalType.TEXT),)),
        ),
        "field 'receiptIds.' is declared text",
    ),
    "ignored field": (replace(ENTRIES, ignored=(("splitItems.nope", "not useful"),)), "ignored field 'splitItems.nope' does not exist"),
    "ignored and declared": (replace(ENTRIES, ignored=(("splitItems.id", "not useful"),)), "both declared and ignored"),
}


@pytest.mark.parametrize(("stream", "expected"), WRONG.values(), ids=WRONG)
def test_a_wrong_declaration_is_caught_with_the_name_of_its_stream(stream: Stream, expected: str) -> None:
    found = faults(stream)
    assert any(expected in fault for fault in found), found
    assert all(fault.startswith(f"{stream.name}: ") for fault in found)


def test_an_ignored_field_need_not_be_declared() -> None:
    assert faults(replace(_without(ENTRIES, "teamId"), ignored=(("teamId", "nobody resolves it"),))) == []


def test_no_table_repeats_a_personal_field_unmarked() -> None:
    marked: dict[str, set[bool]] = {}
    fields: list[Field] = [field for table in CATALOGUE.tables() for field in table.fields]
    for field in fields:
        marked.setdefault(field.description, set()).add(field.personal)
    assert [description for description, marks in marked.items() if len(marks) > 1] == []
