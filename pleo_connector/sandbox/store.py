"""All records of one sandbox: the samples, what was changed since, and the generated entries behind them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

import msgspec

from pleo_connector.catalogue import Catalogue, Stream
from pleo_connector.errors import ConfigurationError
from pleo_connector.sandbox.contract import operation
from pleo_connector.sandbox.generated import STREAM, GeneratedEntries
from pleo_connector.sandbox.samples import Record, Stored

COMPANIES = "companies"


class Store:
    """Records by stream and id. Not thread-safe: callers hold the sandbox's lock."""

    def __init__(self, catalogue: Catalogue, samples: Mapping[str, Sequence[Stored]], generated: GeneratedEntries | None) -> None:
        self._catalogue = catalogue
        self._kept: dict[str, dict[str, Stored]] = {
            stream.name: {identity_of(stream, stored.record): stored for stored in samples.get(stream.name, ())} for stream in catalogue
        }
        self.generated = generated
        self.hidden: set[int] = set()
        """Numbers of generated entries that were removed, or replaced by a kept record."""
        if generated is not None:
            self._kept[STREAM] = {}
        self.version = 0
        """Grows with each change; lists made from an older version are stale."""

    def kept(self, stream: str) -> Iterable[Stored]:
        """The records that are held in memory."""
        return self._kept[self._known(stream)].values()

    def base(self, stream: str) -> GeneratedEntries | None:
        """The generated entries behind a stream, if it has any."""
        return self.generated if stream == STREAM else None

    def get(self, stream: str, identity: str) -> Record | None:
        """A copy of a record, or None."""
        stored = self._kept[self._known(stream)].get(identity)
        if stored is not None:
            return msgspec.json.decode(stored.body, type=Record)
        number = self._generated_number(stream, identity)
        return None if number is None or self.generated is None else self.generated.record(number)

    def put(self, stream: str, record: Record) -> None:
        """Add a record, or replace the one with the same id."""
        declared = self._catalogue.stream(stream)
        rules = operation(declared.operation)
        needed = [*rules.identity, *((rules.owned_by or ("companyId",))[:1] if declared.of_company else ())]
        for name in needed:
            if not isinstance(record.get(name), str):
                raise ConfigurationError(f"A record of {stream} needs a text field {name!r}.")
        identity = identity_of(declared, record)
        kept = self._kept[stream]
        number = self._generated_number(stream, identity)
        if number is not None:
            self.hidden.add(number)
        kept[identity] = Stored.of(record)
        self.version += 1

    def remove(self, stream: str, identity: str) -> bool:
        """Take a record away, without a trace; False when there is none."""
        gone = self._kept[self._known(stream)].pop(identity, None) is not None
        number = self._generated_number(stream, identity)
        if number is not None:
            self.hidden.add(number)
        if gone or number is not None:
            self.version += 1
        return gone or number is not None

    def records(self, stream: str, company_id: str | None = None) -> Iterator[Record]:
        """Copies of all records, or of one company's; generated ones first, in time order."""
        generated = self.base(stream)
        if generated is not None:
            for number in range(generated.rows):
                if number not in self.hidden and company_id in (None, generated.company_of(number)):
                    yield generated.record(number)
        for stored in list(self.kept(stream)):
            if company_id is None or self.owner(stream, stored.record) == company_id:
                yield msgspec.json.decode(stored.body, type=Record)

    def companies(self) -> dict[str, Record]:
        """The companies by id."""
        return {identity: stored.record for identity, stored in self._kept[COMPANIES].items()}

    def owner(self, stream: str, record: Record) -> str | None:
        """The company a record belongs to; None for what belongs to the credential, and for a record whose own parent is gone."""
        if stream == COMPANIES:
            return str(record["id"])
        link = operation(self._catalogue.stream(stream).operation).owned_by
        if link is None:
            return record.get("companyId")
        field, above = link
        parent = self._kept[above].get(record[field])
        return None if parent is None else self.owner(above, parent.record)

    def _generated_number(self, stream: str, identity: str) -> int | None:
        generated = self.base(stream)
        number = None if generated is None else generated.number_of(identity)
        return None if number in self.hidden else number

    def _known(self, stream: str) -> str:
        return self._catalogue.stream(stream).name


def identity_of(stream: Stream, record: Record) -> str:
    """The key under which a record is kept: its `id`, or the fields that tell it apart where Pleo serves none."""
    return ":".join(str(record[name]) for name in operation(stream.operation).identity)
