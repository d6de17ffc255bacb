"""Links to receipt files are as a file store's: signed, for a day, and without the credential."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import httpx
import pytest

from pleo_connector.sandbox import API_KEY, RunningSandbox
from pleo_connector.sandbox.receipt_content import receipt_content
from tests.sandbox.signing_in import Clock, get

RECEIPTS = "/v1/accounting-entries/receipts:search"
DAY = 86_400.0


def receipts(api: httpx.Client, companies: dict[str, str], **body: Any) -> list[dict[str, Any]]:
    answer = api.post(RECEIPTS, params={"company_id": companies["DK"], "limit": 20}, json={"includeDeleted": False, **body})
    data: list[dict[str, Any]] = answer.json()["data"]
    return data


def test_a_link_opens_the_file_without_a_credential_and_not_with_one(api: httpx.Client, companies: dict[str, str]) -> None:
    for receipt in receipts(api, companies):
        answer = get(receipt["url"])
        content, kind = receipt_content(receipt)
        assert (answer.status_code, answer.content, answer.headers["content-type"]) == (200, content, kind)
    refused = get(receipt["url"], auth=(API_KEY, ""))
    assert (refused.status_code, "InvalidArgument" in refused.text) == (400, True)


def test_a_link_that_somebody_changed_opens_nothing(api: httpx.Client, companies: dict[str, str]) -> None:
    first, other = receipts(api, companies)[:2]
    for url in (first["url"].replace(first["id"], other["id"]), first["url"][:-1], first["url"].split("?")[0]):
        assert get(url).status_code == 403


def test_a_link_ends_after_a_day(own_api: httpx.Client, sandbox: RunningSandbox, clock: Clock, companies: dict[str, str]) -> None:
    receipt = receipts(own_api, companies)[0]
    clock.now += DAY - 1
    assert get(receipt["url"]).status_code == 200
    clock.now += 2
    late = get(receipt["url"])
    assert (late.status_code, "expired" in late.text) == (403, True)
    entry = receipt["accountingEntryId"]
    fresh = receipts(own_api, companies, accountingEntryIds=[entry], fileType="ORIGINAL")
    assert [get(one["url"]).status_code for one in fresh if one["id"] == receipt["id"]] == [200]
    sandbox.state.remove("receipts", receipt["id"])
    assert get(fresh[0]["url"]).status_code == 404


@pytest.mark.parametrize("kind", ["image/png", "image/jpeg", "image/gif", "application/pdf", "application/xml", "image/heic", "unknown"])
def test_each_file_is_small_and_its_own(kind: str) -> None:
    keys = ("c0760713-97e0-4199-84c2-ecd82174f82e", "fbb7d8a4-8f01-4de6-bf8d-ca0831237b58")
    one, other = (receipt_content({"id": key, "mimeType": kind})[0] for key in keys)
    assert one != other
    assert 0 < len(one) < 1_000


def test_the_png_is_one() -> None:
    content, _ = receipt_content({"id": "c0760713-97e0-4199-84c2-ecd82174f82e", "mimeType": "image/png"})
    at, seen = 8, {}
    while at < len(content):
        (size,) = struct.unpack_from(">I", content, at)
        name, data = content[at + 4 : at + 8], content[at + 8 : at + 8 + size]
        assert struct.unpack_from(">I", content, at + 8 + size) == (zlib.crc32(name + data),)
        seen[name], at = data, at + 12 + size
    width, height = struct.unpack_from(">II", seen[b"IHDR"])
    assert len(zlib.decompress(seen[b"IDAT"])) == height * (1 + 3 * width)
    assert content.endswith(b"IEND\xaeB`\x82")


def test_the_pdf_finds_its_objects_where_its_table_says() -> None:
    content, _ = receipt_content({"id": "c0760713-97e0-4199-84c2-ecd82174f82e", "mimeType": "application/pdf"})
    start = int(content.rsplit(b"startxref\n", 1)[1].split(b"\n")[0])
    lines = content[start:].split(b"\n")
    assert lines[0] == b"xref"
    for number in range(1, 6):
        place = int(lines[2 + number][:10])
        assert content[place:].startswith(b"%d 0 obj" % number)
