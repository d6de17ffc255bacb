"""What Pleo's answer says about a refusal, in its own words, fit for one line of a message."""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable
from typing import Any

_LONGEST = 300
"""Characters of a body that are shown."""

_LARGEST = 64 * 1024
"""Bytes of a body that are looked at."""

_CODES = ("type", "code", "error")
_SENTENCES = ("message", "error_description", "detail", "description", "title")


def own_words(body: bytes, scrub: Callable[[str], str]) -> str:
    """Code and sentence of a refusal's JSON, or its text: one line without secrets; empty where it has none, and for a page of HTML.

    `scrub` takes known secrets out. Bodies seen: `{"type", "message"}`, `{"error", "error_description"}`.
    """
    text = body[:_LARGEST].decode("utf-8", "replace")
    if is_markup(body):
        return ""
    try:
        content = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        content = text
    line = scrub(_one_line(_told(content)))
    return line if len(line) <= _LONGEST else f"{line[: _LONGEST - 3].rstrip()}..."


def is_markup(body: bytes) -> bool:
    """Whether the body is a page for people, as proxies and firewalls send it."""
    return body[:200].lstrip(b"\xef\xbb\xbf \t\r\n")[:1] == b"<"


def _told(content: Any) -> str:
    """Code and sentence of an object; the JSON itself where it has neither."""
    if isinstance(content, str):
        return content
    told = content
    for wrapper in ("error", "errors"):  # {"error": {"code", "message"}}, {"errors": [{"message"}]}
        inner = told.get(wrapper) if isinstance(told, dict) else None
        inner = inner[0] if isinstance(inner, list) and inner else inner
        told = inner if isinstance(inner, dict) else told
    if isinstance(told, dict):
        parts = [_first_text(told, names) for names in (_CODES, _SENTENCES)]
        if any(parts):
            return ": ".join(filter(None, parts))
    return json.dumps(content, ensure_ascii=False) if content else ""


def _first_text(content: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((value.strip() for name in names if isinstance(value := content.get(name), str) and value.strip()), "")


def _one_line(text: str) -> str:
    """Without characters that move a cursor, hide or turn round what is shown; a secret that they interrupt is whole again."""
    spaced = re.sub(r"\s+", " ", text).strip()
    return "".join(character for character in spaced if unicodedata.category(character)[0] != "C")
