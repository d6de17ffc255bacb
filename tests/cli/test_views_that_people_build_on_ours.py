"""What a person's own view on one of ours means for renewing the views: said alike wherever they are renewed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import psycopg
import pytest

from pleo_connector.orchestration import build_pleo_definitions
from tests.cli.local import Local, local
from tests.orchestration.place import environment
from tests.postgres_server import drop_database, new_database

WAY_OUT = "view reports.mine depends on view spend. Drop what depends on it, run `pleo-connector marts`, and make it again."


@pytest.fixture
def pleo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Local]:
    """All views are there; `spend` is an earlier version's, with other columns, and a person's view stands on it."""
    url = new_database()
    with local(tmp_path, capsys) as found:
        found.environ |= {"PLEO_WAREHOUSE": url, "PLEO_SCHEMA": "pleo"}
        found.connect()
        assert found.run("sync", "companies").code == 0
        with psycopg.connect(url, autocommit=True) as server:
            server.execute("DROP VIEW pleo.spend CASCADE; DROP VIEW pleo.live_tags")
            server.execute("CREATE VIEW pleo.spend AS SELECT 1 AS earlier; COMMENT ON VIEW pleo.spend IS 'Spend. (definition 00000000)'")
            server.execute("CREATE SCHEMA reports; CREATE VIEW reports.mine AS SELECT earlier FROM pleo.spend")
        yield found
    drop_database(url)


def views(pleo: Local) -> set[str]:
    with psycopg.connect(pleo.environ["PLEO_WAREHOUSE"]) as server:
        return {name for (name,) in server.execute("SELECT table_name FROM information_schema.views WHERE table_schema = 'pleo'")}


def test_all_that_stands_on_a_view_or_on_those_that_read_it_is_named_at_once(pleo: Local) -> None:
    assert pleo.run("marts").code == 1
    with psycopg.connect(pleo.environ["PLEO_WAREHOUSE"], autocommit=True) as server:
        server.execute("DROP SCHEMA reports CASCADE")
        assert pleo.run("marts").code == 0
        server.execute(
            "ALTER VIEW pleo.spend RENAME COLUMN amount TO earlier; COMMENT ON VIEW pleo.spend IS 'Spend. (definition 00000000)'"
        )
        server.execute("CREATE VIEW public.by_month AS SELECT * FROM pleo.spend_by_month")
        server.execute("CREATE MATERIALIZED VIEW public.kept AS SELECT * FROM pleo.spend")
    said = " ".join(pleo.run("marts").errors)
    assert "view public.kept depends on view spend" in said and "view public.by_month depends on view spend_by_month" in said


def test_sync_replay_marts_and_dagster_name_it_and_renew_the_others(pleo: Local) -> None:
    for command in (("sync", "companies"), ("replay", "companies")):
        ended = pleo.run(*command)
        assert (ended.code, ended.errors) == (0, [])
        assert WAY_OUT in " ".join(ended.err.split()), command
        assert "live_tags" in views(pleo)
        assert "spend_by_month" not in views(pleo)

    ended = pleo.run("marts", "--json")
    assert ended.code == 1 and WAY_OUT in " ".join(ended.err.split())
    (left,) = json.loads(ended.out)["left"]
    assert WAY_OUT in left and left.startswith("The view spend in postgresql://") and "was not changed, with spend_by_" in left

    with environment(pleo.environ), dg.DagsterInstance.ephemeral() as instance:
        definitions = build_pleo_definitions(marts=True)
        _, made, *_ = definitions.assets or ()
        assert isinstance(made, dg.AssetsDefinition)
        key = next(key for key in made.keys if key.path[-1] == "spend")
        result = dg.materialize([made], instance=instance, resources=definitions.resources, selection=[key], raise_on_error=False)
        assert result.success
        assert WAY_OUT in pleo.capsys.readouterr().err

    with psycopg.connect(pleo.environ["PLEO_WAREHOUSE"], autocommit=True) as server:
        server.execute("DROP VIEW reports.mine")
    assert pleo.run("marts").code == 0
    assert "spend_by_month" in views(pleo)
