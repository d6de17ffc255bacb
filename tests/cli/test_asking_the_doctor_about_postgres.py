"""`pleo-connector doctor` and `sync` on PostgreSQL: what is wrong there is one sentence, and the password stays hidden."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from pleo_connector.cli.doctor_local import check_warehouse
from pleo_connector.cli.findings import Finding, Verdict
from pleo_connector.settings import load
from tests.cli.local import Local, local
from tests.postgres_server import new_database


@pytest.fixture
def pleo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Local]:
    with local(tmp_path, capsys) as made:
        made.connect()
        yield made


def warehouse_of(pleo: Local, code: int, url: str) -> dict[str, Any]:
    ended = pleo.run("doctor", "--json", PLEO_WAREHOUSE=url)
    assert ended.code == code, ended.out
    assert "hush" not in ended.out + ended.err
    return {check["check"]: check for check in json.loads(ended.out)["checks"]}


def found(url: str) -> list[Finding]:
    return list(check_warehouse(load({"PLEO_WAREHOUSE": url}, None)))


def test_all_is_well_before_and_after_a_sync(pleo: Local) -> None:
    url = new_database()
    before = warehouse_of(pleo, 0, url)["warehouse"]
    assert before["verdict"] == "ok"
    assert "schema pleo does not exist yet" in before["found"]
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT count(*) FROM pg_namespace WHERE nspname = 'pleo'").fetchone() == (0,)
    ended = pleo.run("sync", "companies", "--json", PLEO_WAREHOUSE=url)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out)["warehouse"] == url
    after = warehouse_of(pleo, 0, url)["warehouse"]
    assert "schema pleo exists" in after["found"]
    assert url in after["found"]


def test_the_password_is_masked_where_settings_are_listed(pleo: Local) -> None:
    listed = warehouse_of(pleo, 1, "postgresql://u:hush@127.0.0.1:1/db?sslpassword=hush&connect_timeout=1")
    assert listed["PLEO_WAREHOUSE"]["found"] == "postgresql://u:***@127.0.0.1:1/db?sslpassword=***&connect_timeout=1"
    assert "cannot be reached" in listed["warehouse"]["found"]


@pytest.mark.parametrize(
    ("url", "code", "message"),
    [
        ("postgresql://u:hush@127.0.0.1:1/db", 1, "cannot be reached (Connection refused"),
        ("postgresql://u:hush@no-such-host.invalid/db", 1, "no host has that name"),
        ("{server}/nowhere", 1, "does not exist; create the database"),
        ("{server}/postgres?colour=hush", 2, "invalid URI query parameter"),
        ("postgresql://u:hush@host", 2, "names no database"),
    ],
)
def test_a_sync_that_cannot_reach_it_ends_with_one_sentence(pleo: Local, url: str, code: int, message: str) -> None:
    server = new_database().rpartition("/")[0]
    ended = pleo.run("sync", "companies", PLEO_WAREHOUSE=url.format(server=server))
    assert ended.code == code
    assert message in ended.err
    assert "Traceback" not in ended.err
    assert "hush" not in ended.out + ended.err


def test_each_missing_right_is_a_line_with_its_grant() -> None:
    url = new_database()
    database = urlsplit(url).path[1:]
    role = f"{database}_r"
    limited = f"postgresql://{role}:x@{urlsplit(url).netloc.rpartition('@')[2]}/{database}"
    with psycopg.connect(url, autocommit=True) as connection:

        def run(sql: str) -> None:
            connection.execute(sql)

        run(f"CREATE ROLE {role} LOGIN PASSWORD 'x'")
        try:
            run(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
            assert "CONNECT is missing" in found(limited)[0].found
            run(f"GRANT CONNECT ON DATABASE {database} TO {role}")
            temporary, schema = found(limited)
            assert temporary.advice == f'GRANT TEMPORARY ON DATABASE {database} TO "{role}"'
            assert schema.advice == f'CREATE SCHEMA pleo AUTHORIZATION "{role}"'
            run(f"GRANT TEMPORARY ON DATABASE {database} TO {role}")
            run("CREATE SCHEMA pleo")
            assert [finding.advice for finding in found(limited)] == [f'GRANT USAGE, CREATE ON SCHEMA pleo TO "{role}"']
            run(f"GRANT USAGE, CREATE ON SCHEMA pleo TO {role}")
            run("CREATE TABLE pleo.companies (id uuid)")
            (foreign,) = found(limited)
            assert "belong to another role (companies)" in foreign.found
            run(f"ALTER TABLE pleo.companies OWNER TO {role}")
            assert [finding.verdict for finding in found(limited)] == [Verdict.OK]
        finally:
            run(f"DROP OWNED BY {role} CASCADE")
            run(f"DROP ROLE {role}")


def test_a_database_that_cannot_hold_every_letter_is_named() -> None:
    url = new_database("ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
    (finding,) = found(url)
    assert "has the encoding LATIN1" in finding.found
