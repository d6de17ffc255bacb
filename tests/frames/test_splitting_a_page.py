from __future__ import annotations

import json

import pytest

from pleo_connector.catalogue import Paging
from pleo_connector.errors import BadAnswer
from pleo_connector.frames import Page, split_page

WHAT = "accounting_entries of company 1, page 3"
PAGE = b'{"data": [{"id" : 1},  {"n":12345678901234567890.10}], "pagination": {"hasNextPage": true, "hasPreviousPage": false, "endCursor": "MFRGG===", "total": 7, "currentRequestPagination": {}}}'


def split(body: bytes, paging: Paging = Paging.CURSOR) -> Page:
    return split_page(body, paging, WHAT)


def test_records_are_the_bytes_as_served() -> None:
    page = split(PAGE)
    assert [bytes(record) for record in page.records] == [b'{"id" : 1}', b'{"n":12345678901234567890.10}']
    assert (page.has_next, page.end_cursor, page.total) == (True, "MFRGG===", 7)


def test_a_cursor_on_the_last_page_does_not_mean_more() -> None:
    page = split(b'{"pagination":{"hasNextPage":false,"endCursor":"X","total":null},"data":[]}')
    assert page == Page((), has_next=False, end_cursor="X", total=None)


def test_a_whole_list_has_no_pagination() -> None:
    page = split(b'{"data":[{}]}', Paging.WHOLE)
    assert len(page.records) == 1
    assert not page.has_next


@pytest.mark.parametrize("paging", [Paging.CURSOR, Paging.WHOLE])
@pytest.mark.parametrize(
    ("body", "records"),
    [
        (b"[]", ()),
        (b' [ {"id" : 1},\n{"n":12345678901234567890.10} ] ', (b'{"id" : 1}', b'{"n":12345678901234567890.10}')),
        (b'[{"a":"\\ud800"},{"id":2}]', (b'{"a":"\\ud800"}', b'{"id":2}')),
    ],
)
def test_a_bare_array_is_one_page(body: bytes, records: tuple[bytes, ...], paging: Paging) -> None:
    page = split(body, paging)
    assert tuple(map(bytes, page.records)) == records
    assert page.is_bare
    assert (page.has_next, page.end_cursor, page.total) == (False, None, None)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (PAGE[:60], "ended after 60 bytes"),
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>secret</html>", "HTML"),
        (b"<Error>secret</Error>", "XML"),
        (b"secret service down", "plain text of 19 bytes"),
        (b'{"data": [secret]}', "damaged or cut JSON"),
        (b'{"pagination":{"hasNextPage":true}}', "data"),
        (b'{"data":[{"secret":1}]}', "pagination"),
        (b'{"data":[{"secret":1}],"pagination":{}}', "hasNextPage"),
        (b'{"data":{"secret":1},"pagination":{"hasNextPage":true}}', "array"),
        (b'{"data":null,"pagination":{"hasNextPage":true}}', "array"),
        (b'{"data":[],"pagination":{"hasNextPage":"secret"}}', "bool"),
        (b'["secret"]', "object"),
        (b'[{"a":"\\ud800"},"secret"]', "object"),
        (b'[{"a":"secret"},', "ended after"),
        (b'[{"a":"\\ud800 secret"}] secret', "in the middle"),
        (b'{"data":[{"a":"\\ud800 secret"}],"pagination":{"hasNextPage":"secret"}}', "bool"),
        (b'{"data":[{"a":"\\ud800 secret"}]', "ended after"),
    ],
)
def test_a_bad_answer_is_one_sentence_without_content(body: bytes, expected: str) -> None:
    with pytest.raises(BadAnswer) as caught:
        split(body)
    message = str(caught.value)
    assert WHAT in message
    assert expected in message
    assert "secret" not in message
    assert message.endswith(".")
    assert "\n" not in message


def test_one_damaged_record_does_not_cost_the_page() -> None:
    body = b'{"data": [ {"a":"\\ud800"} , {"b":[1,{"c":"]"}]}], "pagination": {"hasNextPage": true, "endCursor": "A"}}'
    page = split(body)
    assert [bytes(record) for record in page.records] == [b'{"a":"\\ud800"}', b'{"b":[1,{"c":"]"}]}']
    assert (page.has_next, page.end_cursor) == (True, "A")
    assert len(split(body, Paging.WHOLE).records) == 2


def test_a_megabyte_note_is_split_untouched() -> None:
    record = json.dumps({"note": "ø🍕\u0000" * 200_000}).encode()
    assert bytes(split(b'{"data":[' + record + b"]}", Paging.WHOLE).records[0]) == record
