"""Records without what their stream drops on purpose: cut as soon as a page is split, before anything else sees it.

So no later place can keep what is dropped: not the tables, not the raw landing. A quarantined record goes through here once more.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from pleo_connector.catalogue import Paging, Stream
from pleo_connector.frames.envelope import Page, RawRecord
from pleo_connector.frames.plan import compile_plan


def cuts(stream: Stream) -> bool:
    """Whether anything of the stream's records is not kept."""
    return bool(stream.ignored) or not stream.keeps_unknown


def cut_page(stream: Stream, page: Page, body: bytes) -> tuple[Page, bytes]:
    """The page and its body without what is dropped; both as they are where nothing is.

    Of a stream whose unknown fields may be secrets their names stay, for the drift report, and no values.
    """
    if not cuts(stream):
        return page, body
    records = tuple(_cut(stream, bytes(record)) for record in page.records)
    kept = Page(records, page.has_next, page.end_cursor, page.total)
    return kept, records[0] if stream.paging is Paging.ONE else _enveloped(kept)


def _enveloped(page: Page) -> bytes:
    pagination = {"hasNextPage": page.has_next, "endCursor": page.end_cursor, "total": page.total}
    return b'{"data":[' + b",".join(bytes(record) for record in page.records) + b'],"pagination":' + msgspec.json.encode(pagination) + b"}"


def _cut(stream: Stream, text: bytes) -> bytes:
    try:
        cut = msgspec.json.encode(_dropped(text, _tree(stream)))
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
        return [_declared(one, structure[0]) for one in msgspec.json.decode(text, type=list[msgspec.Raw])] if start == b"[" else _WITHHELD
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
        return msgspec.json.encode(_dropped(text, _tree(stream))).decode("utf-8", "replace")
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _withheld(text, None)


def _withheld(text: bytes, key: msgspec.Raw | None) -> str:
    told: dict[str, object] = {"id": key} if key is not None else {}
    return msgspec.json.encode(told | {"withheld": f"sha256:{hashlib.sha256(text).hexdigest()}"}).decode("utf-8", "replace")


Tree = Mapping[str, "Tree | None"]
"""Field -> None where it is dropped, or what is dropped below it."""


def _tree(stream: Stream) -> Tree:
    tree: dict[str, dict[str, object] | None] = {}
    for path, _ in stream.ignored:
        *above, last = path.split(".")
        node: dict[str, object] = tree  # type: ignore[assignment]  # one dict type at every depth
        for part in above:
            node = node.setdefault(part, {})  # type: ignore[assignment]
        node[last] = None
    return tree  # type: ignore[return-value]


def _members(text: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(text, type=dict[str, msgspec.Raw])


def _dropped(text: bytes | msgspec.Raw, tree: Tree) -> object:
    """The object, or each object of the list, without the tree's leaves; anything else is none of its declared shapes: nothing of it."""
    start = bytes(text).lstrip()[:1]
    if start == b"[":
        return [_dropped(element, tree) for element in msgspec.json.decode(text, type=list[msgspec.Raw])]
    if start != b"{":
        return None
    kept: dict[str, object] = {}
    for name, value in _members(text).items():
        if name not in tree:
            kept[name] = value
        elif (below := tree[name]) is not None:
            kept[name] = _dropped(value, below)
    return kept
