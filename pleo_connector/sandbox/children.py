"""Requests for the records of one other record: which of a stream's records they see."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace

from pleo_connector.catalogue import Parent
from pleo_connector.sandbox.contract import Operation
from pleo_connector.sandbox.exports import ITEMS, Exports
from pleo_connector.sandbox.query import Query, Refused
from pleo_connector.sandbox.store import Store


def parent_asked(parent: Parent, path: Mapping[str, str], query: Query) -> str | None:
    """The key of the record that a request names, in its path or its query."""
    named = path.get(parent.parameter) or next(iter(query.parameters.get(parent.parameter, ())), None)
    return None if named is None else named.lower()


def of_parent(query: Query, rules: Operation, parent_id: str | None, companies: frozenset[str], store: Store, exports: Exports) -> Query:
    """The query narrowed to the records of its parent; Refused where there is none, or it has ended."""
    if query.stream.name == ITEMS:
        entries = exports.readable(parent_id, companies)
        return _narrowed(query, "accountingEntryId", entries, parent_id)
    parent = query.stream.parent
    above = None if parent is None or parent_id is None else store.get(parent.stream, parent_id)
    if parent is None or above is None or store.owner(parent.stream, above) not in companies:
        raise Refused(404, "EXPORT_NOT_FOUND" if rules.child_of == "exportJobId" else "NOT_FOUND", "There is no such record.")
    return _narrowed(query, rules.child_of or "", frozenset((str(above["id"]),)), parent_id)


def _narrowed(query: Query, field: str, wanted: frozenset[str], parent_id: str | None) -> Query:
    digest = hashlib.blake2b(query.digest + (parent_id or "").encode(), digest_size=16).digest()
    return replace(query, keeps=(*query.keeps, lambda record: record.get(field) in wanted), digest=digest)
