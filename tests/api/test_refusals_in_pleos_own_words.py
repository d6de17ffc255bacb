"""A 403 tells what Pleo says of it, in one line without secrets, and what helps a key or a grant."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from pleo_connector.api import Budget, PageRequest, PleoClient, Traffic
from pleo_connector.api.errors import own_words
from pleo_connector.auth.redaction import Redactor
from pleo_connector.errors import Forbidden
from pleo_connector.settings import load
from pleo_connector.sync import connection_from_settings

DENIED = {"type": "ACCESS_DENIED", "message": "Required permission 'READ' on resource 'tag-group'"}
SAID = "ACCESS_DENIED: Required permission 'READ' on resource 'tag-group'"
KEY = "live-key-0123456789+/="


def refused(body: bytes, **client: Any) -> Forbidden:
    async def go() -> None:
        transport = httpx.MockTransport(lambda _: httpx.Response(403, content=body))
        async with PleoClient("http://127.0.0.1:1", httpx.Auth(), Budget(500), transport=transport, **client) as asked:
            await asked.fetch(PageRequest("GET", "/v0/tag-groups", "tag_groups of company c1", "tag-groups:read"), bytes, Traffic())

    with pytest.raises(Forbidden) as caught:
        asyncio.run(go())
    return caught.value


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (json.dumps(DENIED), SAID),
        (
            json.dumps({"error": "insufficient_scope", "error_description": "Needs tag-groups:read"}),
            "insufficient_scope: Needs tag-groups:read",
        ),
        (json.dumps({"error": {"code": "ACCESS_DENIED", "message": "No."}}), "ACCESS_DENIED: No."),
        (json.dumps({"errors": [{"detail": "Not yours."}, {"detail": "Nor this."}]}), "Not yours."),
        (json.dumps({"type": "", "message": 7, "title": "Forbidden"}), "Forbidden"),
        (json.dumps({"reason": {"policy": "eu"}}), '{"reason": {"policy": "eu"}}'),
        (json.dumps("Not allowed"), "Not allowed"),
        ("Forbidden by the gateway\r\n", "Forbidden by the gateway"),
        (json.dumps({"message": "one\r\ntwo\t\x1b[31mred\x00 \u202etxet\u200b \ud800end"}), "one two [31mred txet end"),
        (json.dumps({"message": "long " * 200}), f"{('long ' * 200)[:297].rstrip()}..."),
        ("[" * 100_000, f"{'[' * 297}..."),
        ('{"message":"cut', '{"message":"cut'),
        ("<!doctype html><html>secret</html>", ""),
        ("", ""),
        ("{}", ""),
        ("[]", ""),
        ("null", ""),
    ],
)
def test_every_kind_of_body_is_one_line(body: str, said: str) -> None:
    assert own_words(body.encode("utf-8", "surrogatepass"), str) == said


def test_bytes_that_are_no_text_do_no_harm() -> None:
    assert "\n" not in own_words(b"\xff\xfe no\n text", str)


@pytest.mark.parametrize(
    "shown",
    [KEY, KEY.replace("key", "k\\u200bey"), KEY.replace("/", "\\/"), f"{KEY}{'x' * 400}", f"{'x' * 270}{KEY}"],
)
def test_no_secret_is_repeated_in_any_spelling(shown: str) -> None:
    redactor = Redactor()
    redactor.register(KEY)
    said = own_words(f'{{"type":"ACCESS_DENIED","message":"{shown}"}}'.encode(), redactor.scrub)
    assert "live-k" not in said and "***" in said
    assert "live-k" not in own_words(f'{{"token":"{shown}"}}'.encode(), redactor.scrub)


def test_the_advice_fits_a_key() -> None:
    error = refused(json.dumps(DENIED).encode(), uses_api_key=True)
    assert str(error) == (
        f'Pleo refuses tag_groups of company c1 (403, GET /v0/tag-groups) and says "{SAID}"; make a key in Pleo with that permission '
        "(the scope tag-groups:read) and set PLEO_API_KEY, or leave this stream out."
    )
    assert error.of_key


def test_the_advice_fits_a_grant() -> None:
    error = refused(json.dumps(DENIED).encode(), connect="run `pleo-connector connect --connection acme`")
    assert str(error) == (
        f'Pleo refuses tag_groups of company c1 (403, GET /v0/tag-groups) and says "{SAID}"; add the scope tag-groups:read to PLEO_SCOPES and '
        "run `pleo-connector connect --connection acme` as a person who may read it in Pleo, or leave this stream out."
    )
    assert not error.of_key


def test_without_words_of_pleos_the_likely_reasons_are_named() -> None:
    assert "(403, GET /v0/tag-groups): the credential lacks the scope tag-groups:read, or does not cover that company; add" in str(
        refused(b"")
    )
    code = str(refused(b'{"type":"FORBIDDEN"}'))
    assert '(403, GET /v0/tag-groups) and says "FORBIDDEN": the credential lacks the scope tag-groups:read, or does not' in code
    page = str(refused(b"<html>no</html>", uses_api_key=True))
    assert (
        "(403, GET /v0/tag-groups) with an HTML page, as a proxy or a firewall may send it: the credential lacks" in page
        and "make a key" in page
    )


def test_a_connection_knows_its_kind_of_credential_and_its_secrets() -> None:
    by_key = connection_from_settings(load({"PLEO_API_KEY": KEY}, None))
    error = refused(f'{{"message":"{KEY} may not"}}'.encode(), uses_api_key=by_key.uses_api_key, scrub=by_key.scrub)
    assert 'says "*** may not"' in str(error) and error.of_key
