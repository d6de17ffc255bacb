from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.errors import DriftError
from pleo_connector.frames import Drift
from pleo_connector.frames.drift import Finding
from pleo_connector.stream_options import DriftPolicy
from tests.examples import examples
from tests.frames.records import COMPANY, ENTRIES, NOW, entry, example, first, key, load, raw

ACCOUNTS = CATALOGUE.stream("accounts")
UUID = "c0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"
TIMES = {"createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z"}


def split(**fields: object) -> dict[str, object]:
    return {"id": UUID, **TIMES, **fields}


def test_unknown_fields_land_in_extra_at_every_depth() -> None:
    batch = load(
        entry(0),
        entry(
            1,
            new=12345678901234567890123,
            supplier={"cif": "x", "vat": "1.50"},
            transactionValue={"currency": "DKK", "minors": 1, "fee": {"z": 1, "a": None}},
            splitItems=[split(odd=[1, "2"]), split(tags=[{"tagGroupId": UUID, "colour": 'blå"'}])],
        ),
    )
    frames = batch.frames
    parent = frames["accounting_entries"]["_extra"]
    assert parent.isna().tolist() == [True, False]
    assert parent[1] == '{"new":12345678901234567890123,"supplier.vat":"1.50","transactionValue.fee":{"z":1,"a":null}}'
    assert [json.loads(v) if isinstance(v, str) else None for v in frames["accounting_entry_splits"]["_extra"]] == [{"odd": [1, "2"]}, None]
    assert json.loads(frames["accounting_entry_split_tags"]["_extra"][0]) == {"colour": 'blå"'}
    assert {path: found.count for path, found in batch.drift.unknown_fields.items()} == {
        "new": 1, "supplier.vat": 1, "transactionValue.fee": 1, "splitItems[].odd": 1, "splitItems[].tags[].colour": 1,
    }  # fmt: skip
    assert batch.drift.unknown_fields["splitItems[].odd"].examples == (key(1),)


@pytest.mark.parametrize("name", ['a"b', "a'b", "a.b", "a/b~c", "ID", "Note", "", "*", "$", "{x}", "ø🍕", "r", "i", "bad", "loose", "0"])
def test_any_name_of_an_unknown_field_works(name: str) -> None:
    batch = load(entry(0, **{name: "v"}), entry(1))
    assert json.loads(str(batch.frames["accounting_entries"]["_extra"][0])) == {name: "v"}
    assert batch.frames["accounting_entries"]["_extra"].isna()[1]
    assert batch.frames["accounting_entries"].loc[0, "id"] == key(0)


BAD: list[tuple[str, dict[str, object]]] = [
    ("companyId", {"companyId": "not-a-uuid"}),
    ("companyId", {"companyId": 5}),
    ("performedAt", {"performedAt": "yesterday"}),
    ("performedAt", {"performedAt": "2026-01-02"}),
    ("performedAt", {"performedAt": "2026-13-02T00:00:00Z"}),
    ("performedAt", {"performedAt": "2026-05-05T12:30:60Z"}),
    ("performedAt", {"performedAt": "2016-12-31T23:59:61Z"}),
    ("performedAt", {"performedAt": 1700000000}),
    ("performedAt", {"performedAt": "infinity"}),
    ("transactionValue.minors", {"transactionValue": {"currency": "DKK", "minors": "12"}}),
    ("transactionValue.minors", {"transactionValue": {"currency": "DKK", "minors": 2**63}}),
    ("transactionValue.minors", {"transactionValue": {"currency": "DKK", "minors": 1.5}}),
    ("transactionValue.minors", {"transactionValue": {"currency": "DKK", "minors": True}}),
    ("transactionValue.currency", {"transactionValue": {"currency": ["DKK"], "minors": 1}}),
    ("transactionValue", {"transactionValue": 5}),
    ("transactionValue", {"transactionValue": [1]}),
    ("note", {"note": {"text": "x"}}),
    ("note", {"note": ["x"]}),
    ("supplier", {"supplier": "x"}),
    ("tags", {"tags": {"tagId": UUID}}),
    ("tags", {"tags": "x"}),
    ("tags[2]", {"tags": [{"tagGroupId": UUID}, "x"]}),
    ("tags[1]", {"tags": [None]}),
    ("tags[1].tagId", {"tags": [{"tagId": "x"}]}),
    ("receiptIds[2]", {"receiptIds": [UUID, "x"]}),
    ("receiptIds[1]", {"receiptIds": [None]}),
    ("splitItems[1].tags[2].tagGroupId", {"splitItems": [split(tags=[{}, {"tagGroupId": "x"}])]}),
    ("splitItems[1].tags", {"splitItems": [split(tags=7)]}),
    ("splitItems[2].transactionValue", {"splitItems": [split(), split(transactionValue="1")]}),
    ("id", {"id": None}),
    ("id", {"id": "x"}),
]


@pytest.mark.parametrize(("path", "fields"), BAD)
def test_an_impossible_value_quarantines_its_record_only(path: str, fields: dict[str, object]) -> None:
    bad = entry(1, receiptIds=[UUID]) | fields
    batch = load(entry(0, receiptIds=[UUID]), bad, entry(2))
    assert list(batch.frames["accounting_entries"]["id"]) == [key(0), key(2)]
    assert list(batch.frames["accounting_entry_receipts"]["accounting_entry_id"]) == [key(0)]
    row = batch.quarantined.iloc[0]
    assert row["field"] == path
    assert (row["stream"], row["company_id"], row["sweep_id"]) == ("accounting_entries", COMPANY, "sweep-1")
    assert row["quarantined_at"].to_pydatetime() == NOW
    assert row["record"] == raw(bad).decode()
    assert len(batch.drift.impossible_values) == 1


@pytest.mark.parametrize("text", [b"5", b"null", b'"x"', b"[1]", b'{"id":"\\ud800"}', b'{"id":', b"\xff{}", b"", b'{"a":1} x'])
def test_what_is_not_a_record_is_quarantined(text: bytes) -> None:
    batch = load(entry(0), text, entry(1))
    assert list(batch.frames["accounting_entries"]["id"]) == [key(0), key(1)]
    assert list(batch.quarantined["field"]) == ["$"]
    only = load(text)
    assert only.frames["accounting_entries"].empty


def test_numbers_in_text_load_and_are_reported() -> None:
    record = raw({**example(ACCOUNTS, full=True), "code": "@"}).replace(b'"@"', b"12345678901234567890123")
    batch = load(record, stream=ACCOUNTS)
    assert first(batch, "accounts")["code"] == "12345678901234567890123"
    assert batch.drift.type_changes == {"code": Finding(1, (key(0),))}
    strict = load(record, example(ACCOUNTS, full=True, number=1), stream=ACCOUNTS, policy=DriftPolicy.QUARANTINE)
    assert list(strict.quarantined["field"]) == ["code"]
    assert len(strict.frames["accounts"]) == 1


def test_nulls_and_unseen_values_load_and_are_reported() -> None:
    batch = load(*(entry(n, status="NEW" if n else "PENDING", family=None) for n in range(6)))
    assert batch.quarantined.empty
    assert batch.drift.unseen_values == {"status=NEW": Finding(5, (key(1), key(2), key(3)))}
    assert batch.drift.missing_required == {"family": Finding(6, (key(0), key(1), key(2)))}


def test_the_last_of_a_key_wins_with_its_children() -> None:
    batch = load(
        entry(0, note="old", receiptIds=[UUID, UUID]),
        entry(1),
        entry(0, note="new", receiptIds=[UUID]),
        entry(0, id=key(0).upper(), note="last"),
    )
    frame = batch.frames["accounting_entries"]
    assert dict(zip(frame["id"], frame["note"].astype(object).where(frame["note"].notna(), None), strict=True)) == {
        key(0): "last",
        key(1): None,
    }
    assert batch.frames["accounting_entry_receipts"].empty
    assert batch.duplicates == 2


def test_a_quarantined_duplicate_does_not_win() -> None:
    batch = load(entry(0, note="good"), entry(0, companyId="bad"))
    assert first(batch)["note"] == "good"
    assert (batch.duplicates, len(batch.quarantined)) == (0, 1)


@pytest.mark.parametrize("fields", [{"new": 1}, {"note": 5}, {"performedAt": "x"}])
def test_freeze_stops_with_one_sentence(fields: dict[str, object]) -> None:
    with pytest.raises(DriftError, match=rf"accounting_entries .*{next(iter(fields))}.*\.$") as caught:
        load(entry(0, **fields), policy=DriftPolicy.FREEZE)
    assert "\n" not in str(caught.value)
    load(entry(0, status="NEW"), policy=DriftPolicy.FREEZE)


def test_drift_merges_is_json_and_shows_no_values() -> None:
    one = load(entry(0, note=["Anna Berg"], phone="Anna Berg"), entry(1, phone="Anna Berg", accountCode=5)).drift
    both = one + one + Drift()
    assert both.unknown_fields["phone"] == Finding(4, (key(0), key(1)))
    text = json.dumps(both.as_json())
    assert "Anna" not in text
    assert bool(one)
    assert not Drift()
    assert load(entry(0)).drift.as_json() == {}


def test_no_records_give_empty_frames() -> None:
    batch = load()
    assert [*batch.frames] == [table.name for table in ENTRIES.tables()]
    assert all(frame.empty for frame in batch.frames.values())
    assert batch.quarantined.empty


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=8)
    | st.sampled_from([UUID, "2026-01-01T00:00:00Z", ""]),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.sampled_from(["id", "tags", "currency", "minors", "x", "ID"]), below, max_size=3)
    ),
    max_leaves=8,
)
FIELDS = [
    "id",
    "companyId",
    "performedAt",
    "transactionValue",
    "supplier",
    "tags",
    "splitItems",
    "receiptIds",
    "attendees",
    "note",
    "new",
    "deletedAt",
]
MUTATION: Callable[..., st.SearchStrategy[dict[str, object]]] = st.dictionaries


@settings(max_examples=examples(25), deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 4), MUTATION(st.sampled_from(FIELDS), JSON, max_size=3)), max_size=6),
    st.sampled_from([DriftPolicy.EVOLVE, DriftPolicy.QUARANTINE]),
)
def test_nothing_served_is_ever_lost(mutations: list[tuple[int, dict[str, object]]], policy: DriftPolicy) -> None:
    batch = load(*({**example(ENTRIES, full=True, number=number), **fields} for number, fields in mutations), policy=policy)
    assert batch.frames["accounting_entries"]["id"].is_unique
    owners = set(batch.frames["accounting_entries"]["id"])
    for table in ENTRIES.tables()[1:]:
        assert set(batch.frames[table.name]["accounting_entry_id"]) <= owners


@settings(max_examples=examples(12), deadline=None)
@given(st.lists(MUTATION(st.sampled_from([*FIELDS, "status"]), JSON, max_size=2), min_size=1, max_size=3))
def test_freeze_stops_exactly_where_evolve_reports_drift(mutations: list[dict[str, object]]) -> None:
    records = [{**example(ENTRIES, full=True, number=number), **fields} for number, fields in enumerate(mutations)]
    drift = load(*records).drift
    if drift.unknown_fields or drift.type_changes or drift.impossible_values:
        with pytest.raises(DriftError):
            load(*records, policy=DriftPolicy.FREEZE)
    else:
        load(*records, policy=DriftPolicy.FREEZE)


def test_half_of_a_surrogate_pair_costs_its_record_alone() -> None:
    halved = raw(entry(1, note="@")).replace(b"@", b"\\ud83c and no more")
    whole = raw(entry(2, note="@")).replace(b"@", b"\\ud83c\\udf89")
    batch = load(entry(0), halved, whole)
    assert dict(zip(batch.frames["accounting_entries"]["id"], batch.frames["accounting_entries"]["note"].fillna(""), strict=True)) == {
        key(0): "",
        key(2): "\N{PARTY POPPER}",
    }
    assert [text.encode() for text in batch.quarantined["record"]] == [halved]
