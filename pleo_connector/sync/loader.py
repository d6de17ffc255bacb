"""Pages in, committed rows out.

Pages of all streams queue here while the previous batch loads. Each batch is normalised first
and then written in one transaction with its checkpoints, so the warehouse is held for the
load alone, never while Pleo answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime

from pleo_connector.frames import settle
from pleo_connector.stream_options import StreamOptions
from pleo_connector.sync.raw import RawLanding
from pleo_connector.sync.report import StreamReport
from pleo_connector.sync.sweep import ServedPage
from pleo_connector.sync.writing import Load, Run, StreamWork, Writer, joined
from pleo_connector.warehouses import Batches, Gathers, Warehouse

USUAL = Batches(rows=20_000, linger=0.5, oldest=2.0)
"""Enough for bulk speed and little enough for flat memory; a run that is stopped loses no more than two seconds of pages."""

PIECE = USUAL.rows
"""Records that become rows at once, where more are gathered for one load."""

_TEXT = 1024**3
"""Bytes of pages that are gathered for one load at most: more of one column would be more than Arrow holds in one piece."""

_QUEUED_PAGES = 50


class Loader:
    """Takes pages and ends of streams through a queue, and loads them batch by batch."""

    def __init__(
        self,
        warehouse: Warehouse,
        work: Mapping[str, StreamWork],
        *,
        options: Mapping[str, StreamOptions],
        allow_mass_delete: bool,
        owner: str,
        raw: RawLanding,
        on_load: Callable[[StreamReport], None],
        on_finish: Callable[[StreamReport], None],
    ) -> None:
        self._warehouse = warehouse
        self._batches = warehouse.batches if isinstance(warehouse, Gathers) else USUAL
        self._work = work
        self._writer = Writer(work, options, raw)
        self._run = Run(owner, allow_mass_delete=allow_mass_delete)
        self._on_load = on_load
        self._on_finish = on_finish
        self._open = len(work)
        """Streams that may have more pages."""
        self._queue: asyncio.Queue[ServedPage | StreamWork | None] = asyncio.Queue(_QUEUED_PAGES)

    async def put(self, item: ServedPage | StreamWork | None) -> None:
        """A page; a stream whose walks have all ended; or None: nothing more comes."""
        await self._queue.put(item)

    async def run(self) -> None:
        """Load until None arrives. Errors of the warehouse end the run; drift fails its stream alone."""
        more = True
        while more:
            prepared, ended, more = await self._next_batch()
            if prepared or ended:
                streams = await asyncio.to_thread(self._load, prepared, ended)
                for stream in streams:
                    self._on_load(self._work[stream].report)
                for work in ended:
                    if not work.again:
                        self._open -= 1
                        self._on_finish(work.report)
                    work.decided.set()

    async def _next_batch(self) -> tuple[list[Load], list[StreamWork], bool]:
        """What is loaded next, prepared in pieces: the text of pages takes much more memory than their rows."""
        prepared: list[Load] = []
        pages: list[ServedPage] = []
        ended: list[StreamWork] = []
        rows = text = piece = 0
        more = True
        item = await self._queue.get()
        clock = asyncio.get_running_loop().time
        closing = clock() + self._batches.oldest
        while True:
            if item is None:
                more = False
                break
            if isinstance(item, StreamWork):
                ended.append(item)
            else:
                pages.append(item)
                rows, piece, text = rows + item.rows, piece + item.rows, text + len(item.body)
            if rows >= self._batches.rows or text >= _TEXT or len(ended) == self._open:  # or nothing comes until these are loaded
                break
            if piece >= PIECE:
                prepared.append(await asyncio.to_thread(self._piece, pages))
                pages, piece = [], 0
            try:
                # Not asyncio.wait_for: in Python 3.11 it can swallow a cancellation, and the run would never end.
                async with asyncio.timeout(min(self._batches.linger, closing - clock())):
                    item = await self._queue.get()
            except TimeoutError:
                break
        if pages:
            prepared.append(await asyncio.to_thread(self._writer.prepare, pages, datetime.now(UTC)))
        return prepared, ended, more

    def _piece(self, pages: Sequence[ServedPage]) -> Load:
        load = self._writer.prepare(pages, datetime.now(UTC))
        for batch in load.batches.values():
            settle(batch)
        return load

    def _load(self, prepared: Sequence[Load], ended: Sequence[StreamWork]) -> list[str]:
        """The streams whose pages were loaded, in the order they came."""
        load = joined(prepared, datetime.now(UTC))
        with self._warehouse.transaction() as transaction:
            self._writer.write(transaction, load, ended, self._run)
        self._writer.count(load, ended)
        return list(load.pages)


__all__ = ["Loader", "StreamWork"]
