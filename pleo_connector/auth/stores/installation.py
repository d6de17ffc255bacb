"""Whether a token store is still the one that this host knows: not an older copy of it, and not a second one beside it.

A refresh token that was used up ends the grant when it is sent again, so this is judged before anything is sent. Each login
gets a name of its own (`Record.lineage`), and its generation only grows: a lower one than this host has seen was restored
from somewhere, and its refresh token is used up for certain.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

from pleo_connector.auth.advice import how_to_connect
from pleo_connector.auth.stores.host_marks import HostMarks, Mark
from pleo_connector.auth.stores.protocol import Record
from pleo_connector.errors import PleoError, StaleTokenStore

_log = logging.getLogger(__name__)


class Standing(StrEnum):
    """What a stored connection is to this host."""

    KNOWN = "known"
    NEW = "new"
    """Never seen here, which is no fault: a first start, a new container, another host of a shared store."""
    ELSEWHERE = "elsewhere"
    """Last used on another host, or under another name: usually moved, perhaps a copy."""
    RESTORED = "restored"
    COPIED = "copied"

    @property
    def stale(self) -> bool:
        """True when its refresh token must not be sent."""
        return self in (Standing.RESTORED, Standing.COPIED)


@dataclass(frozen=True, slots=True)
class Judgement:
    """A standing, and the sentence that says it; empty when there is nothing to say."""

    standing: Standing
    sentence: str = ""


class Installation:
    """One token store as this host knows it. Methods take the record as read from the store."""

    def __init__(self, marks: HostMarks, place: str, elsewhere: Callable[[str, str], Record | None] | None) -> None:
        """`elsewhere` reads a connection of the store at another place of this host; None where several hosts share one store."""
        self.marks = marks
        self._place = place
        self._elsewhere = elsewhere

    def check(self, record: Record, again: Callable[[], Record | None]) -> None:
        """StaleTokenStore when this record's refresh token must not be sent; else the mark is raised to it. `again` reads it once more."""
        judged = self.judge(record, again)
        if judged.standing.stale:
            raise StaleTokenStore(judged.sentence)
        if judged.sentence:
            _log.warning("%s", judged.sentence)
        self.saw(record)

    def judge(self, record: Record, again: Callable[[], Record | None]) -> Judgement:
        """The standing of a record; changes nothing."""
        mark = self.marks.read(self._name(record))
        if mark is None:
            return self._unseen(record)
        if mark.place != self._place and self._is_copy(record, mark.place):
            return Judgement(
                Standing.COPIED,
                f"The token store {self._place} is a copy of {mark.place}, and both hold the same login of {record.connection}: whichever refreshes "
                f"second ends the grant at Pleo. Nothing was sent; {how_to_connect(record.connection)} to give this store a login of its own, "
                f"or move {mark.place} away if this one takes its place.",
            )
        if record.generation < mark.generation:
            # The mark may be of a refresh that was stored after this record had been read.
            fresh = again()
            if fresh is None or fresh.generation != record.generation or fresh.lineage != record.lineage:
                return Judgement(Standing.KNOWN) if fresh is None else self.judge(fresh, again)
            return Judgement(
                Standing.RESTORED,
                f"The token store {self._place} holds generation {record.generation} of {record.connection}, and this host has seen generation "
                f"{mark.generation}: an older copy was put back, and its refresh token is used up; sending it would end the grant at Pleo. "
                f"Nothing was sent; {how_to_connect(record.connection)}.",
            )
        if mark.place != self._place and self._elsewhere is None:
            return Judgement(
                Standing.ELSEWHERE,
                f"The login of {record.connection} in the token store {self._place} was last used by this host at {mark.place}. If that is another "
                f"copy of it and goes on being used, the grant will end: {how_to_connect(record.connection)} with this store to give it a login of "
                "its own. If it is the same under another name, or was moved, all is well.",
            )
        return Judgement(Standing.KNOWN)

    def misses(self, connection: str) -> bool:
        """Whether this host has used a login of this connection at this place; asked when there is none, as when the file system is not mounted."""
        return self.marks.read(f"{connection}\0{self._place}") is not None

    def saw(self, record: Record) -> None:
        """Raise the marks to this record; called after it was stored, so that a crash in between leaves them too low, which is safe."""
        for name in dict.fromkeys((self._name(record), self._name(replace(record, lineage=None)))):
            mark = self.marks.read(name)
            if mark is None or mark.generation < record.generation or mark.place != self._place:
                self.marks.write(name, Mark(max(record.generation, mark.generation if mark else 0), self._place))

    def logged_in(self, before: Record | None, after: Record) -> None:
        """Note a new login, whatever was seen of the store before it; what it replaced counts as used up from here on."""
        if before is not None and before.lineage is not None and before.lineage != after.lineage:
            mark = self.marks.read(self._name(before))
            if mark is not None and mark.place == self._place:
                self.marks.write(self._name(before), Mark(max(mark.generation, before.generation) + 1, self._place))
        for record in (after, replace(after, lineage=None)):
            self.marks.write(self._name(record), Mark(after.generation, self._place))

    def told(self, standing: Standing, record: Record) -> str:
        """What this host knows of a record whose standing is in order, for people."""
        fault = self.marks.fault()
        if fault is not None:
            return f"{fault}, so a restored or copied store is not noticed; set PLEO_HOST_MARKS to a folder of this host"
        if standing is Standing.NEW:
            return f"not used on this host so far, marks in {self.marks.folder}"
        return f"the newest that this host has seen (generation {record.generation}), marks in {self.marks.folder}"

    def _unseen(self, record: Record) -> Judgement:
        if record.host is None or record.host == self.marks.host(make=False) or self.marks.fault() is not None:
            return Judgement(Standing.NEW)
        return Judgement(
            Standing.ELSEWHERE,
            f"The token store {self._place} was last used on another host. If that host goes on using its own, the grant will end: "
            f"{how_to_connect(record.connection)} here to get a login of its own. If it was moved, or this is a new container, all is well.",
        )

    def _is_copy(self, record: Record, place: str) -> bool:
        """Whether the store at another place of this host holds the same login."""
        if self._elsewhere is None or record.lineage is None:
            return False
        try:
            if Path(place).samefile(self._place):
                return False
            other = self._elsewhere(place, record.connection)
        except (OSError, PleoError):
            return False
        return other is not None and other.blob is not None and other.lineage == record.lineage

    def _name(self, record: Record) -> str:
        # Rows from before logins had names are known by their place.
        return f"{record.connection}\0{record.lineage or self._place}"
