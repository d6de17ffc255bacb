from __future__ import annotations

import subprocess
import threading
import time
from pathlib import Path

import duckdb
import pytest

from pleo_connector.errors import WarehouseLocked
from pleo_connector.warehouses import MergeCounts, open_warehouse
from pleo_connector.warehouses.turn import turn
from tests.warehouses.conftest import Start
from tests.warehouses.rows import BILLS, CURSORS, LINES, SEEN, bill, bills, lines

FRAMES = {"bills": bills(bill(1)), "bill_lines": lines((1, 1))}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "pleo.duckdb"
    with open_warehouse(f"duckdb:///{made}", "spend").transaction() as work:
        work.ensure([BILLS, LINES, SEEN, CURSORS])
    return made


def heard(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def tell(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("go\n")
    process.stdin.flush()


def test_the_file_is_free_between_loads(path: Path, start: Start) -> None:
    warehouse = open_warehouse(f"duckdb:///{path}", "spend")
    with warehouse.transaction() as work:
        work.merge([BILLS, LINES], FRAMES)
    reader = start("analyst", path, 0)
    assert heard(reader) == "holding"
    assert sorted(found.name for found in path.parent.iterdir() if not found.name.endswith(".lock")) == ["pleo.duckdb"]


def test_a_reader_delays_a_load_and_does_not_fail_it(path: Path, start: Start) -> None:
    reader = start("analyst", path, 1.5)
    assert heard(reader) == "holding"
    began = time.monotonic()
    with open_warehouse(f"duckdb:///{path}", "spend", wait=30).transaction() as work:
        assert work.merge([BILLS, LINES], FRAMES) == MergeCounts(inserted=1)
    assert 0.5 < time.monotonic() - began < 10


def test_a_reader_that_stays_is_named_when_the_wait_is_over(path: Path, start: Start) -> None:
    reader = start("analyst", path, 0)
    assert heard(reader) == "holding"
    began = time.monotonic()
    with (
        pytest.raises(
            WarehouseLocked, match=rf"{path} is open in \S*python\S* \(pid {reader.pid}\), and still was after 0\.6 s; close it there"
        ),
        open_warehouse(f"duckdb:///{path}", "spend", wait=0.6).transaction(),
    ):
        pass
    assert 0.4 < time.monotonic() - began < 5
    tell(reader)
    reader.wait()
    with open_warehouse(f"duckdb:///{path}", "spend", wait=0.6).transaction() as work:
        assert work.count(BILLS) == 0


def test_another_load_is_named_when_the_wait_is_over(path: Path, start: Start) -> None:
    writer = start("hang", f"duckdb:///{path}")
    assert heard(writer) == "inside"
    with (
        pytest.raises(WarehouseLocked, match=rf"{path} is being written by worker\.py \(pid {writer.pid}\) and still was after 0\.3 s"),
        open_warehouse(f"duckdb:///{path}", "spend", wait=0.3).transaction(),
    ):
        pass
    tell(writer)
    assert heard(writer) == "done"
    with open_warehouse(f"duckdb:///{path}", "spend").transaction() as work:
        assert work.count(BILLS) == 2


def test_threads_take_turns_too(path: Path) -> None:
    warehouse = open_warehouse(f"duckdb:///{path}", "spend")
    failures: list[BaseException] = []

    def load(number: int) -> None:
        try:
            with warehouse.transaction() as work:
                work.merge([BILLS, LINES], {"bills": bills(bill(number)), "bill_lines": lines((number, 1))})
        except BaseException as error:  # noqa: BLE001 - shown by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=load, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    with warehouse.transaction() as work:
        assert (work.count(BILLS), work.count(LINES)) == (12, 12)


def test_an_open_connection_of_this_process_is_shared_or_named(path: Path) -> None:
    warehouse = open_warehouse(f"duckdb:///{path}", "spend", wait=0.3)
    with duckdb.connect(str(path)) as notebook:
        with warehouse.transaction() as work:
            work.merge([BILLS, LINES], FRAMES)
        assert notebook.execute("SELECT count(*) FROM spend.bills").fetchall() == [(1,)]
    with (
        duckdb.connect(str(path), read_only=True),
        pytest.raises(WarehouseLocked, match="this same process"),
        warehouse.transaction(),
    ):
        pass


def waiting(path: Path) -> int:
    """How many stand in the queue, with the one whose turn it is."""
    return sum(".turn-" in found.name for found in path.parent.iterdir())


def wait_for(path: Path, count: int) -> None:
    until = time.monotonic() + 20
    while waiting(path) != count:
        assert time.monotonic() < until
        time.sleep(0.005)


def test_first_come_first_served(path: Path) -> None:
    came: list[int] = []

    def take(number: int) -> None:
        with turn(path, 30):
            came.append(number)

    threads = [threading.Thread(target=take, args=(number,)) for number in range(8)]
    with turn(path, 1):
        for number, thread in enumerate(threads):
            thread.start()
            wait_for(path, number + 2)
    for thread in threads:
        thread.join()
    assert came == list(range(8))
    assert waiting(path) == 0


def test_who_gives_up_or_dies_leaves_the_queue_in_order(path: Path, start: Start) -> None:
    came: list[int] = []

    def take(number: int, wait: float) -> None:
        try:
            with turn(path, wait):
                came.append(number)
        except WarehouseLocked as error:
            came.append(-number)
            assert "with 1 more before this one" in str(error)  # noqa: PT017 - in a thread of its own

    with turn(path, 1):
        dying = start("hang", f"duckdb:///{path}")
        wait_for(path, 2)
        threads = [threading.Thread(target=take, args=(number, wait)) for number, wait in ((1, 0.2), (2, 30), (3, 30))]
        threads[0].start()
        threads[0].join()  # it gave up
        for number, thread in enumerate(threads[1:]):
            thread.start()
            wait_for(path, 3 + number)
        dying.kill()
        dying.wait()
    for thread in threads:
        thread.join()
    assert came == [-1, 2, 3]
    assert waiting(path) == 0
