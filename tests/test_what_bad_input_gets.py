"""Whatever is wrong: one clear sentence, the right exit code, no traceback, no secret, and a warehouse as it was."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from pleo_connector.cli.demo_place import free_port
from pleo_connector.sandbox import Fault
from pleo_connector.settings import DEFAULT_SCOPES
from tests.cli.local import CLIENT_SECRET, Ended, Local, contents, environment, local

STREAMS = ("companies", "tax_codes", "vendors")
"""Enough to see what happens, and quick."""


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test leaves its loaded warehouse for the others: every sandbox serves the same."""
    return tmp_path_factory.mktemp("loaded") / "spend.duckdb"


@pytest.fixture
def pleo(tmp_path: Path, template: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Local]:
    """Logged in, and these streams loaded once."""
    with local(tmp_path, capsys) as made:
        made.connect()
        if not template.exists():
            assert made.run("sync", *STREAMS).code == 0
            shutil.copy(made.warehouse, template)
        shutil.copy(template, made.warehouse)
        yield made


def clear(pleo: Local, ended: Ended, code: int, *words: str) -> None:
    """What every failure has in common; `words` must be in the sentence."""
    assert ended.code == code, ended.err
    assert len(ended.errors) == 1, ended.err
    for word in words:
        assert word in ended.errors[0]
    said = ended.out + ended.err
    assert "Traceback" not in said
    assert "bug in pleo-connector" not in said
    assert pleo.secrets
    for secret in pleo.secrets:
        assert secret not in said


def test_a_wrong_client_secret(pleo: Local) -> None:
    before = contents(pleo.warehouse)
    pleo.sandbox.state.expire_access_tokens()
    ended = pleo.run("sync", *STREAMS, PLEO_CLIENT_SECRET="another-secret-entirely")
    clear(pleo, ended, 2, "invalid_client", "PLEO_CLIENT_SECRET")
    assert "another-secret-entirely" not in ended.out + ended.err
    assert contents(pleo.warehouse) == before
    # Nothing is lost by it: with the right secret the same connection works on.
    assert pleo.run("sync", *STREAMS).code == 0
    assert pleo.sandbox.counters()["reuse"] == 0


def test_a_revoked_grant(pleo: Local) -> None:
    before = contents(pleo.warehouse)
    pleo.sandbox.state.revoke_grants()
    clear(pleo, pleo.run("sync", *STREAMS), 3, "pleo-connector connect")
    clear(pleo, pleo.run("sync", *STREAMS), 3, "pleo-connector connect")
    clear(pleo, pleo.run("status"), 3, "pleo-connector connect")
    assert contents(pleo.warehouse) == before


def test_a_missing_scope_fails_its_stream_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with local(tmp_path, capsys) as pleo:
        pleo.environ["PLEO_SCOPES"] = DEFAULT_SCOPES.replace(" vendors:read", "")
        pleo.connect()
        ended = pleo.run("sync", *STREAMS)
        clear(pleo, ended, 1, "vendors", "403", "vendors:read", "PLEO_SCOPES")
        loaded = contents(pleo.warehouse)
        assert loaded["vendors"][0] == 0
        assert loaded["companies"][0] == 5
        assert loaded["tax_codes"][0] == 23
        assert pleo.run("doctor").code == 0, "nobody asked for it"
        clear(pleo, pleo.run("doctor", PLEO_SCOPES=DEFAULT_SCOPES), 1, "scope for vendors")


def test_an_unknown_company(pleo: Local) -> None:
    before = contents(pleo.warehouse)
    ended = pleo.run("sync", *STREAMS, "--company", "11111111-2222-3333-4444-555555555555")
    clear(pleo, ended, 2, "11111111-2222-3333-4444-555555555555", "not covered")
    assert contents(pleo.warehouse) == before


def test_an_unreachable_host(pleo: Local) -> None:
    before = contents(pleo.warehouse)
    url = f"http://127.0.0.1:{free_port(0)}"
    clear(pleo, pleo.run("sync", *STREAMS, "--patience", "0", PLEO_API_URL=url), 1, url, "could not be reached", "PLEO_API_URL")
    assert contents(pleo.warehouse) == before


def test_faults_that_pass_are_waited_out(pleo: Local) -> None:
    pleo.sandbox.state.set_faults(Fault("status", path="/v", times=3, status=503), Fault("reset", path="/v", times=1))
    ended = pleo.run("sync", *STREAMS)
    assert ended.code == 0
    assert "Nothing changed" in ended.out
    assert pleo.sandbox.counters()["faults"] == {"status": 3, "reset": 1}


def test_faults_that_stay_are_an_error_in_the_end(pleo: Local) -> None:
    before = contents(pleo.warehouse)
    pleo.sandbox.state.set_faults(Fault("status", path="/v2/vendors", status=500), Fault("status", path="/v1/vendors", status=500))
    ended = pleo.run("sync", *STREAMS, "--patience", "1")
    clear(pleo, ended, 1, "vendors", "500", "run again")
    assert contents(pleo.warehouse) == before


@pytest.mark.slow
def test_five_hundreds_for_a_minute_cost_nothing_but_time(pleo: Local) -> None:
    """With the patience that everybody has: the outage ends after a minute, and nobody had to run it again."""
    pleo.sandbox.state.set_faults(Fault("status", path="/v", status=500))
    end = threading.Timer(60.0, pleo.sandbox.state.set_faults)
    end.start()
    try:
        assert pleo.run("sync", *STREAMS).code == 0
    finally:
        end.cancel()


def test_a_rate_limit_that_asks_for_too_much(pleo: Local) -> None:
    before = contents(pleo.warehouse)
    pleo.sandbox.state.set_faults(Fault("status", path="/v", status=429, retry_after=3600))
    clear(pleo, pleo.run("sync", *STREAMS), 1, "429", "PLEO_REQUESTS_PER_MINUTE")
    assert contents(pleo.warehouse) == before


def test_a_rate_limit_is_waited_out(pleo: Local) -> None:
    pleo.sandbox.state.set_faults(Fault("status", path="/v", times=1, status=429, retry_after=1))
    assert pleo.run("sync", *STREAMS).code == 0
    assert pleo.sandbox.counters()["sent_before_retry_after"] == 0


@pytest.mark.parametrize("kind", ["truncated", "html"])
def test_a_page_that_is_not_the_promised_json(pleo: Local, kind: str) -> None:
    before = contents(pleo.warehouse)
    pleo.sandbox.state.set_faults(Fault(kind, path="/v1/companies"))
    clear(pleo, pleo.run("sync", *STREAMS), 1, "companies", "JSON")
    assert contents(pleo.warehouse) == before


def test_a_warehouse_that_another_process_has_open(pleo: Local) -> None:
    before = contents(pleo.warehouse)
    holding = "import duckdb, sys; c = duckdb.connect(sys.argv[1]); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", holding, str(pleo.warehouse)],
        env=environment({}),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "open\n"
        ended = pleo.run("sync", *STREAMS, "--wait", "0.3")
    clear(pleo, ended, 1, str(pleo.warehouse), str(other.pid), "run again")
    assert contents(pleo.warehouse) == before


@pytest.mark.parametrize("folder", ["/proc/1", "/dev/null"])
def test_a_folder_that_cannot_be_written(pleo: Local, folder: str) -> None:
    if not Path(folder).exists():
        pytest.skip(f"this system has no {folder}")
    clear(
        pleo, pleo.run("sync", *STREAMS, PLEO_WAREHOUSE=f"duckdb:///{folder}/spend.duckdb"), 1, f"{folder}/spend.duckdb", "PLEO_WAREHOUSE"
    )


def test_a_file_in_place_of_a_folder(pleo: Local, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    clear(
        pleo, pleo.run("sync", *STREAMS, PLEO_WAREHOUSE=f"duckdb:///{tmp_path}/file/spend.duckdb"), 1, "file/spend.duckdb", "PLEO_WAREHOUSE"
    )


def test_a_warehouse_that_is_something_else(pleo: Local, tmp_path: Path) -> None:
    other = tmp_path / "letter.txt"
    other.write_text("Dear Sir or Madam, " * 1000)
    before = other.read_bytes()
    clear(pleo, pleo.run("sync", *STREAMS, PLEO_WAREHOUSE=f"duckdb:///{other}"), 1, "letter.txt", "not a DuckDB database")
    assert other.read_bytes() == before


def test_a_corrupt_token_store(pleo: Local) -> None:
    before = contents(pleo.warehouse)
    store = Path(pleo.environ["PLEO_TOKEN_STORE"])
    store.write_bytes(b"this is no database" * 100)
    kept = store.read_bytes()
    for verb in (("sync", *STREAMS), ("status",), ("disconnect", "--yes")):
        clear(pleo, pleo.run(*verb), 1, str(store))
    assert store.read_bytes() == kept
    assert contents(pleo.warehouse) == before


def test_a_wrong_key(pleo: Local) -> None:
    before = contents(pleo.warehouse)
    wrong = Fernet.generate_key().decode()
    for verb in (("sync", *STREAMS), ("status",)):
        ended = pleo.run(*verb, PLEO_TOKEN_KEYS=wrong)
        clear(pleo, ended, 1, "PLEO_TOKEN_KEYS")
        assert wrong not in ended.out + ended.err
    assert contents(pleo.warehouse) == before
    assert pleo.run("sync", *STREAMS).code == 0


def test_a_key_that_is_none(pleo: Local) -> None:
    clear(pleo, pleo.run("sync", *STREAMS, PLEO_TOKEN_KEYS="not a key"), 2, "PLEO_TOKEN_KEYS", "Fernet")


def test_a_setting_that_is_wrong(pleo: Local) -> None:
    clear(pleo, pleo.run("sync", *STREAMS, PLEO_API_URL="http://external.pleo.io"), 2, "PLEO_API_URL", "https")
    clear(pleo, pleo.run("sync", *STREAMS, PLEO_CONCURRENCY="many"), 2, "PLEO_CONCURRENCY")


def test_no_credentials_at_all(pleo: Local) -> None:
    for verb in (("sync",), ("connect", "--no-browser"), ("status",)):
        ended = pleo.run(*verb, PLEO_ENVIRONMENT="production", PLEO_CLIENT_SECRET="")
        clear(pleo, ended, 2, "PLEO_CLIENT_ID", "PLEO_API_KEY")


def test_a_stale_api_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with local(tmp_path, capsys) as pleo:
        pleo.secrets.add("a-key-of-long-ago")
        ended = pleo.run("sync", *STREAMS, PLEO_API_KEY="a-key-of-long-ago")
        clear(pleo, ended, 2, "401", "PLEO_API_KEY")
    assert CLIENT_SECRET not in ended.out + ended.err
