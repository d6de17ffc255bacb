from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.auth.harness import SEEN, Pleo, pleo, saw_by
from tests.auth.storms import QUICK, SCALE, in_store


@pytest.fixture(autouse=True)
def _counted(record_property: Callable[[str, object], None]) -> Iterator[None]:
    SEEN.clear()
    yield
    record_property("seen", json.dumps(SEEN))
    record_property("scale", SCALE)


@pytest.fixture(params=["sqlite", "postgresql"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pleo]:
    """A sandbox and a connection of its own in each store; counters start at zero."""
    with pleo(tmp_path, in_store(request.param) | {"REFRESHER_DEADLINE": str(QUICK)}, requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        yield found


@pytest.fixture(scope="session")
def one_sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pleo]:
    with pleo(tmp_path_factory.mktemp("shared"), requests_per_minute=0) as found:
        yield found


@pytest.fixture
def unconnected(one_sandbox: Pleo, tmp_path: Path) -> Iterator[Pleo]:
    """A sandbox whose tokens live 900 s, and a store of its own that nothing is in yet."""
    yield replace(one_sandbox, environ={**one_sandbox.environ, "PLEO_TOKEN_STORE": str(tmp_path / "state" / "tokens.sqlite")})
    saw_by(one_sandbox.sandbox)
    one_sandbox.sandbox.state.set_faults()
    one_sandbox.sandbox.state.revoke_grants()


@pytest.fixture
def connected(unconnected: Pleo) -> Pleo:
    """The same after somebody has just connected; counters start at zero."""
    unconnected.connect()
    unconnected.sandbox.state.reset_counters()
    return unconnected
