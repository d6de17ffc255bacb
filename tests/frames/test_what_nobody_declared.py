"""What becomes of values that nobody declared: named like a column with a rule, at a path that a rule names, or a link that grants access."""

from __future__ import annotations

import json
from typing import Any

import pytest

from pleo_connector.catalogue import CATALOGUE, Catalogue
from pleo_connector.catalogue.hash_key import HashKey
from pleo_connector.catalogue.rules import under_rules
from pleo_connector.column_rules import ColumnRule
from pleo_connector.errors import ConfigurationError
from pleo_connector.frames import cut_page, split_page, withholds
from pleo_connector.frames.undeclared import is_secret
from pleo_connector.stream_options import StreamOptions

KEY = "a key of at least thirty-two bytes, for tests"
KEEP, HASH, DROP = ColumnRule.KEEP, ColumnRule.HASH, ColumnRule.DROP


def hashed(value: str) -> str:
    return HashKey(KEY).of(value.encode())


def ruled(**streams: dict[str, ColumnRule]) -> Catalogue:
    return under_rules(CATALOGUE, {name: StreamOptions(columns=columns) for name, columns in streams.items()}, KEY)


def kept(record: dict[str, Any], catalogue: Catalogue = CATALOGUE, stream: str = "accounting_entries") -> dict[str, Any]:
    """The record as it is kept; the page's body holds the same."""
    chosen = catalogue.stream(stream)
    body = json.dumps({"data": [record], "pagination": {"hasNextPage": False}}).encode()
    page, raw = cut_page(chosen, split_page(body, chosen.paging, "a page"), body)
    (found,) = (json.loads(bytes(one)) for one in page.records)
    assert json.loads(raw)["data"] == [found]
    return dict(found)


@pytest.mark.parametrize("name", ["email", "Email", "e_mail", "E-Mail"])
def test_a_field_named_like_a_column_with_a_rule_is_treated_alike_at_any_depth_of_any_stream(name: str) -> None:
    entry = {"id": "1", name: "anna@x.example", "approver": {"steps": [{name: "anna@x.example", "place": 1}]}, "splitItems": [{name: "a"}]}
    found = kept(entry, ruled(employees={"email": HASH}))
    secret = hashed("anna@x.example")
    assert found == {
        "id": "1",
        name: secret,
        "approver": {"steps": [{name: secret, "place": 1}]},
        "splitItems": [{name: hashed("a")}],
    }
    assert kept({"id": "2", "owner": {name: "anna@x.example"}}, ruled(employees={"email": DROP}), "vendors") == {"id": "2", "owner": {}}


def test_the_column_and_the_field_it_is_read_from_are_both_names() -> None:
    found = kept({"id": "1", "user": {"name": "Anna", "employeeName": "Anna"}}, ruled(export_items={"employee_name": DROP}))
    assert found == {"id": "1", "user": {}}


def test_drop_wins_over_hash_and_keep_at_a_path_over_both() -> None:
    catalogue = ruled(employees={"phone": HASH}, accounting_entries={"holder.phone": DROP, "$.phone": KEEP})
    assert kept({"id": "1", "phone": "+45", "holder": {"phone": "+45", "x": 1}, "other": {"phone": "+45"}}, catalogue) == {
        "id": "1",
        "phone": "+45",
        "holder": {"x": 1},
        "other": {},
    }


def test_a_rule_names_an_undeclared_path_through_objects_and_lists() -> None:
    catalogue = ruled(accounting_entries={"employee.nickname": HASH, "splitItems[].memo": DROP, "$.holder": DROP})
    entry = {"id": "1", "employee": {"nickname": "Bo"}, "splitItems": [{"id": "2", "memo": "x"}, {"id": "3"}], "holder": [{"a": 1}]}
    assert kept(entry, catalogue) == {"id": "1", "employee": {"nickname": hashed("Bo")}, "splitItems": [{"id": "2"}, {"id": "3"}]}


def test_the_inline_employee_obeys_the_rules_of_employees() -> None:
    entry = {"id": "1", "employee": {"id": "2", "email": "anna@x.example", "firstName": "Anna", "lastName": "Holm"}}
    found = kept(entry, ruled(employees={"email": HASH, "first_name": DROP}))
    assert found["employee"] == {"id": "2", "email": hashed("anna@x.example"), "lastName": "Holm"}
    own = kept(entry, ruled(employees={"email": HASH}, accounting_entries={"employee.email": KEEP}))
    assert own["employee"]["email"] == "anna@x.example"


def test_free_form_columns_and_wrong_shapes_hold_undeclared_fields_too() -> None:
    catalogue = ruled(employees={"email": DROP})
    assert kept({"id": "1", "metadata": {"by": {"email": "a@x"}, "n": 1}}, catalogue, "accounts")["metadata"] == {"by": {}, "n": 1}
    assert kept({"id": "1", "note": {"email": "a@x"}}, catalogue)["note"] == {}


LINKS = (
    "https://files.example/a.pdf?X-Amz-Signature=abc&X-Amz-Date=1",
    "https://files.example/a?x=1&sig=abc%3D",
    "https://files.example/a?token=abc",
    "https://abc@files.example/a",
    "https://files.example/a?sessionId=abc",
    "https://files.example/a?hdnts=exp=1~acl=/*~hmac=abc",
    "https://files.example/a?Expires=1&Signature=abc&Key-Pair-Id=K",
    "see https://files.example/a#access_token=abc now",
    "https://login.example/?next=https%3A%2F%2Ffiles.example%2Fa%3Ftoken%3Dabc",
    "https://user:password@files.example/a",
    "https://files.example/a/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    "/files/receipts/1?X-Sandbox-Signature=abc",
)
PLAIN = ("https://shop.example/?page=2&design=blue", "https://shop.example/anna@home", "What? No.", "a/b; 50 % = half", "monkeys=3")


@pytest.mark.parametrize("link", LINKS)
def test_an_undeclared_link_that_grants_access_is_withheld_without_any_rule(link: str) -> None:
    assert is_secret(link)
    found = kept({"id": "1", "receipt": {"links": [link, "plain"]}, "splitItems": [{"id": "2", "href": link}]})
    assert found == {"id": "1", "receipt": {"links": ["withheld", "plain"]}, "splitItems": [{"id": "2", "href": "withheld"}]}


@pytest.mark.parametrize("text", PLAIN)
def test_other_texts_stay_and_so_do_the_bytes_of_the_page(text: str) -> None:
    stream = CATALOGUE.stream("accounting_entries")
    body = json.dumps({"data": [{"id": "1", "spare": text, "note": LINKS[0]}], "pagination": {"hasNextPage": False}}, indent=1).encode()
    page = split_page(body, stream.paging, "a page")
    assert not is_secret(text)
    assert cut_page(stream, page, body) == (page, body)


def test_letters_written_as_escapes_hide_nothing() -> None:
    stream = ruled(employees={"email": DROP}).stream("vendors")
    body = rb'{"data":[{"id":"1","\u0065mail":"a@x","href":"https:\/\/x\u003ftok\u0065n=abc"}],"pagination":{"hasNextPage":false}}'
    page, raw = cut_page(stream, split_page(body, stream.paging, "a page"), body)
    assert json.loads(bytes(page.records[0])) == {"id": "1", "href": "withheld"}
    assert b"abc" not in raw and b"a@x" not in raw


def test_what_stands_around_the_records_of_a_page_is_not_kept_either() -> None:
    stream = CATALOGUE.stream("vendors")
    body = json.dumps({"data": [{"id": "1"}], "pagination": {"hasNextPage": True, "endCursor": "C", "next": LINKS[2]}}).encode()
    page, raw = cut_page(stream, split_page(body, stream.paging, "a page"), body)
    assert page.end_cursor == json.loads(raw)["pagination"]["endCursor"] == "C"
    assert b"token" not in raw


def test_of_an_answer_that_cannot_be_taken_apart_only_a_harmless_one_is_kept() -> None:
    stream = ruled(employees={"email": HASH}).stream("vendors")
    assert not withholds(stream, b"<html><a href='https://status.example/?page=1'>Down</a></html>")
    assert withholds(stream, b'{"data":[{"id":"1","href":"https:\\/\\/x\\u003ftoken=abc')
    assert withholds(stream, b'{"data":[{"id":"1","email":"a@x')
    assert not withholds(CATALOGUE.stream("vendors"), b'{"data":[{"id":"1","email":"a@x')


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("emial", "there is no column 'emial'"),
        ("accounting_entry_splits.acount_id", "did you mean 'accounting_entry_splits.account_id'"),
        ("transactionValue.minors", "is a part of transaction_value; name that column"),
        ("$.employee", "name each that is meant: inline_employee_id, employee_email"),
    ],
)
def test_a_name_that_is_neither_column_nor_path_is_refused(name: str, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says.replace("$", r"\$")):
        ruled(accounting_entries={name: DROP})


def test_a_field_that_is_never_kept_needs_no_rule() -> None:
    with pytest.raises(ConfigurationError, match="never kept"):
        ruled(receipts={"$.url": DROP})


def test_rules_may_be_applied_twice() -> None:
    options = {"employees": StreamOptions(columns={"email": HASH}), "accounting_entries": StreamOptions(columns={"employee.phone": DROP})}
    once = under_rules(CATALOGUE, options, KEY)
    twice = under_rules(once, options, KEY)
    entry = {"id": "1", "employee": {"email": "a@x", "phone": "1"}, "holder": {"email": "a@x"}}
    assert kept(kept(entry, once), twice) == kept(entry, once)
