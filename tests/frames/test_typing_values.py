from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pleo_connector.catalogue import CATALOGUE, Stream
from pleo_connector.frames.assembly import arrow_schema
from pleo_connector.frames.currencies import exponents
from tests.frames.records import COMPANY, NOW, entry, example, first, load, raw

INT64 = 2**63 - 1


@pytest.mark.parametrize(
    ("currency", "minors", "amount"),
    [
        ("DKK", 12345, "123.45"),
        ("JPY", 1500, "1500"),
        ("ISK", -1500, "-1500"),
        ("KWD", 1234, "1.234"),
        ("CLF", 12345, "1.2345"),
        ("EUR", 2**53 + 1, "90071992547409.93"),
        ("JPY", INT64, str(INT64)),
        ("KWD", -INT64 - 1, "-9223372036854775.808"),
        ("HRK", 5, "0.05"),
    ],
)
def test_money_is_exact(currency: str, minors: int, amount: str) -> None:
    row = first(load(entry(transactionValue={"currency": currency, "minors": minors})))
    assert row["transaction_value"] == Decimal(amount)
    assert row["transaction_value_minors"] == minors
    assert row["transaction_value_currency"] == currency


@settings(max_examples=10, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(sorted(exponents())), st.integers(-INT64 - 1, INT64)), min_size=1, max_size=30))
def test_any_money_survives(values: list[tuple[str, int]]) -> None:
    batch = load(*(entry(n, transactionValue={"currency": code, "minors": minors}) for n, (code, minors) in enumerate(values)))
    frame = batch.frames["accounting_entries"]
    assert list(frame["transaction_value"]) == [Decimal(minors).scaleb(-exponents()[code]) for code, minors in values]
    assert list(frame["transaction_value_minors"]) == [minors for _, minors in values]


@pytest.mark.parametrize(("code", "kept"), [("UNDEFINED", None), ("QQQ", "QQQ"), ("XAU", "XAU"), (None, None)])
def test_money_of_an_unknown_currency_keeps_its_minors(code: str | None, kept: str | None) -> None:
    batch = load(entry(transactionValue={"currency": code, "minors": 5}))
    row = first(batch)
    assert (row["transaction_value"], row["transaction_value_minors"], row["transaction_value_currency"]) == (None, 5, kept)
    assert [*batch.drift.unknown_currencies] == [f"transactionValue={kept or 'none'}"]


TIMES = [
    *(
        (
            f"2026-01-02T03:04:05{'.' + '123456789'[:n] if n else ''}Z",
            datetime(2026, 1, 2, 3, 4, 5, int("123456000"[: min(n, 6)].ljust(6, "0")), UTC),
        )
        for n in range(10)
    ),
    ("2026-01-02T03:04:05.999999999Z", datetime(2026, 1, 2, 3, 4, 5, 999999, UTC)),
    ("1969-12-31T23:59:59.9999999Z", datetime(1969, 12, 31, 23, 59, 59, 999999, UTC)),
    ("2026-01-02T03:04:05.9999999+02:00", datetime(2026, 1, 2, 1, 4, 5, 999999, UTC)),
    ("2026-01-01T00:30:00-0530", datetime(2026, 1, 1, 6, 0, 0, 0, UTC)),
    ("2026-01-01T00:30:00+01", datetime(2025, 12, 31, 23, 30, 0, 0, UTC)),
    ("2026-01-02T03:04Z", datetime(2026, 1, 2, 3, 4, 0, 0, UTC)),
    ("2026-01-02T03:04:05", datetime(2026, 1, 2, 3, 4, 5, 0, UTC)),
    ("2026-01-02 03:04:05z", datetime(2026, 1, 2, 3, 4, 5, 0, UTC)),
    ("2026-10-25T02:30:00+02:00", datetime(2026, 10, 25, 0, 30, 0, 0, UTC)),  # the hour that comes twice
    ("2026-10-25T02:30:00+01:00", datetime(2026, 10, 25, 1, 30, 0, 0, UTC)),
    ("2026-03-29T02:30:00+01:00", datetime(2026, 3, 29, 1, 30, 0, 0, UTC)),  # the hour that is left out
    ("2016-12-31T23:59:60Z", datetime(2017, 1, 1, 0, 0, 0, 0, UTC)),  # a leap second
    ("2017-01-01T00:59:60.123456789+01:00", datetime(2017, 1, 1, 0, 0, 0, 123456, UTC)),
]


def test_every_written_form_of_a_time_becomes_utc() -> None:
    batch = load(*(entry(n, performedAt=text) for n, (text, _) in enumerate(TIMES)))
    assert [moment.to_pydatetime() for moment in batch.frames["accounting_entries"]["performed_at"]] == [moment for _, moment in TIMES]


@pytest.mark.parametrize(("text", "moment"), TIMES)
def test_a_time_means_the_same_alone(text: str, moment: datetime) -> None:
    performed = first(load(entry(performedAt=text)))["performed_at"]
    assert isinstance(performed, pd.Timestamp)
    assert performed.to_pydatetime() == moment


OFFSETS = st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))
MOMENTS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29), timezones=OFFSETS)  # noqa: DTZ001 - hypothesis wants naive bounds


@settings(max_examples=10, deadline=None)
@given(st.lists(MOMENTS, min_size=1, max_size=40))
def test_any_offset_is_taken_off(moments: list[datetime]) -> None:
    batch = load(*(entry(n, performedAt=moment.isoformat()) for n, moment in enumerate(moments)))
    stored = pa.array(batch.frames["accounting_entries"]["performed_at"].array).cast(pa.int64()).to_pylist()
    assert stored == [(moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1) for moment in moments]


WHOLE_SECONDS = st.datetimes(datetime(1, 1, 3), datetime(9999, 12, 29)).map(lambda moment: moment.replace(microsecond=0))  # noqa: DTZ001
FRACTIONS = st.text("0123456789", max_size=9)
ENDINGS = st.sampled_from(["", "Z", "z", "+00", "-0000", "+05:45", "-0930", "+14:00", "-12"])


@settings(max_examples=15, deadline=None)
@given(st.lists(st.tuples(WHOLE_SECONDS, FRACTIONS, ENDINGS, st.sampled_from("T t")), min_size=1, max_size=40))
def test_any_number_of_digits_is_cut_to_microseconds(times: list[tuple[datetime, str, str, str]]) -> None:
    texts, expected = [], []
    for moment, fraction, ending, between in times:
        texts.append(moment.isoformat(sep="T").replace("T", between) + ("." + fraction if fraction else "") + ending)
        digits = ending[1:].replace(":", "").ljust(4, "0") if len(ending) > 1 else "0000"
        shift = timedelta(hours=int(digits[:2]), minutes=int(digits[2:])) * (-1 if ending.startswith("-") else 1)
        exact = moment.replace(microsecond=int(fraction[:6].ljust(6, "0")), tzinfo=UTC) - shift
        expected.append((exact - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1))
    batch = load(*(entry(n, performedAt=text) for n, text in enumerate(texts)))
    assert pa.array(batch.frames["accounting_entries"]["performed_at"].array).cast(pa.int64()).to_pylist() == expected


@settings(max_examples=15, deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=60))
def test_any_text_survives(note: str) -> None:
    assert first(load(entry(note=note)))["note"] == note
    assert first(load(json.dumps(entry(note=note), ensure_ascii=True).encode()))["note"] == note


def test_a_megabyte_note_with_nul_and_emoji_survives() -> None:
    note = 'a\u0000ø🍕\n"\\/' * 150_000
    assert first(load(entry(note=note)))["note"] == note


def test_uuids_are_canonical_and_do_not_know_is_null() -> None:
    nil = "00000000-0000-0000-0000-000000000000"
    batch = load(entry(0, accountId=nil), entry(1, accountId="A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11"), entry(2))
    frame = batch.frames["accounting_entries"].astype(object)
    assert [None if pd.isna(v) else v for v in frame["account_id"]] == [None, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", None]
    assert [None if pd.isna(v) else v for v in frame["account_id_unknown"]] == [True, False, None]


def test_undefined_country_and_currency_are_null() -> None:
    vendors = CATALOGUE.stream("vendors")
    batch = load({**example(vendors, full=True), "country": "UNDEFINED", "defaultCurrency": "UNDEFINED"}, stream=vendors)
    row = first(batch, "vendors")
    assert row["country"] is None
    assert row["default_currency"] is None
    assert not batch.drift, "Pleo answered: it does not know"
    silent = load({**example(vendors, full=True), "defaultCurrency": None}, stream=vendors)
    assert set(silent.drift.missing_required) == {"defaultCurrency"}


@pytest.mark.parametrize(
    ("served", "rate"), [("0.25", "0.25"), ("0.123456789", "0.123456789"), ("1", "1"), ("0", "0"), ("2.5e-2", "0.025"), ("-0.1", "-0.1")]
)
def test_rates_are_exact(served: str, rate: str) -> None:
    tax_codes = CATALOGUE.stream("tax_codes")
    text = raw({**example(tax_codes, full=True), "rate": "@"}).replace(b'"@"', served.encode())
    assert first(load(text, stream=tax_codes), "tax_codes")["rate"] == Decimal(rate)


def test_free_form_json_keeps_its_key_order() -> None:
    accounts = CATALOGUE.stream("accounts")
    row = first(
        load({**example(accounts, full=True), "metadata": {"b": 12345678901234567890, "a": "é\u0000"}}, stream=accounts), "accounts"
    )
    assert row["metadata"] == '{"b":12345678901234567890,"a":"é\\u0000"}'


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("stream", list(CATALOGUE), ids=lambda stream: stream.name)
def test_every_stream_loads_its_smallest_and_fullest_record(stream: Stream, *, full: bool) -> None:
    batch = load(example(stream, full=full), stream=stream)
    assert not batch.drift
    assert [*batch.frames] == [table.name for table in stream.tables()]
    for table in stream.tables():
        frame = batch.frames[table.name]
        assert pa.schema([(str(name), dtype.pyarrow_dtype) for name, dtype in frame.dtypes.items()]) == arrow_schema(table)
        depth = len(table.key) - 1 if table.parent else 0
        assert len(frame) == (2**depth if full or not depth else 0)
        if full:
            empty = {str(name) for name in frame.columns if frame[name].isna().all()}
            assert empty <= {"_extra", "_deleted_at", "_deleted_source"}
        assert not frame.duplicated(list(table.key)).any()


def test_system_columns() -> None:
    gone = "2026-02-03T04:05:06Z"
    row = first(load(entry(deletedAt=gone)))
    assert row["_synced_at"] == pd.Timestamp(NOW)
    assert (row["_deleted_at"], row["_deleted_source"], row["_sweep_id"]) == (pd.Timestamp(gone), "api_flag", "sweep-1")
    alive = first(load(entry()))
    assert (alive["_deleted_at"], alive["_deleted_source"]) == (None, None)


def test_children_carry_keys_positions_and_identity() -> None:
    ids = ["c0eebc99-9c0b-4ef8-bb6d-6bb9bd380a1" + n for n in "12"]
    tags = [{"tagGroupId": ids[0], "tagId": ids[n % 2]} for n in range(3)]
    times = {"createdAt": "2026-01-01T00:00:00Z", "updatedAt": "2026-01-01T00:00:00Z"}
    batch = load(
        entry(0),
        entry(1, splitItems=[{"id": ids[0], **times}, {"id": ids[1], "tags": tags, **times}], receiptIds=ids, tags=None, attendees=[]),
    )
    parent = batch.frames["accounting_entries"].set_index("id")
    splits, split_tags, receipts = (batch.frames[f"accounting_entry_{name}"] for name in ("splits", "split_tags", "receipts"))
    owner = entry(1)["id"]
    assert list(splits["accounting_entry_id"]) == [owner] * 2
    assert list(splits["position"]) == [1, 2]
    assert list(split_tags["split_position"]) == [2, 2, 2]
    assert list(split_tags["position"]) == [1, 2, 3]
    assert list(split_tags["split_id"]) == [ids[1]] * 3
    assert list(receipts["receipt_id"]) == ids
    assert set(split_tags["_row_hash"]) == {parent["_row_hash"][str(owner)]}
    assert set(receipts["_company_id"]) == {COMPANY}
    assert batch.frames["accounting_entry_tags"].empty
