from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from pleo_connector.frames import Batch
from tests.frames.records import ENTRIES, example, first, hashes, load

THREADS = 6
UUID = "c0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11"


def test_threads_do_not_see_each_others_records() -> None:
    together = Barrier(THREADS)

    def work(thread: int) -> list[Batch]:
        together.wait(timeout=60)
        odd = {"new": thread} if thread % 2 else {}
        return [
            load({**example(ENTRIES, full=True, number=n), "note": f"{thread} {n}", **odd}, {"id": UUID, "companyId": thread})
            for n in range(4)
        ]

    with ThreadPoolExecutor(THREADS) as pool:
        found = list(pool.map(work, range(THREADS)))
    for thread, batches in enumerate(found):
        for number, batch in enumerate(batches):
            row = first(batch)
            assert row["note"] == f"{thread} {number}"
            assert row["_extra"] == (f'{{"new":{thread}}}' if thread % 2 else None)
            assert len(batch.frames["accounting_entry_split_tags"]) == 4
            assert len(batch.quarantined) == 1
    assert len({digest for batches in found for batch in batches for digest in hashes(batch)}) == THREADS * 4
