"""Records without what their stream drops, and with hashes of what it hashes: cut as soon as a page is split, before anything else sees it.

So no later place can keep what is dropped or hashed: not the tables, not the raw landing. A quarantined record goes through here once more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from functools import lru_cache
from typing import Any

import msgspec

from pleo_connector.catalogue import Child, Column, Paging, Stream
from pleo_connector.catalogue.hash_key import HashKey
from pleo_connector.column_rules import ColumnRule
from pleo_connector.frames.envelope import Page, RawRecord
from pleo_connector.frames.plan import compile_plan


def cuts(stream: Stream) -> bool:
    """Whether anything of the stream's records is not kept as it is served."""
    return bool(_tree(stream)) or not stream.keeps_unknown


def cut_page(stream: Stream, page: Page, body: bytes) -> tuple[Page, bytes]:
    """The page and its body without what is dropped; both as they are where nothing is.

    Of a stream whose unknown fields may be secrets their names stay, for the drift report, and no values.
    """
    if not cuts(stream):
        return page, body
    records = tuple(_cut(stream, bytes(record)) for record in page.records)
    kept = replace(page, records=records)
    return kept, records[0] if stream.paging is Paging.ONE else _enveloped(kept)


def _enveloped(page: Page) -> bytes:
    pagination = {"hasNextPage": page.has_next, "endCursor": page.end_cursor, "total": page.total}
    return b'{"data":[' + b",".join(bytes(record) for record in page.records) + b'],"pagination":' + msgspec.json.encode(pagination) + b"}"


def _cut(stream: Stream, text: bytes) -> bytes:
    try:
        cut = msgspec.json.encode(_dropped(text, _tree(stream), stream.hash_key))
        return cut if stream.keeps_unknown else msgspec.json.encode(_declared(cut, compile_plan(stream).top.structure))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _withheld(text, None).encode()


_WITHHELD = msgspec.Raw(b'"withheld"')


def _declared(text: bytes | msgspec.Raw, structure: object) -> object:
    """The declared values only, as `Level.structure` says; of everything else no more than that there was something."""
    start = bytes(text).lstrip()[:1]
    if isinstance(structure, str):
        shape = {b"{": b"{}", b"[": b"[]"}.get(start) if structure != "JSON" else None
        return msgspec.Raw(shape or bytes(text))
    if bytes(text).strip() == b"null":
        return None
    if isinstance(structure, list):
        return [_declared(one, structure[0]) for one in _elements(text)] if start == b"[" else _WITHHELD
    if start != b"{" or not isinstance(structure, dict):
        return _WITHHELD
    return {name: _declared(value, structure[name]) if name in structure else _WITHHELD for name, value in _members(text).items()}


def without_dropped(stream: Stream, record: RawRecord) -> str:
    """The record's text; where fields are dropped, all others byte for byte as served.

    Of a stream whose unknown fields may be secrets only the key stays, as of a record that cannot be taken apart.
    """
    text = bytes(record)
    if not cuts(stream):
        return text.decode("utf-8", "replace")
    try:
        if not stream.keeps_unknown:
            return _withheld(text, _members(text).get(stream.key))
        return msgspec.json.encode(_dropped(text, _tree(stream), stream.hash_key)).decode("utf-8", "replace")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _withheld(text, None)


def _withheld(text: bytes, key: msgspec.Raw | None) -> str:
    told: dict[str, object] = {"id": key} if key is not None else {}
    return msgspec.json.encode(told | {"withheld": f"sha256:{hashlib.sha256(text).hexdigest()}"}).decode("utf-8", "replace")


class Act(StrEnum):
    """What becomes of a value; of a list of bare values, of each of them."""

    DROP = "drop"
    HASH = "hash"
    HASH_EACH = "hash_each"
    EMPTY = "empty"


Tree = Mapping[str, "Tree | Act"]
"""Field -> what becomes of it, or of what is below it."""


@lru_cache(maxsize=64)
def _tree(stream: Stream) -> Tree:
    tree: dict[str, Any] = {}
    for path, _ in stream.ignored:
        _put(tree, path.split("."), Act.DROP)
    _add_rules(tree, stream.columns, stream.children, [])
    return tree


def _add_rules(tree: dict[str, Any], columns: Sequence[Column], children: Sequence[Child], above: list[str]) -> None:
    for column in columns:
        if column.rule is ColumnRule.KEEP:
            continue
        hashes = column.rule is ColumnRule.HASH
        if column.source:
            _put(tree, [*above, *column.source.split(".")], Act.HASH if hashes else Act.DROP)
        else:  # the elements of a list themselves
            _put(tree, above, Act.HASH_EACH if hashes else Act.EMPTY)
    for child in children:
        _add_rules(tree, child.columns, child.children, [*above, *child.source.split(".")])


def _put(tree: dict[str, Any], parts: Sequence[str], act: Act) -> None:
    for part in parts[:-1]:
        tree = tree.setdefault(part, {})
    tree[parts[-1]] = act


def _members(text: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(text, type=dict[str, msgspec.Raw])


def _dropped(text: bytes | msgspec.Raw, tree: Tree, key: HashKey | None) -> object:
    """The object, or each object of the list, as the tree says; anything else is none of its declared shapes: nothing of it."""
    start = bytes(text).lstrip()[:1]
    if start == b"[":
        return [_dropped(element, tree, key) for element in _elements(text)]
    if start != b"{":
        return None
    kept: dict[str, object] = {}
    for name, value in _members(text).items():
        act = tree.get(name)
        if act is None:
            kept[name] = value
        elif isinstance(act, Mapping):
            kept[name] = _dropped(value, act, key)
        elif act is not Act.DROP:
            kept[name] = _acted(value, act, key)
    return kept


def _acted(value: msgspec.Raw, act: Act, key: HashKey | None) -> object:
    if act is Act.EMPTY:
        return []
    if act is Act.HASH_EACH and bytes(value).lstrip()[:1] == b"[":
        return [_hashed(element, key) for element in _elements(value)]
    return _hashed(value, key)


def _hashed(value: msgspec.Raw, key: HashKey | None) -> str | None:
    """The hash of a text, or of the JSON of what is no text where one is wanted."""
    text = bytes(value).strip()
    if text == b"null":
        return None
    if key is None:
        raise RuntimeError("a stream with hashed columns has no key")
    return key.of(msgspec.json.decode(text, type=str).encode() if text[:1] == b'"' else text)


def _elements(text: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    return msgspec.json.decode(text, type=list[msgspec.Raw])
