"""History of chosen streams, through whole runs: what was known when."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path

import pytest

from pleo_connector.sandbox import RunningSandbox
from pleo_connector.stream_options import StreamOptions
from tests.place import Place, sandbox
from tests.postgres_server import new_database
from tests.sync.looking import ask

ROOT = Path(__file__).parents[2]
KEPT = {"accounting_entries": StreamOptions(history=True)}
PERIOD = "performed_at >= TIMESTAMPTZ '2026-10-01 00:00:00+00' AND performed_at < TIMESTAMPTZ '2026-11-01 00:00:00+00'"
KNOWN = (
    "SELECT count(*), sum(total_bill_value_minors) FROM pleo.accounting_entries_as_known "
    f"WHERE {PERIOD} AND observed_at <= TIMESTAMPTZ '{{0}}' "
    "AND (observed_until IS NULL OR observed_until > TIMESTAMPTZ '{0}') AND _deleted_at IS NULL"
)
PRESENT = f"SELECT count(*), sum(total_bill_value_minors) FROM pleo.accounting_entries WHERE {PERIOD} AND _deleted_at IS NULL"
CHILDREN = (
    "accounting_entry_splits",
    "accounting_entry_split_tags",
    "accounting_entry_tags",
    "accounting_entry_attendees",
    "accounting_entry_receipts",
)


@pytest.mark.parametrize("kind", ["duckdb", "postgres"])
def test_what_was_known_at_the_close_stays_known(kind: str, tmp_path: Path) -> None:
    url = f"duckdb:///{tmp_path / 'w.duckdb'}" if kind == "duckdb" else new_database()
    with sandbox() as pleo:
        place = Place(tmp_path, pleo, url)
        place.run("accounting_entries")  # before history is switched on
        place.run("accounting_entries", options=KEPT)
        counts = [ask(url, f"SELECT count(*) FROM pleo.{table}{end}")[0][0] for table in CHILDREN for end in ("", "_history")]
        assert counts[::2] == counts[1::2]
        assert 0 not in counts
        at_close = ask(url, PRESENT)
        (closing,) = ask(url, "SELECT now()")[0]
        october = _edit_one_and_remove_another(pleo)
        place.run("accounting_entries", options=KEPT, mode="full")
        place.run("accounting_entries", options=KEPT, mode="full")
        assert ask(url, PRESENT) != at_close
        assert ask(url, KNOWN.format(closing.isoformat())) == at_close
        assert ask(url, KNOWN.format("2100-01-01 00:00:00+00")) == ask(url, PRESENT)
        versions = ask(
            url,
            "SELECT h.id::text, h._deleted_source, h.valid_from = h.updated_at FROM pleo.accounting_entries_history AS h JOIN pleo.accounting_entries AS e "
            "ON e.id = h.id WHERE h.observed_at > (SELECT min(_synced_at) FROM pleo.accounting_entries) AND h._synced_at = e._synced_at "
            f"AND h.observed_at > TIMESTAMPTZ '{closing.isoformat()}' ORDER BY 2 NULLS FIRST",
        )
        assert versions == [(october[0], None, True), (october[1], "sweep_absent", False)]
        assert ask(
            url, "SELECT count(*) - count(DISTINCT (id, observed_at)), max(observed_at) < now() FROM pleo.accounting_entries_history"
        ) == [(0, True)]
        entries = ask(url, "SELECT count(*) FROM pleo.accounting_entries WHERE _deleted_source IS DISTINCT FROM 'api_flag'")[0][0]
        assert [_documented(url, number, closing) for number in range(3)] == [3, 2, entries]  # three currencies of spend in October


def _documented(url: str, number: int, closing: datetime) -> int:
    """How many rows a query of docs/history.md gives, with the test's moment as closing day."""
    queries = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "history.md").read_text(encoding="utf-8"), re.DOTALL)
    return len(ask(url, re.sub(r"2026-11-05( 18:00:00\+00)?|2026-11-20", closing.isoformat(), queries[number])))


def _edit_one_and_remove_another(pleo: RunningSandbox) -> list[str]:
    """An amount of October is put right in December, and another entry of October vanishes."""
    october = [r for r in pleo.state.records("accounting_entries") if r["performedAt"].startswith("2026-10") and not r.get("deletedAt")]
    edited, gone = october[0], october[1]
    amount = edited["totalBillValue"]
    pleo.state.put(
        "accounting_entries",
        edited | {"totalBillValue": amount | {"minors": amount["minors"] + 12_345}, "updatedAt": datetime.now(UTC).isoformat()},
    )
    pleo.state.remove("accounting_entries", gone["id"])
    return [edited["id"], gone["id"]]
