"""Drops and hashes fields of records as the rules of their stream say, as soon as a page is split and before any other code gets it.

So neither the tables nor the raw landing can hold a dropped or unhashed value. A quarantined record passes through here once more.
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
from pleo_connector.frames.levels import compile_levels
from pleo_connector.frames.undeclared import WITHHELD, Screen, elements, hashed, members, screen_of


def cuts(stream: Stream) -> bool:
    """Whether the stream's records are stored otherwise than they are served."""
    return bool(_tree(stream)) or not stream.keeps_unknown


def withholds(stream: Stream, body: bytes) -> bool:
    """Whether a body that cannot be parsed may hold values that must not be stored."""
    return cuts(stream) or screen_of(stream).finds(body)


def cut_page(stream: Stream, page: Page, body: bytes) -> tuple[Page, bytes]:
    """The page and its body without the values that must not be stored; both unchanged where there are none.

    Of a stream whose unknown fields may be secrets, only the names of unknown fields stay, for the drift report.
    """
    screen, drops = screen_of(stream), cuts(stream)
    suspicious = screen.may_find(body)
    if not suspicious and not drops:
        return page, body
    served = tuple(bytes(record) for record in page.records)
    tree = _tree(stream) if drops else None
    records = tuple(_cut(stream, record, tree, screen if suspicious else None) for record in served)
    if records == served and not drops and not _odd_envelope(stream, page, body):
        return page, body
    cut = replace(page, records=records)
    return cut, records[0] if stream.paging is Paging.ONE else _enveloped(cut)


def _enveloped(page: Page) -> bytes:
    pagination = {"hasNextPage": page.has_next, "endCursor": page.end_cursor, "total": page.total}
    return b'{"data":[' + b",".join(bytes(record) for record in page.records) + b'],"pagination":' + msgspec.json.encode(pagination) + b"}"


def _odd_envelope(stream: Stream, page: Page, body: bytes) -> bool:
    """Whether the envelope may hold a secret; only the pagination is declared there."""
    if stream.paging is Paging.ONE or page.is_bare:
        return False
    try:
        return any(screen_of(stream).may_find(bytes(value)) for name, value in members(body).items() if name != "data")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return True


def _cut(stream: Stream, text: bytes, tree: Tree | None, screen: Screen | None) -> bytes:
    try:
        if tree is not None:
            text = msgspec.json.encode(_dropped(text, tree, stream.hash_key))
        if not stream.keeps_unknown:
            text = msgspec.json.encode(_declared(text, compile_levels(stream).top.structure))
        return text if screen is None else screen.record(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _withheld(text, None).encode()


def _declared(text: bytes | msgspec.Raw, structure: object) -> object:
    """The declared values only, as `Level.structure` says; every other value becomes WITHHELD."""
    start = bytes(text).lstrip()[:1]
    if isinstance(structure, str):
        shape = {b"{": b"{}", b"[": b"[]"}.get(start) if structure != "JSON" else None
        return msgspec.Raw(shape or bytes(text))
    if bytes(text).strip() == b"null":
        return None
    if isinstance(structure, list):
        return [_declared(one, structure[0]) for one in elements(text)] if start == b"[" else WITHHELD
    if start != b"{" or not isinstance(structure, dict):
        return WITHHELD
    return {name: _declared(value, structure[name]) if name in structure else WITHHELD for name, value in members(text).items()}


def without_dropped(stream: Stream, record: RawRecord) -> str:
    """The record's text; where fields are dropped, all others byte for byte as served.

    Of a stream whose unknown fields may be secrets only the key stays; of a record that cannot be parsed not even that.
    """
    text = bytes(record)
    if not cuts(stream) and not screen_of(stream).may_find(text):
        return text.decode("utf-8", "replace")
    try:
        if not stream.keeps_unknown:
            return _withheld(text, members(text).get(stream.key))
        if cuts(stream):
            text = msgspec.json.encode(_dropped(text, _tree(stream), stream.hash_key))
        return screen_of(stream).record(text).decode("utf-8", "replace")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _withheld(text, None)


def _withheld(text: bytes, key: msgspec.Raw | None) -> str:
    remainder: dict[str, object] = {"id": key} if key is not None else {}
    return msgspec.json.encode(remainder | {"withheld": f"sha256:{hashlib.sha256(text).hexdigest()}"}).decode("utf-8", "replace")


class Act(StrEnum):
    """What to do with a value, or with each value of a list of bare values."""

    DROP = "drop"
    HASH = "hash"
    HASH_EACH = "hash_each"
    EMPTY = "empty"


Tree = Mapping[str, "Tree | Act"]
"""Field -> what to do with it, or the tree of the fields below it."""


@lru_cache(maxsize=64)
def _tree(stream: Stream) -> Tree:
    tree: dict[str, Any] = {}
    for path, _ in stream.ignored:
        _put(tree, path.split("."), Act.DROP)
    _add_rules(tree, stream.columns, stream.children, [])
    for path, rule in sorted(stream.path_rules, key=lambda one: one[0].count(".")):
        if rule is not ColumnRule.KEEP:
            _put(tree, path.split("."), Act.HASH if rule is ColumnRule.HASH else Act.DROP)
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
        if isinstance(tree, Act):  # what is above it goes as a whole
            return
    tree[parts[-1]] = act


def _dropped(text: bytes | msgspec.Raw, tree: Tree, key: HashKey | None) -> object:
    """The object, or each object of the list, as the tree says; None for any other shape, because it is not declared."""
    start = bytes(text).lstrip()[:1]
    if start == b"[":
        return [_dropped(element, tree, key) for element in elements(text)]
    if start != b"{":
        return None
    result: dict[str, object] = {}
    for name, value in members(text).items():
        act = tree.get(name)
        if act is None:
            result[name] = value
        elif isinstance(act, Mapping):
            result[name] = _dropped(value, act, key)
        elif act is not Act.DROP:
            result[name] = _acted(value, act, key)
    return result


def _acted(value: msgspec.Raw, act: Act, key: HashKey | None) -> object:
    if act is Act.EMPTY:
        return []
    if act is Act.HASH_EACH and bytes(value).lstrip()[:1] == b"[":
        return [hashed(element, key) for element in elements(value)]
    return hashed(value, key)
