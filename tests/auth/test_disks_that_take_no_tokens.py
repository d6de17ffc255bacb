"""A real disk that is full, and a real folder that is read-only, just after Pleo has rotated the tokens."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from pleo_connector.auth.stores import State
from pleo_connector.sandbox import Fault
from tests.auth.harness import Pleo, pleo, saw
from tests.auth.storms import SCALE, scaled, start, stored_token_lives, wait_for
from tests.disks import full, read_only, small_disk, unprivileged

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800), pytest.mark.skipif(sys.platform == "win32", reason="POSIX rights and mounts")]

Breaks = Callable[[Path], AbstractContextManager[None]]


@pytest.fixture(params=["read-only", "full"])
def breaks(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Breaks]:
    if request.param == "full":
        with small_disk(tmp_path / "state"):
            yield full
    else:
        yield read_only


def spilled(found: Pleo) -> list[Path]:
    of = hashlib.sha256(found.settings.connection.encode()).hexdigest()[:12]
    return list(Path(tempfile.gettempdir()).glob(f"pleo-tokens.{of}.*.spill"))


def test_tokens_that_the_disk_does_not_take_are_never_lost(
    breaks: Breaks, tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    """Every other owner is killed once it has put the tokens elsewhere; the others find the disk mended while they still try."""
    by = unprivileged()
    with pleo(tmp_path, {"PLEO_CONNECTION": f"disk-{os.getpid()}"}, requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        for number in range(scaled(25, 2)):
            refresh_while_broken(found, breaks, tmp_path / "state", killed=number % 2 == 0, by=by)
            assert found.record().generation == number + 2
        assert found.counted("refreshes") == found.counted("token_requests") == scaled(25, 2)
        assert found.counted("reuse") == found.counted("revoked_grants") == 0
    record_property("scale", SCALE)


def refresh_while_broken(found: Pleo, breaks: Breaks, folder: Path, *, killed: bool, by: tuple[str, ...]) -> None:
    before = found.counted("refreshes")
    found.sandbox.state.set_faults(Fault("delay_before", path="/oauth/token", times=1, seconds=1.0))
    with start(found, "stubborn", by=by) as owner:
        assert owner.stdout is not None and owner.stdout.readline() == "ready\n"
        wait_for(lambda: found.record().state is State.REFRESHING)
        with breaks(folder):
            wait_for(lambda: found.counted("refreshes") > before)
            if breaks is full:
                assert owner.stdout.readline() == "done\n", "the intent took the room for them"
            elif killed:
                assert "sealed, and are taken over as soon as the store works again" in owner.stdout.readline()
                owner.kill()
        if not killed and breaks is not full:
            assert owner.stdout.readline() == "done\n"
            assert spilled(found) == []
    found.manager().access_token()
    lost = not stored_token_lives(found)
    saw(faults=1, kills=killed and breaks is not full, lost=lost)
    assert not lost and found.record().state is State.ACTIVE and spilled(found) == []
