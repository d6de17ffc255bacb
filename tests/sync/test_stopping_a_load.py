"""A cancelled loader stops, even if a page arrives in the very same moment."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.sync.loader import Loader, StreamWork
from pleo_connector.sync.raw import RawLanding
from pleo_connector.sync.raw_policy import RawPolicy
from pleo_connector.sync.report import StreamReport
from pleo_connector.warehouses import open_warehouse


def test_a_cancellation_is_not_lost_to_an_item_that_arrives_with_it(tmp_path: Path) -> None:
    streams = [CATALOGUE.stream(name) for name in ("vendors", "tax_codes", "accounts")]
    work = {stream.name: StreamWork(stream, StreamReport(stream.name)) for stream in streams}

    async def go() -> None:
        loader = Loader(
            open_warehouse(f"duckdb:///{tmp_path / 'w.duckdb'}", "pleo"),
            work,
            options={},
            allow_mass_delete=False,
            owner="",
            raw=RawLanding(RawPolicy()),
            on_load=lambda _: None,
            on_finish=lambda _: None,
        )
        await loader.put(work["vendors"])
        running = asyncio.create_task(loader.run())
        await asyncio.sleep(0.05)  # it holds one item now, and lingers for more
        await loader.put(work["tax_codes"])
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(running), 10)

    asyncio.run(go())
    assert not (tmp_path / "w.duckdb").exists()
