"""The size of the stored raw pages, stream by stream."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from pleo_connector.sync.raw_tables import RAW_PAGES, RAW_REQUESTS
from pleo_connector.warehouses import Transaction


@dataclass(slots=True)
class StreamSize:
    """The raw pages of one stream; a page that answered several requests counts once."""

    stream: str
    since: datetime
    requests: int = 0
    pages: int = 0
    served: int = 0
    """Bytes of the pages."""
    stored: int = 0
    """Bytes that they take."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return asdict(self) | {"since": self.since.isoformat()}


def sizes(transaction: Transaction) -> list[StreamSize]:
    """The streams with raw pages."""
    bytes_of = {row["content"]: row for row in transaction.read(RAW_PAGES, ("content", "size", "stored")).to_pylist()}
    by_stream: dict[str, StreamSize] = {}
    counted: set[tuple[str, str]] = set()
    for row in transaction.read(RAW_REQUESTS, ("stream", "content", "fetched_at")).to_pylist():
        one = by_stream.setdefault(row["stream"], StreamSize(row["stream"], row["fetched_at"]))
        one.requests += 1
        one.since = min(one.since, row["fetched_at"])
        if (row["stream"], row["content"]) not in counted:
            counted.add((row["stream"], row["content"]))
            page = bytes_of.get(row["content"])
            one.pages += 1
            one.served += page["size"] if page else 0
            one.stored += page["stored"] if page else 0
    return sorted(by_stream.values(), key=lambda one: -one.stored)
