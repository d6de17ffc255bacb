"""The catalogue: every stream by name, in the order a sync reads them."""

from __future__ import annotations

import difflib
from collections.abc import Iterator

from pleo_connector.catalogue.account import INSTALLATION, SUBSCRIPTIONS
from pleo_connector.catalogue.bookkeeping import ACCOUNTS, TAG_GROUP_DIMENSIONS, TAG_GROUPS, TAGS, TAX_CODES
from pleo_connector.catalogue.entries import ACCOUNTING_ENTRIES
from pleo_connector.catalogue.exports import EXPORT_ITEMS, EXPORT_JOB_ITEMS, EXPORT_JOBS
from pleo_connector.catalogue.people import COMPANIES, EMPLOYEES
from pleo_connector.catalogue.receipts import RECEIPTS
from pleo_connector.catalogue.stream import Stream
from pleo_connector.catalogue.table import Table
from pleo_connector.catalogue.vendors import VENDORS
from pleo_connector.errors import ConfigurationError


class Catalogue:
    """An ordered set of streams with unique stream and table names; `in` takes a stream or its name."""

    def __init__(self, *streams: Stream) -> None:
        self._streams: dict[str, Stream] = {}
        for stream in streams:
            if stream.name in self._streams:
                raise ValueError(f"stream {stream.name} is declared twice")
            self._streams[stream.name] = stream
        self._tables: dict[str, Table] = {}
        for table in (table for stream in streams for table in stream.tables()):
            if table.name in self._tables:
                raise ValueError(f"table {table.name} is declared by two streams: {self._tables[table.name].stream} and {table.stream}")
            self._tables[table.name] = table

    def __contains__(self, item: object) -> bool:
        return item in self._streams or item in self._streams.values()

    def __iter__(self) -> Iterator[Stream]:
        return iter(self._streams.values())

    def __len__(self) -> int:
        return len(self._streams)

    def stream(self, name: str) -> Stream:
        """The stream of that name; an unknown name raises ConfigurationError with the nearest one."""
        if name in self._streams:
            return self._streams[name]
        near = difflib.get_close_matches(name, self._streams, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"known streams: {', '.join(self._streams)}."
        raise ConfigurationError(f"There is no stream {name!r}; {hint}")

    def tables(self) -> tuple[Table, ...]:
        """All tables, parents before their children."""
        return tuple(self._tables.values())

    def table(self, name: str) -> Table:
        """The table of that name (KeyError for a name no stream declares)."""
        return self._tables[name]


CATALOGUE = Catalogue(
    COMPANIES,
    EMPLOYEES,
    ACCOUNTS,
    TAG_GROUPS,
    TAG_GROUP_DIMENSIONS,
    TAGS,
    TAX_CODES,
    VENDORS,
    ACCOUNTING_ENTRIES,
    RECEIPTS,
    EXPORT_JOBS,
    EXPORT_JOB_ITEMS,
    EXPORT_ITEMS,
    INSTALLATION,
    SUBSCRIPTIONS,
)
"""Every stream this connector reads, in dependency order."""
