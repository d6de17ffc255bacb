"""The file system with the token store is unmounted just as Pleo rotates the tokens."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from pleo_connector import auth
from pleo_connector.auth import endpoint
from pleo_connector.auth.stores import State, open_store
from pleo_connector.errors import ReauthRequired, TokenStoreUnavailable
from tests.auth.harness import pleo
from tests.auth.storms import stored_token_lives


def test_tokens_wait_beside_a_store_that_is_gone_and_are_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pleo(tmp_path, requests_per_minute=0) as found:
        found.connect()
        opened = open_store(found.environ["PLEO_TOKEN_STORE"])
        folder = Path(found.environ["PLEO_TOKEN_STORE"]).parent
        away, empty = tmp_path / "away", tmp_path / "empty"
        refresh = endpoint.TokenEndpoint.refresh

        def unmounted(self: endpoint.TokenEndpoint, token: auth.Secret) -> object:
            answer = refresh(self, token)
            folder.rename(away)
            folder.mkdir(mode=0o700)
            return answer

        quick = {"settle": 0.01, "monotonic": lambda: 100 * time.monotonic(), "sleep": lambda seconds: time.sleep(seconds / 100)}
        with monkeypatch.context() as patched:
            patched.setattr(endpoint.TokenEndpoint, "refresh", unmounted)
            with pytest.raises(TokenStoreUnavailable, match=r"no longer has this connection; put back.*sealed, and are taken over"):
                auth.build_manager(found.settings, opened=opened, **quick).refresh()
        for left in folder.iterdir():
            left.rename(away / left.name)
        folder.rename(empty)
        away.rename(folder)
        assert found.manager().refresh().access
        assert found.record().state is State.ACTIVE
        assert stored_token_lives(found)


def test_an_empty_place_where_a_store_was_is_not_called_unconnected(tmp_path: Path) -> None:
    """Nobody must log in again for a disk that is not mounted: a run tries again later, and goes on once it is back."""
    with pleo(tmp_path, requests_per_minute=0) as found:
        with pytest.raises(ReauthRequired, match="Nothing is connected"):
            found.manager().access_token()
        found.connect()
        folder = Path(found.environ["PLEO_TOKEN_STORE"]).parent
        folder.rename(tmp_path / "away")
        folder.mkdir(mode=0o700)
        with pytest.raises(TokenStoreUnavailable, match=r"not mounted.*if it is gone for good, run `pleo-connector connect"):
            found.manager().access_token()
        folder.rmdir()
        (tmp_path / "away").rename(folder)
        assert found.manager().access_token()
