"""A record without what its stream drops on purpose: for every place that keeps records as they were served.

The typed path never reads dropped fields; a quarantined record is kept whole, and goes through here first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import msgspec

from pleo_connector.catalogue import Stream
from pleo_connector.frames.envelope import RawRecord


def without_dropped(stream: Stream, record: RawRecord) -> str:
    """The record's text; where fields are dropped, all others byte for byte as served.

    Of a stream whose unknown fields may be secrets only the key stays, as of a record that cannot be taken apart.
    """
    text = bytes(record)
    if not stream.ignored and stream.keeps_unknown:
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
