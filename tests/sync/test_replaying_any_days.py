"""Whatever happened at Pleo from day to day: an empty warehouse gets the same tables from the raw pages, with all sockets refused."""

from __future__ import annotations

import socket
import uuid
from datetime import timedelta
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pleo_connector.sync import Mode, RawPolicy
from pleo_connector.sync.replay import replay
from pleo_connector.warehouses import open_warehouse
from tests.place import NOW, Place, sandbox
from tests.sync.looking import assert_same

CHANGED: dict[str, dict[str, Any]] = {
    "employees": {"lastName": "Changed"},
    "vendors": {"name": "Changed", "surprise": {"a": 1}},
    "accounting_entries": {"note": "changed", "deletedAt": "2026-11-23T10:00:00Z"},
}
BROKEN: dict[str, dict[str, Any]] = {
    "employees": {"lastName": ["no", "text"]},
    "vendors": {"createdAt": "never"},
    "accounting_entries": {"note": ["no", "text"]},
}

happenings = st.tuples(st.sampled_from(sorted(CHANGED)), st.integers(0, 3), st.sampled_from(["change", "remove", "restore", "break"]))
days = st.lists(st.tuples(st.sampled_from(Mode), st.lists(happenings, min_size=1, max_size=4)), min_size=2, max_size=4)
"""Of each day: how the sync reads, and before that, what happens to which record."""


def any_days_are_replayed(folder: Path, examples: int) -> None:
    with sandbox() as pleo:

        @settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow])
        @given(days)
        def check(planned: list[tuple[Mode, list[tuple[str, int, str]]]]) -> None:
            pleo.state.start_over()
            first = {stream: pleo.state.records(stream)[-4:] for stream in CHANGED}
            file, again = (folder / f"{uuid.uuid4().hex}.duckdb" for _ in range(2))
            place = Place(folder, pleo, f"duckdb:///{file}")
            for day, (mode, happened) in enumerate(planned):
                for stream, number, what in happened:
                    record = first[stream][number]
                    if what == "remove":
                        pleo.state.remove(stream, record["id"])
                    else:
                        pleo.state.put(stream, record | {"change": CHANGED, "break": BROKEN}.get(what, {}).get(stream, {}))
                assert place.run(*CHANGED, now=NOW + timedelta(days=day), mode=mode).failures == {}
            with pytest.MonkeyPatch.context() as cut:
                cut.setattr(socket.socket, "connect", refuse)
                replay(place.warehouse, open_warehouse(f"duckdb:///{again}", "pleo"), list(CHANGED), raw=RawPolicy())
            assert_same(file, again)

        check()


def refuse(*_: object) -> NoReturn:
    raise AssertionError("the network was used")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_days_are_replayed(tmp_path: Path) -> None:
    any_days_are_replayed(tmp_path, examples=8)
