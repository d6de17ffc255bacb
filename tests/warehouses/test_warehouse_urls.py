from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pleo_connector.errors import ConfigurationError
from pleo_connector.warehouses import open_warehouse
from tests.warehouses.conftest import ROOT


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("duckdb:///pleo.duckdb", str(Path("pleo.duckdb").absolute())),
        ("duckdb:///data/pleo db.duckdb", str(Path("data/pleo db.duckdb").absolute())),
        ("duckdb:////var/data/pleo.duckdb", "/var/data/pleo.duckdb"),
        ("duckdb:///~/pleo.duckdb", str(Path("~/pleo.duckdb").expanduser())),
        ("md:pleo", "md:pleo"),
    ],
)
def test_a_url_names_a_place(url: str, location: str) -> None:
    warehouse = open_warehouse(url, "pleo")
    assert (warehouse.kind, warehouse.location) == ("duckdb", location)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("duckdb:/pleo.duckdb", "did you mean duckdb:////pleo.duckdb or duckdb:///pleo.duckdb?"),
        ("duckdb:pleo.duckdb", "did you mean duckdb:///pleo.duckdb?"),
        ("duckdb://pleo.duckdb", "did you mean duckdb:///pleo.duckdb?"),
        ("duckdb:/var/data/pleo.duckdb", "did you mean duckdb:////var/data/pleo.duckdb?"),
        ("duck:///pleo.duckdb", "did you mean duckdb:///pleo.duckdb?"),
        ("duck:////var/pleo.duckdb", "did you mean duckdb:////var/pleo.duckdb?"),
        ("sqlite:///pleo.db", "starts with sqlite:, which is no warehouse; did you mean duckdb:///pleo.db?"),
        ("file:/var/pleo.duckdb", "did you mean duckdb:////var/pleo.duckdb?"),
        ("DuckDB:///pleo.duckdb", "did you mean duckdb:///pleo.duckdb?"),
        ("pleo.duckdb", "must be a URL: did you mean duckdb:///pleo.duckdb?"),
        ("/var/pleo.duckdb", "must be a URL: did you mean duckdb:////var/pleo.duckdb?"),
        ("C:/pleo.duckdb", "must be a URL: did you mean duckdb:///C:/pleo.duckdb?"),
        ("", "must be a URL: did you mean duckdb:///spend.duckdb?"),
        ("duckdb:///", "names no file"),
        ("duckdb:///data/", "names no file"),
        ("duckdb:///:memory:", "cannot be a database in memory"),
        ("duckdb:///pleo.duckdb?threads=2", "takes no options"),
        ("md:pleo?motherduck_token=hush", "give the token in the variable motherduck_token"),
        ("iceberg:lake", "three slashes before a relative folder"),
        ("iceberg:///", "names no folder"),
        ("iceberg:///lake?token=hush", "takes no options"),
        ("postgresql+psycopg://u:hush@host/db", "names a driver too; write postgresql://user@host/database"),
        ("postgresql:u:hush@host/db", "two slashes after the colon"),
        ("postgresql://u:hush@host", "names no database"),
        ("postgresql://u:hush@host/?sslmode=require", "names no database"),
        ("postgresql://u:hu@sh@host/db", "more than one @"),
        ("postgresql://u:hush/x@host/db", "more than one @"),
        ("postgresql://u:hush?x@host/db", "no port"),
        ("postgresql://u:hush%@host/db", "a % that encodes nothing"),
        ("postgresql://host:hush/db", "no port; write @ as %40"),
        (
            "snowflake://u:hush@host/db",
            "starts with snowflake:, which is no known warehouse (duckdb, md, postgresql, postgres, iceberg)",
        ),
        ("dukdb://u:hush@host/db", "which is no known warehouse"),
    ],
)
def test_a_wrong_url_is_told_the_right_form(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        open_warehouse(url, "pleo")
    assert message in str(caught.value)
    assert "PLEO_WAREHOUSE" in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("schema", ["", "a\0b"])
def test_a_schema_needs_a_name(schema: str) -> None:
    with pytest.raises(ConfigurationError, match="PLEO_SCHEMA"):
        open_warehouse("duckdb:///pleo.duckdb", schema)


def test_another_package_brings_a_warehouse_by_entry_point(tmp_path: Path) -> None:
    (tmp_path / "lake.py").write_text(
        "class Lake:\n    kind = 'lake'\n    def __init__(self, url, schema, *, wait):\n        self.location = f'{url} {schema} {wait}'\n"
    )
    described = tmp_path / "lake-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: lake\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[pleo_connector.warehouses]\nlake = lake:Lake\nbroken = nowhere:Lake\n")
    script = (
        "from pleo_connector.warehouses import open_warehouse\n"
        "from pleo_connector.errors import ConfigurationError\n"
        "print(open_warehouse('lake://shore', 'pleo', wait=5).location)\n"
        "try: open_warehouse('broken://shore', 'pleo')\n"
        "except ConfigurationError as error: print(error)\n"
        "try: open_warehouse('sea://shore', 'pleo')\n"
        "except ConfigurationError as error: print(error)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    first, second, third = done.stdout.splitlines()
    assert first == "lake://shore pleo 5"
    assert "plug-in for broken: URLs (nowhere:Lake) cannot be imported" in second
    assert "(duckdb, md, postgresql, postgres, iceberg, lake, broken)" in third
