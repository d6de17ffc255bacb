"""How much is gathered for one load: little where a load is cheap, up to a minute of pages where it costs much by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from pleo_connector.sandbox import Fault
from tests.place import Place, sandbox


@pytest.mark.slow
@pytest.mark.parametrize(("url", "many"), [("duckdb:///{}/w.duckdb", True), ("iceberg:///{}/lake", False)])
def test_slow_pages_are_one_load_for_iceberg_and_several_for_duckdb(tmp_path: Path, url: str, *, many: bool) -> None:
    with sandbox() as pleo:
        place = Place(tmp_path, pleo, url.format(tmp_path))
        companies = tuple(company["id"] for company in pleo.state.records("companies")[:2])
        pleo.state.set_faults(Fault("delay_before", path="/v1/accounting-entries:search", seconds=1.6))
        report = place.run("accounting_entries", companies=companies, patience=10.0)
        assert report.failures == {}
        with place.warehouse.transaction() as work:
            loads = work.scalar("SELECT count(*) FROM {schema}._raw_loads")
            served = work.scalar("SELECT count(*) FROM {schema}.accounting_entries")
    assert served == report.streams["accounting_entries"].served > 0
    assert isinstance(loads, int)
    assert loads > 2 if many else loads == 1
