"""What a grant lets the connector read, told stream by stream."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from pleo_connector.catalogue import CATALOGUE, Stream


@dataclass(frozen=True, slots=True)
class StreamAccess:
    """Whether one stream can be read."""

    stream: str
    title: str
    description: str
    scope: str
    """The scope that it needs, in the spelling that was granted or asked for; empty where it needs none."""
    asked: bool
    granted: bool
    personal: tuple[str, ...]
    """Its columns that say something about a person."""

    @property
    def why_not(self) -> str:
        """Why it cannot be read, as part of a sentence; empty when it can."""
        if self.granted:
            return ""
        return f"{self.scope} {'was asked for and not granted' if self.asked else 'was not asked for'}"


def stream_access(granted: Iterable[str], asked: Iterable[str], streams: Iterable[Stream] = CATALOGUE) -> tuple[StreamAccess, ...]:
    """Each stream's need against the scopes that were asked for, and those that were granted."""
    have, wanted = set(granted), set(asked)
    return tuple(_access(stream, have, wanted) for stream in streams)


def _access(stream: Stream, granted: set[str], asked: set[str]) -> StreamAccess:
    spellings = (stream.scope, *stream.scope_alternatives) if stream.scope else ()
    met = next((scope for scope in spellings if scope in granted), None)
    wanted = next((scope for scope in spellings if scope in asked), None)
    return StreamAccess(
        stream=stream.name,
        title=stream.title,
        description=stream.description,
        scope=met or wanted or stream.scope,
        asked=wanted is not None or not spellings,
        granted=met is not None or not spellings,
        personal=tuple(column.name for column in stream.columns if column.personal),
    )
