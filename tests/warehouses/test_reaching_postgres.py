"""What happens between the connector and a PostgreSQL server: rights, locks, timeouts, restarts, TLS, passwords."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from pleo_connector.errors import ConfigurationError, PleoError, WarehouseError, WarehouseLocked, WarehouseUnwritable
from pleo_connector.warehouses import MergeCounts, open_warehouse
from tests.certificates import self_signed
from tests.postgres_server import new_database, server
from tests.tls_door import TLSDoor
from tests.warehouses.conftest import ROOT, Start
from tests.warehouses.rows import BILLS, CURSORS, LINES, SEEN, bill, bills, lines, load, stored

ALL = [BILLS, LINES, SEEN, CURSORS]
PASSWORD = "hush: 100% s3cret/ü"
ENCODED = "hush%3A%20100%25%20s3cret%2F%C3%BC"


@pytest.fixture
def url() -> str:
    return new_database()


@contextmanager
def role(url: str, *grants: str) -> Iterator[str]:
    """The URL for a new role that has these grants and no others."""
    name = f"pleo_{uuid.uuid4().hex[:12]}"
    database = urlsplit(url).path[1:]
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE ROLE {name} LOGIN NOSUPERUSER PASSWORD 'pw-{name}'")
        connection.execute(f"REVOKE ALL ON DATABASE {database} FROM PUBLIC")
        for grant in grants:
            connection.execute(grant.format(role=name, database=database))
        host = urlsplit(url).netloc.rpartition("@")[2]
        try:
            yield f"postgresql://{name}:pw-{name}@{host}/{database}"
        finally:
            connection.execute(f"DROP OWNED BY {name} CASCADE")
            connection.execute(f"DROP ROLE {name}")


def refused(url: str, kind: type[PleoError] = WarehouseUnwritable, schema: str = "spend") -> str:
    """What the connector says when it cannot load there: one sentence, without any password."""
    with pytest.raises(kind) as caught, open_warehouse(url, schema, wait=1).transaction() as work:
        work.ensure(ALL)
    message = str(caught.value)
    assert "\n" not in message
    assert not re.search(r"hush|pw-pleo|s3cret", message), message
    return message


def test_a_role_needs_only_its_own_schema(url: str) -> None:
    grants = ("GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {role}", "CREATE SCHEMA spend AUTHORIZATION {role}")
    with role(url, *grants) as limited:
        warehouse = open_warehouse(limited, "spend")
        for _ in range(2):
            with warehouse.transaction() as work:
                work.ensure(ALL)
        assert load(warehouse, bill(1), children=lines((1, 2))) == MergeCounts(inserted=1)
        assert load(warehouse, bill(1, _row_hash="new")) == MergeCounts(updated=1)
        assert "permission denied for database" in refused(limited, schema="another")


def test_a_role_may_use_a_schema_of_somebody_else(url: str) -> None:
    grants = (
        "GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {role}",
        "CREATE SCHEMA spend",
        "GRANT USAGE, CREATE ON SCHEMA spend TO {role}",
    )
    with role(url, *grants) as limited:
        warehouse = open_warehouse(limited, "spend")
        with warehouse.transaction() as work:
            work.ensure(ALL)
        assert load(warehouse, bill(1)) == MergeCounts(inserted=1)


def test_a_role_that_may_create_schemas_makes_its_own(url: str) -> None:
    grant = "GRANT CONNECT, TEMPORARY, CREATE ON DATABASE {database} TO {role}"
    with role(url, grant) as limited, open_warehouse(limited, "spend").transaction() as work:
        work.ensure(ALL)
        assert work.count(BILLS) == 0


@pytest.mark.parametrize(
    ("grants", "message"),
    [
        ((), "does not let this role connect"),
        (("GRANT CONNECT ON DATABASE {database} TO {role}",), "permission denied for database"),
        (
            ("GRANT CONNECT, TEMPORARY ON DATABASE {database} TO {role}", "CREATE SCHEMA spend", "GRANT USAGE ON SCHEMA spend TO {role}"),
            "permission denied for schema spend; docs/warehouses.md lists what its role needs",
        ),
    ],
)
def test_a_missing_right_is_named(url: str, grants: tuple[str, ...], message: str) -> None:
    with role(url, *grants) as limited:
        assert message in refused(limited)


def test_a_role_without_temporary_tables_is_told_so(url: str) -> None:
    with role(url, "GRANT CONNECT ON DATABASE {database} TO {role}", "CREATE SCHEMA spend AUTHORIZATION {role}") as limited:
        warehouse = open_warehouse(limited, "spend")
        with warehouse.transaction() as work:
            work.ensure(ALL)
        with pytest.raises(WarehouseUnwritable, match="permission denied to create temporary tables"):
            load(warehouse, bill(1))


def test_what_cannot_be_reached_is_said_in_one_sentence(url: str) -> None:
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    assert "does not exist; create the database" in refused(parts._replace(path="/nowhere").geturl())
    assert "does not know this user" in refused(f"postgresql://nobody_here:{ENCODED}@{host}{parts.path}")
    assert "cannot be reached (Connection refused)" in refused(f"postgresql://u:{ENCODED}@127.0.0.1:1/db")
    assert "no host has that name" in refused(f"postgresql://u:{ENCODED}@no-such-host.invalid/db")
    assert "invalid URI query parameter" in refused(f"{url}?colour=red", ConfigurationError)
    assert "invalid sslmode value" in refused(f"{url}?sslmode=telepathy", ConfigurationError)
    assert "offers no TLS" in refused(f"{url}?sslmode=require&password={ENCODED}")


def test_a_writer_that_holds_the_schema_is_named(url: str, start: Start) -> None:
    with open_warehouse(url, "spend").transaction() as work:
        work.ensure(ALL)
    process = start("hang", url)
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    began = time.monotonic()
    with (
        pytest.raises(WarehouseLocked) as caught,
        open_warehouse(f"{url}?options=-c%20statement_timeout%3D200", "spend", wait=1).transaction(),
    ):
        pass
    assert 0.9 < time.monotonic() - began < 5
    assert f"pid {process.pid}) (server process " in str(caught.value)
    assert "still was after 1 s" in str(caught.value)
    with open_warehouse(url, "another", wait=0).transaction() as work:  # another schema is another turn
        assert work.scalar("SELECT 1") == 1
    out, _ = process.communicate("go\n", timeout=20)
    assert out == "done\n"
    with open_warehouse(url, "spend", wait=0).transaction() as work:
        assert work.count(BILLS) == 2


def test_statement_timeout_is_honoured_and_named(url: str) -> None:
    warehouse = open_warehouse(f"{url}?options=-c%20statement_timeout%3D300ms", "spend")
    with pytest.raises(WarehouseError, match="raise statement_timeout for this role"), warehouse.transaction() as work:
        work.scalar("SELECT pg_sleep(5)")
    with warehouse.transaction() as work:
        assert work.scalar("SELECT current_setting('statement_timeout')") == "300ms"


def test_lock_timeout_is_honoured_also_after_waiting_for_the_turn(url: str) -> None:
    warehouse = open_warehouse(f"{url}?options=-c%20lock_timeout%3D300ms", "spend", wait=20)
    with warehouse.transaction() as work:
        work.ensure(ALL)
    with psycopg.connect(url) as analyst:
        analyst.execute("LOCK TABLE spend.bills IN ACCESS SHARE MODE")
        load(warehouse, bill(1))  # readers hinder nobody
        analyst.execute("LOCK TABLE spend.bills IN SHARE MODE")
        holding, done = threading.Event(), threading.Event()

        def hold() -> None:
            with open_warehouse(url, "spend").transaction():
                holding.set()
                done.wait(0.6)

        holder = threading.Thread(target=hold)
        holder.start()
        holding.wait()
        with pytest.raises(WarehouseLocked, match="raise lock_timeout"):
            load(warehouse, bill(2))
        holder.join()
    assert len(stored(warehouse)) == 1


def test_a_reader_sees_the_old_rows_until_the_load_is_committed(url: str) -> None:
    warehouse = open_warehouse(url, "spend")
    with warehouse.transaction() as work:
        work.ensure(ALL)
    load(warehouse, bill(1))
    with psycopg.connect(url, autocommit=True) as analyst:
        notes = "SELECT note FROM spend.bills"
        with warehouse.transaction() as work:
            work.upsert(BILLS, bills(bill(1, note="new")))
            assert analyst.execute(notes).fetchall() == [(bill(1)["note"],)]
        assert analyst.execute(notes).fetchall() == [("new",)]


def test_nothing_is_left_open_between_loads(url: str) -> None:
    warehouse = open_warehouse(url, "spend")
    with warehouse.transaction() as work:
        work.ensure(ALL)
    load(warehouse, bill(1))
    ours = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pleo-connector%' AND datname = current_database()"
    with psycopg.connect(url, autocommit=True) as connection:
        until = time.monotonic() + 5
        while (row := connection.execute(ours).fetchone()) != (0,) and time.monotonic() < until:
            time.sleep(0.02)
        assert row == (0,)


@pytest.fixture(scope="module")
def guarded() -> Iterator[tuple[TLSDoor, Path]]:
    """A server that asks `tester` for a password, behind a door that speaks TLS; and the file of its certificate."""
    hba = "host all tester 127.0.0.1/32 scram-sha-256\nhost all outsider 127.0.0.1/32 reject\n"
    with server(hba=hba) as running:
        root = running.folder / "root.crt"
        root.write_bytes(self_signed("localhost"))
        with psycopg.connect(running.url(), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE tester LOGIN PASSWORD '{PASSWORD}'")
            connection.execute("CREATE ROLE outsider LOGIN")
            connection.execute("CREATE DATABASE spend OWNER tester")
        with TLSDoor(running.port, root) as door:
            yield door, root


def test_passwords_open_the_door_and_are_never_shown(guarded: tuple[TLSDoor, Path]) -> None:
    door, _ = guarded
    url = f"postgresql://tester:{ENCODED}@127.0.0.1:{door.port}/spend"
    warehouse = open_warehouse(url, "spend")
    with warehouse.transaction() as work:
        work.ensure(ALL)
    for shown in (warehouse.location, repr(warehouse), repr(vars(warehouse))):
        assert not re.search(r"hush|s3cret", shown)
    assert warehouse.location == f"postgresql://tester@127.0.0.1:{door.port}/spend"
    wrong = refused(url.replace("hush", "hushed"))
    assert f"postgresql://tester@127.0.0.1:{door.port}/spend refused the user or the password" in wrong
    assert "refused the user or the password" in refused(url.replace(f":{ENCODED}", ""))
    with open_warehouse(f"postgres://tester@127.0.0.1:{door.port}/spend?password={ENCODED}", "spend").transaction() as work:
        assert work.count(BILLS) == 0
    assert "allows no connection from this address" in refused(url.replace("tester", "outsider"))


@pytest.mark.parametrize(
    ("host", "options", "message"),
    [
        ("127.0.0.1", "sslmode=prefer", ""),
        ("127.0.0.1", "sslmode=require", ""),
        ("localhost", "sslmode=verify-full&sslrootcert={root}", ""),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert={root}", ""),
        ("127.0.0.1", "sslmode=verify-full&sslrootcert={root}", "failed the check of its TLS certificate"),
        ("localhost", "sslmode=verify-full&sslrootcert=/nowhere/root.crt", "failed the check of its TLS certificate"),
        ("127.0.0.1", "sslmode=disable", "plain"),
    ],
)
def test_tls_is_as_the_url_asks(guarded: tuple[TLSDoor, Path], host: str, options: str, message: str) -> None:
    door, root = guarded
    url = f"postgresql://tester:{ENCODED}@{host}:{door.port}/spend?{options.format(root=root)}"
    tls, plain = door.tls, door.plain
    if message not in ("", "plain"):
        assert message in refused(url)
        assert (door.tls, door.plain) == (tls, plain)
        return
    with open_warehouse(url, "spend").transaction() as work:
        assert work.scalar("SELECT current_user::text") == "tester"
    # the driver connects twice: once to learn the server's types
    assert (door.tls > tls, door.plain > plain) == ((False, True) if message else (True, False))


def test_a_server_that_restarts_between_loads_is_found_again() -> None:
    with server(options={"synchronous_commit": "on"}) as running:
        warehouse = open_warehouse(running.url(), "spend", wait=15)
        with warehouse.transaction() as work:
            work.ensure(ALL)
        running.stop()
        back = threading.Timer(1.0, running.start)
        back.start()
        assert load(warehouse, bill(1)) == MergeCounts(inserted=1)
        back.join()


def test_a_server_that_dies_during_a_load_keeps_nothing_and_says_so() -> None:
    with server(options={"synchronous_commit": "on"}) as running:
        warehouse = open_warehouse(running.url(), "spend", wait=1)
        with warehouse.transaction() as work:
            work.ensure(ALL)
        with pytest.raises(WarehouseUnwritable, match=r"(shut down|broke).*nothing of this load was kept"), warehouse.transaction() as work:  # noqa: PT012
            work.upsert(BILLS, bills(bill(1)))
            running.stop()
            work.count(BILLS)
        with pytest.raises(WarehouseUnwritable, match="cannot be reached"):
            load(warehouse, bill(1))
        running.start()
        assert stored(warehouse) == []


def test_without_the_extra_its_name_is_told() -> None:
    script = (
        "import sys\nsys.modules['adbc_driver_postgresql'] = None\n"
        "from pleo_connector.errors import ConfigurationError\nfrom pleo_connector.warehouses import open_warehouse\n"
        "open_warehouse('duckdb:///x.duckdb', 'pleo')\n"
        "try: open_warehouse('postgresql://u:hush@host/db', 'pleo')\nexcept ConfigurationError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=False)
    assert "pip install 'pleo-connector[postgres]'" in done.stdout, done.stderr
    assert "hush" not in done.stdout


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("postgresql://u:hush@host/db", "postgresql://u@host/db"),
        ("postgres://host:5433/db", "postgresql://host:5433/db"),
        ("postgresql://u%40corp:hush@[::1]:5433/db%20one?sslmode=require&password=hush", "postgresql://u@corp@[::1]:5433/db one"),
        ("postgresql://u@a:1,b:2/db?target_session_attrs=primary", "postgresql://u@a:1,b:2/db"),
        ("postgresql:///db?host=/run/postgresql&user=u", "postgresql:///run/postgresql/db"),
    ],
)
def test_a_location_is_the_url_without_secrets(url: str, location: str) -> None:
    warehouse = open_warehouse(url, "pleo")
    assert (warehouse.kind, warehouse.location) == ("postgres", location)
    assert "hush" not in repr(warehouse)
