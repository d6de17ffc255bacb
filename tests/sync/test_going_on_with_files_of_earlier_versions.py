"""Warehouses, raw pages and token stores that an earlier commit made are opened and gone on with; see `scripts/make-fixtures`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest

from pleo_connector.analytics import refresh
from pleo_connector.auth import PleoAuth, build_manager
from pleo_connector.auth.stores import open_store
from pleo_connector.catalogue import CATALOGUE, Table, history_of
from pleo_connector.errors import WarehouseUnwritable
from pleo_connector.sandbox import RunningSandbox
from pleo_connector.sandbox.oauth_rules import Grant
from pleo_connector.settings import load
from pleo_connector.stream_options import StreamOptions
from pleo_connector.sync import Connection, RawPolicy, SyncPlan, SyncReport, run
from pleo_connector.sync.replay import replay
from pleo_connector.sync.state_tables import SWEEPS
from pleo_connector.warehouses import Warehouse, open_warehouse
from tests.fixtures.opening import ALL, Made
from tests.place import sandbox
from tests.postgres_server import drop_database

Row = Mapping[str, Any]
Rows = dict[str, dict[tuple[object, ...], Row]]
KINDS = ("duckdb", "raw_folder", "iceberg", "postgres")
CI_ALONE = {("oldest", "iceberg"), ("newest", "raw_folder")}
"""Left to CI's slow stage: the same kind made with the other set of packages is in the default run."""
MADE = [
    pytest.param(made, kind, id=f"{made}-{kind}", marks=[pytest.mark.slow] * ((made.folder.name, kind) in CI_ALONE))
    for made in ALL
    for kind in KINDS
]
REPLAYED = ("vendors", "tags", "accounting_entries", "export_items")
"""One stream of each way of reading: whole, for each record of another, by month, for each export job."""


@pytest.fixture(params=ALL, ids=str)
def made(request: pytest.FixtureRequest) -> Made:
    found: Made = request.param
    return found


@pytest.fixture
def pleo(made: Made) -> Iterator[RunningSandbox]:
    """Today's sandbox, without what the last sync of these files found gone."""
    with sandbox(company=made.company) as pleo:
        for stream, identity in made.told["gone"].items():
            pleo.state.remove(stream, identity)
        yield pleo


@contextmanager
def opened(kind: str, made: Made, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Warehouse, RawPolicy]]:
    """The warehouse of that kind, and where its raw pages are."""
    if kind == "postgres":
        url = made.postgres()
        try:
            yield open_warehouse(url, "pleo"), RawPolicy()
        finally:
            drop_database(url)
    elif kind == "iceberg":
        yield open_warehouse(f"iceberg:///{made.lake(folder / 'lake', monkeypatch)}", "pleo"), RawPolicy()
    elif kind == "raw_folder":
        made.unpack(kind, folder)
        yield open_warehouse(f"duckdb:///{folder}/with_raw_folder.duckdb", "pleo"), RawPolicy(str(folder / "raw"))
    else:
        made.unpack(kind, folder)
        yield open_warehouse(f"duckdb:///{folder}/spend.duckdb", "pleo"), RawPolicy()


@contextmanager
def unless_too_new(kind: str, made: Made) -> Iterator[None]:
    """An older DuckDB cannot open a newer one's file: that gets a sentence, and there is nothing to go on with."""
    if kind not in ("duckdb", "raw_folder") or version(made.told["packages"]["duckdb"])[0] <= version(duckdb.__version__)[0]:
        yield
        return
    with pytest.raises(WarehouseUnwritable, match="was written by a newer DuckDB than"):
        yield


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdigit())


def rows_of(warehouse: Warehouse) -> Rows:
    """Every row of every table of Pleo's, by key."""
    found: Rows = {}
    with warehouse.transaction() as work:
        work.ensure(CATALOGUE.tables())
        for table in CATALOGUE.tables():
            found[table.name] = {key_of(table, row): row for row in work.read(table).to_pylist()}
    return found


def key_of(table: Table, row: Row) -> tuple[object, ...]:
    return tuple(row[name] for name in table.key)


def versions_of(warehouse: Warehouse, stream: str) -> list[str]:
    table = history_of(CATALOGUE.stream(stream).tables()[0])
    with warehouse.transaction() as work:
        return sorted(map(repr, work.read(table, (*table.key, "_row_hash")).to_pylist()))


def sweeps_of_old_months(warehouse: Warehouse, made: Made) -> list[str]:
    """The sweeps of accounting entries whose month ended more than a hundred days before the last sync."""
    with warehouse.transaction() as work:
        sweeps = work.read(SWEEPS, ("sweep_id", "span_start", "span_end"), stream="accounting_entries").to_pylist()
    ended = made.last_sync - timedelta(days=130)
    months = [row for row in sweeps if None not in row.values()]  # the windows without a limit are no months
    return sorted(row["sweep_id"] for row in months if row["span_start"].year > 2020 and row["span_end"] < ended)


def synced(pleo: RunningSandbox, warehouse: Warehouse, made: Made, raw: RawPolicy, auth: httpx.Auth | None = None) -> SyncReport:
    connection = Connection(pleo.url, auth or httpx.BasicAuth("sandbox-api-key", ""), requests_per_minute=1_000_000, patience=2.0)
    plan = SyncPlan(raw=raw, options={made.told["history"]: StreamOptions(history=True)})
    return run(plan, connection, warehouse, now=made.last_sync + timedelta(days=1))


@pytest.mark.parametrize(("made", "kind"), MADE)
def test_a_sync_goes_on_where_the_last_one_stopped(
    kind: str, made: Made, pleo: RunningSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(kind, made, tmp_path, monkeypatch) as (warehouse, raw), unless_too_new(kind, made):
        before, months, versions = rows_of(warehouse), sweeps_of_old_months(warehouse, made), versions_of(warehouse, made.told["history"])
        assert before["accounting_entries"] and before["vendors"] and months and versions

        report = synced(pleo, warehouse, made, raw)

        assert not report.failures
        after = rows_of(warehouse)
        for name, rows in before.items():
            assert rows.keys() <= after[name].keys(), f"rows of {name} are lost"
            for key, row in rows.items():
                now = after[name][key]
                if (row["_row_hash"], row["_deleted_at"]) == (now["_row_hash"], now["_deleted_at"]):
                    assert row["_synced_at"] == now["_synced_at"], f"{name} {key} has not changed, and was written"
        for stream in ("accounting_entries", "vendors", "employees", "tags"):
            served = pleo.state.records(stream, made.company)
            assert live(after[stream]) == {record["id"] for record in served if record.get("deletedAt") is None}
            gone = made.told["gone"].get(stream)
            assert gone is None or after[stream][(gone,)]["_deleted_at"] == before[stream][(gone,)]["_deleted_at"] is not None
        assert sweeps_of_old_months(warehouse, made) == months, "old months are read again"
        assert set(versions) <= set(versions_of(warehouse, made.told["history"]))
        refresh(warehouse)
        if warehouse.has_views:
            with warehouse.transaction() as work:
                assert work.scalar("SELECT count(*) FROM {schema}.spend")


def live(rows: Mapping[tuple[object, ...], Row]) -> set[object]:
    return {key[0] for key, row in rows.items() if row["_deleted_at"] is None}


@pytest.mark.parametrize(("made", "kind"), MADE)
def test_the_tables_are_made_again_from_raw_pages(kind: str, made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(kind, made, tmp_path, monkeypatch) as (warehouse, raw), unless_too_new(kind, made):
        before = rows_of(warehouse)

        report = replay(warehouse, None, REPLAYED, raw=raw)

        assert report.pages and not report.missing
        after = rows_of(warehouse)
        for name, rows in before.items():
            assert contents(rows) == contents({key: row for key, row in after[name].items() if key in rows}), f"{name} came out otherwise"


def contents(rows: Mapping[tuple[object, ...], Row]) -> dict[tuple[object, ...], dict[str, object]]:
    """What Pleo said in the columns that had a value, and what the connector noted of its end."""
    kept = ("_deleted_at", "_deleted_source")
    return {key: {name: value for name, value in row.items() if name in kept or not name.startswith("_")} for key, row in rows.items()}


class ToTodaysSandbox(httpx.HTTPTransport):
    """Requests for the server that issued the tokens go to today's sandbox: tokens belong to an address, port and all."""

    def __init__(self, pleo: RunningSandbox) -> None:
        super().__init__()
        self._pleo = httpx.URL(pleo.url)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        request.url = request.url.copy_with(host=self._pleo.host, port=self._pleo.port)
        return super().handle_request(request)


def test_the_stored_login_is_refreshed_and_used(made: Made, pleo: RunningSandbox, tmp_path: Path) -> None:
    folder = made.unpack("token_store", tmp_path) / "tokens"
    environ = {
        "PLEO_API_URL": pleo.url,
        "PLEO_AUTH_URL": made.told["issuer"],
        "PLEO_TOKEN_STORE": str(folder / "tokens.sqlite"),
        "PLEO_HOST_MARKS": str(tmp_path / "marks"),  # another host than the one that made it
    }
    settings = load(environ, None)
    manager = build_manager(settings, transport=ToTodaysSandbox(pleo))
    stored, store = manager.tokens(), open_store(settings.token_store, settings.host_marks).store
    grant = Grant(settings.client_id, tuple(stored.scope.split()), pleo.state.default_subject())
    let_in(pleo, grant, stored.access.reveal(), stored.refresh.reveal())
    before = store.read(settings.connection)
    assert before is not None and settings.connection == made.told["connection"]

    warehouse = open_warehouse(f"duckdb:///{tmp_path}/new.duckdb", "pleo")
    report = run(SyncPlan(("companies",)), Connection(pleo.url, PleoAuth(manager, [pleo.url])), warehouse)

    after = store.read(settings.connection)
    assert not report.failures and report.streams["companies"].served == 1
    assert after is not None and (after.generation, after.lineage) == (before.generation + 1, before.lineage)
    assert manager.tokens().refresh.reveal() == grant.refresh_token != stored.refresh.reveal()
    assert (pleo.counters()["refreshes"], pleo.counters()["reuse"], pleo.counters()["logins"]) == (1, 0, 0)


def let_in(pleo: RunningSandbox, grant: Grant, access: str, refresh_token: str) -> None:
    """Today's sandbox knows the grant as the one that issued it did; the access token is over."""
    rules = pleo.state.oauth
    grant.access_token, grant.refresh_token, grant.refresh_expires = access, refresh_token, pleo.state.clock() + 3600
    rules._grants.append(grant)
    rules._issued[access] = rules._issued[refresh_token] = grant
