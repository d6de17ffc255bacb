from __future__ import annotations

import json
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.errors import ConfigurationError
from pleo_connector.sandbox.samples import read_samples, sample_folder
from pleo_connector.sandbox.store import identity_of
from pleo_connector.sandbox.times import nanoseconds
from tests.catalogue_contract import contract, operations, resolved

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "sample_data"
NIL = "00000000-0000-0000-0000-000000000000"
UUID4 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")

UNDECLARED = {("accounts", "accountingSystem"), ("accounting_entries", "merchant"), ("accounting_entries", "employee")}
"""Pleo's own samples show the first field, the live API serves the others; the contract has none of them."""
LIVE = "Grachtwerk Vastgoed B.V."
"""The company whose entries have the shape of the live API."""
LONGER_THAN_DECLARED = {("vendors", "country"), ("vendors", "defaultCurrency")}
"""May be UNDEFINED, although the contract gives a length."""


def records(stream: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / f"{stream}.jsonl").read_text("utf-8").splitlines()]


def live_company() -> str:
    return next(str(record["id"]) for record in records("companies") if record["name"] == LIVE)


def schema_of(stream: str) -> Any:
    (media,) = operations()[CATALOGUE.stream(stream).operation][2]["responses"]["200"]["content"].values()
    envelope = resolved(media["schema"])
    return resolved(resolved(envelope["properties"]["data"])["items"]) if "data" in envelope["properties"] else envelope


def faults(value: Any, schema: Any, where: tuple[str, ...], *, required: bool = True) -> list[str]:
    """Where a value is not what the contract says; null is fine wherever a field may be absent."""
    schema = resolved(schema)
    if "allOf" in schema:
        schema = resolved(schema["allOf"][0])
    name = ".".join(where)
    kinds = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    if value is None:
        return [] if not required or "null" in kinds else [f"{name}: null although required"]
    python: dict[str, Any] = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}
    kind = next(kind for kind in kinds if kind != "null")
    if not isinstance(value, python[kind]) or (isinstance(value, bool) and kind != "boolean"):
        return [f"{name}: {value!r} is no {kind}"]
    if kind == "array":
        return [fault for item in value for fault in faults(item, schema["items"], (*where, "[]"))]
    if kind == "object":
        return _object_faults(value, schema, where)
    return _text_faults(value, schema, where) if kind == "string" else []


def _object_faults(value: dict[str, Any], schema: Any, where: tuple[str, ...]) -> list[str]:
    properties, needed = schema.get("properties"), schema.get("required", [])
    if properties is None:
        return []
    found = [f"{'.'.join(where)}.{name}: missing" for name in needed if name not in value]
    for name, item in value.items():
        if name in properties:
            found += faults(item, properties[name], (*where, name), required=name in needed)
        elif (where[0], name) not in UNDECLARED:
            found.append(f"{'.'.join(where)}.{name}: not in the contract")
    return found


def _text_faults(value: str, schema: Any, where: tuple[str, ...]) -> list[str]:
    name = ".".join(where)
    if schema.get("format") == "uuid" and not (UUID4.fullmatch(value) or value == NIL):
        return [f"{name}: {value!r} is no UUID"]
    if schema.get("x-date-pattern") == "YYYY-MM-DD":
        return [] if re.fullmatch(r"\d{4}-\d\d-\d\d", value) else [f"{name}: {value!r} is no date"]
    if schema.get("format") == "date-time":
        nanoseconds(value)
    known = schema.get("enum") or schema.get("x-extensible-enum")
    if known and value not in known:
        return [f"{name}: {value!r} is not a known value"]
    too_long = len(value) > schema.get("maxLength", len(value))
    return [f"{name}: {value!r} is too long"] if too_long and (where[0], where[-1]) not in LONGER_THAN_DECLARED else []


@pytest.mark.parametrize("stream", [stream.name for stream in CATALOGUE])
def test_every_record_is_what_the_contract_says(stream: str) -> None:
    assert contract()
    found = records(stream)
    assert found
    assert len({identity_of(CATALOGUE.stream(stream), record) for record in found}) == len(found)
    assert [fault for record in found for fault in faults(record, schema_of(stream), (stream,))] == []


def test_the_files_are_what_the_generator_writes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts" / "make-sample-data", tmp_path], check=True, timeout=60)
    names = {path.name for path in FOLDER.iterdir()}
    assert names == {f"{stream.name}.jsonl" for stream in CATALOGUE}
    assert all((FOLDER / name).read_bytes() == (tmp_path / name).read_bytes() for name in names)
    assert sum(path.stat().st_size for path in FOLDER.iterdir()) < 4_000_000


def test_splits_add_up_to_their_entry_in_every_currency() -> None:
    split = [entry for entry in records("accounting_entries") if entry["splitItems"]]
    assert len(split) > 100
    assert any(entry["transactionValue"]["minors"] < 0 for entry in split)
    for entry in split:
        for name in ("transactionValue", "totalBillValue"):
            parts = [part.get(name) for part in entry["splitItems"]]
            if entry.get(name) is None:
                assert parts == [None] * len(parts)
            else:
                assert {part["currency"] for part in parts} == {entry[name]["currency"]}
                assert sum(part["minors"] for part in parts) == entry[name]["minors"]


def test_entries_point_at_records_of_their_own_company() -> None:
    owners = {
        record["id"]: record["companyId"]
        for name in ("employees", "accounts", "tags", "tag_groups", "tax_codes")
        for record in records(name)
    }
    live = live_company()
    for entry in records("accounting_entries"):
        if entry["companyId"] == live:
            continue
        pointers = [entry.get("employeeId"), entry.get("accountId"), entry.get("taxCodeId")]
        pointers += [tag.get(name) for tag in entry["tags"] for name in ("tagGroupId", "tagId")]
        pointers += [part.get(name) for part in entry["splitItems"] for name in ("accountId", "taxCodeId")]
        for pointer in pointers:
            assert pointer in (None, NIL) or owners[pointer] == entry["companyId"]


def test_entries_show_everything_that_is_hard_about_them() -> None:
    entries = records("accounting_entries")
    assert {entry["transactionValue"]["currency"] for entry in entries} == {"DKK", "EUR", "GBP", "SEK", "JPY", "KWD"}
    assert {len(entry["performedAt"].rstrip("Z").partition(".")[2]) for entry in entries} == set(range(10))
    assert len({entry["performedAt"][:7] for entry in entries}) == 14
    assert min(entry["performedAt"] for entry in entries) >= "2025-10-01"
    assert max(entry["performedAt"] for entry in entries) < "2026-11-22"
    states = Counter(name for entry in entries for name, value in entry.items() if value is None)
    assert {"settledAt", "accountId", "accountCode", "taxCodeId", "note", "supplier", "deletedAt", "subFamily", "totalBillValue"} <= set(
        states
    )
    for name in ("settledAt", "accountId", "note", "employeeId", "teamId", "supplier", "totalBillValue", "deletedAt"):
        assert any(name not in entry for entry in entries), f"{name} is never absent"
    assert any(entry["transactionValue"]["minors"] < 0 for entry in entries)
    assert any(entry.get("accountId") == NIL for entry in entries)
    assert any(tag.get("tagId") == NIL for entry in entries for tag in entry["tags"])
    assert any("tagId" not in tag for entry in entries for tag in entry["tags"])
    assert sum(entry.get("deletedAt") is not None for entry in entries) > 10
    assert any(len(entry["receiptIds"]) > 1 for entry in entries)
    assert {attendee["attendableType"] for entry in entries for attendee in entry["attendees"]} == {"EMPLOYEE", "CONTACT"}
    notes = "".join(entry.get("note") or "" for entry in entries)
    assert all(sign in notes for sign in ("\n", "\t", '"', "🍽️", "ø", "ü", "å", "é"))
    assert {"PENDING", "COMPLETED"} <= {entry["status"] for entry in entries}
    assert {"OK", "WAITING_FOR_REVIEWER"} <= {entry["reviewStatus"] for entry in entries}
    assert {"EXPORTED", "NOT_EXPORTED"} <= {entry["exportStatus"] for entry in entries}
    assert any(entry.get("settledAt") is None and entry["status"] == "PENDING" for entry in entries)
    twice = Counter((entry["companyId"], entry["performedAt"]) for entry in entries)
    assert max(twice.values()) > 1, "no two entries share their moment"


def test_the_small_streams_show_what_is_hard_about_them() -> None:
    assert {record["address"]["country"] for record in records("companies")} == {"DK", "DE", "SE", "FR", "NL"}
    assert len({record["organizationId"] for record in records("companies")}) == 1
    assert any(record["address"].get("addressLine2", "") is None for record in records("companies"))
    names = "".join(record["firstName"] + record["lastName"] for record in records("employees"))
    assert all(letter in names for letter in "øÆåßüöéœçşı\u2019")
    assert any("jobTitle" not in record for record in records("employees"))
    for stream in ("accounts", "tag_groups", "tags", "tax_codes"):
        assert {record["archived"] for record in records(stream)} == {True, False}
    assert all(isinstance(record["accountingSystem"], str) for record in records("accounts"))
    assert any(record["code"] is None for record in records("accounts"))
    assert {0.25, 0.19, 0.055, 0.021, 0.0625} <= {record["rate"] for record in records("tax_codes")}
    assert "reverse" in {record["type"] for record in records("tax_codes")}
    assert any(record.get("country") == "UNDEFINED" for record in records("vendors"))
    assert any(record["defaultCurrency"] == "UNDEFINED" for record in records("vendors"))
    assert any("country" not in record for record in records("vendors"))
    assert any("name" not in record for record in records("tags"))
    assert {len(record["dimensions"]) for record in records("tags")} == {0, 1, 2, 3}


def test_one_company_has_the_shape_of_the_live_api() -> None:
    live = live_company()
    entries = [entry for entry in records("accounting_entries") if entry["companyId"] == live]
    assert not any(name in entry for entry in entries for name in ("accountCode", "supplier"))
    assert not any(entry["splitItems"] for entry in entries)
    merchants = [entry["merchant"] for entry in entries if entry.get("merchant")]
    assert {tuple(merchant) for merchant in merchants} == {("name", "merchantCategoryCode"), ("name",)}
    assert any(entry.get("merchant", "") is None for entry in entries) and any("merchant" not in entry for entry in entries)

    categories = {entry["accountId"] for entry in entries if "accountId" in entry}
    accounts = {record["id"] for record in records("accounts") if record["companyId"] == live}
    assert (len(categories), len(accounts), len(categories & accounts)) == (17, 11, 0)
    of = {entry["id"]: entry.get("accountId") for entry in entries}
    (running,) = (job["id"] for job in records("export_jobs") if job["companyId"] == live and job["status"] == "in_progress")
    served = {item["accountingEntryId"] for item in records("export_job_items") if item["exportJobId"] == running}
    shown: dict[str, Counter[str]] = {}
    for item in records("export_items"):
        if item["accountingEntryId"] in served and (category := of[item["accountingEntryId"]]) is not None:
            (line,) = item["accountingEntryLines"]
            assert line["account"]["id"] in accounts
            shown.setdefault(category, Counter())[line["account"]["name"]] += 1
    assert 5 < len(shown) < len(categories), "some categories get a name, others none"
    assert max(len(names) for names in shown.values()) == 2, "one category was booked on two accounts"

    known = {record["id"]: record for record in records("employees")}
    inline = [entry for entry in entries if "employee" in entry]
    assert all(entry["employee"]["id"] == entry["employeeId"] and "@" in entry["employee"]["email"] for entry in inline)
    assert any(entry["employeeId"] not in known for entry in inline)
    assert any("employee" not in entry for entry in entries if "employeeId" in entry)

    first, note = (next(entry for entry in entries if entry["totalBillValue"]["minors"] == minors) for minors in (100_000, -40_000))
    assert (first["family"], note["family"]) == ("BILL_INVOICE", "CREDIT_NOTE")
    assert first["merchant"] == note["merchant"]
    assert sum(entry["performedAt"].endswith("-01T00:00:00Z") for entry in entries) == 2
    assert any(entry["family"] == "CARD_PURCHASE" and entry["totalBillValue"]["minors"] < 0 for entry in entries)
    assert all(not entry["tags"] for entry in entries if entry["performedAt"] >= "2026-11-20")
    retired = {group["id"] for group in records("tag_groups") if group["companyId"] == live and group["archived"]}
    assert any(tag["tagGroupId"] in retired for entry in entries for tag in entry["tags"])


def test_missing_or_broken_sample_data_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"companies\.jsonl"):
        sample_folder((tmp_path,))
    (tmp_path / "companies.jsonl").write_text("{}\nnot json\n")
    assert sample_folder((tmp_path / "nowhere", tmp_path)) == tmp_path
    with pytest.raises(ConfigurationError, match="not JSON Lines"):
        read_samples(tmp_path, "companies")
    assert read_samples(tmp_path, "vendors") == ()
