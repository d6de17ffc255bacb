"""Money of export items: exact or set aside, never rounded, and an amount only where the rule is documented."""

from __future__ import annotations

import json
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.frames.currencies import exponents
from tests.examples import examples
from tests.frames.records import example, load

ITEMS = CATALOGUE.stream("export_items")
CURRENCIES = ("SEK", "EUR", "JPY", "KWD", "UNDEFINED", "ZZZ", "XAU")
BIG = 10**22 - 1

values = st.one_of(
    st.integers(-BIG, BIG).map(Decimal),
    st.integers(-(10**14), 10**14).map(lambda number: Decimal(number).scaleb(-6)),
    st.decimals(-(10**7), 10**7, places=2),
)


def served(currency: str, value: str) -> bytes:
    amounts = {"inSupplierCurrency": {"currency": currency, "value": 7654321}, "inWalletCurrency": {"currency": currency, "value": 100}}
    text = json.dumps({**example(ITEMS, full=False), "amount": amounts})
    return text.replace("7654321", value).encode()


@settings(max_examples=examples(16), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(CURRENCIES), values), min_size=1, max_size=8))
def test_every_value_is_kept_exactly_and_divided_only_where_two_decimals_are_sure(money: list[tuple[str, Decimal]]) -> None:
    for currency, value in money:
        text = format(value, "f")
        frame = load(served(currency, text), stream=ITEMS).frames["export_items"]
        row = frame.iloc[0]
        assert row["amount_in_supplier_currency_value"] == value
        amount = row["amount_in_supplier_currency"]
        if exponents().get(currency) == 2:
            assert Decimal(amount) == value.scaleb(-2)
        else:
            assert frame["amount_in_supplier_currency"].isna().all()
        assert list(frame["amount_in_supplier_currency_currency"].dropna()) == ([] if currency == "UNDEFINED" else [currency])


def test_what_cannot_be_known_exactly_is_set_aside() -> None:
    for value in ("0.1234567", "1e-9", "12345678901234567.5", '"12"', "true", "1" + "0" * 22):
        batch = load(served("SEK", value), stream=ITEMS)
        assert list(batch.quarantined["field"]) == ["amount.inSupplierCurrency.value"], value


def test_a_missing_value_is_null() -> None:
    row = load(served("SEK", "null"), stream=ITEMS).frames["export_items"].iloc[0]
    assert row.isna()["amount_in_supplier_currency"]
    assert row.isna()["amount_in_supplier_currency_value"]


def test_null_elements_of_sparse_lists_leave_no_row_and_other_fields_no_trace() -> None:
    record = example(ITEMS, full=True)
    record["files"] = [None, {"type": "image/png", "size": 3, "url": "https://files.example/secret"}, None]
    record["additionalInformation"]["attendees"] = [None, "Freja"]  # type: ignore[index]
    batch = load(record | {"_links": {"web": {"a": "https://files.example/secret"}}}, stream=ITEMS)
    assert not batch.quarantined.shape[0]
    assert list(batch.frames["export_item_files"]["position"]) == [2]
    assert list(batch.frames["export_item_attendees"]["attendee"]) == ["Freja"]
    assert not batch.drift.unknown_fields
    assert all("secret" not in str(frame.to_dict()) for frame in batch.frames.values())
