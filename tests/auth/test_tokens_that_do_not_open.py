"""What is stored was cut short, belongs to another connection, or was sealed with another key: nothing is sent, nothing is changed."""

from __future__ import annotations

import pytest
from cryptography.fernet import Fernet

from pleo_connector.auth.stores import open_store
from pleo_connector.errors import TokenStoreCorrupt, WrongKey
from tests.auth.harness import Pleo


def refuses(found: Pleo, error: type[Exception], **changes: str) -> None:
    settings = found.with_(**changes)
    store = open_store(settings.token_store).store
    before = [(record.connection, record.generation, record.state, record.blob, record.updated_at) for record in store.records()]
    for act in (found.manager(settings).access_token, found.manager(settings).refresh, found.manager(settings).tokens):
        with pytest.raises(error):
            act()
    assert before == [(record.connection, record.generation, record.state, record.blob, record.updated_at) for record in store.records()]
    assert found.counted("token_requests") == 0


@pytest.mark.parametrize("kept", [0, 1, 60, -1])
def test_a_blob_that_was_cut_short(stored: Pleo, kept: int) -> None:
    open_store(stored.environ["PLEO_TOKEN_STORE"]).store.reseal(stored.settings.connection, 1, (stored.record().blob or b"")[:kept])
    refuses(stored, WrongKey)


def test_the_rows_of_two_connections_swapped(stored: Pleo) -> None:
    other = stored.with_(PLEO_CONNECTION="other")
    stored.connect(other)
    stored.sandbox.state.reset_counters()
    store = open_store(stored.environ["PLEO_TOKEN_STORE"]).store
    one, two = store.read(stored.settings.connection), store.read(other.connection)
    assert one is not None and two is not None and one.blob is not None and two.blob is not None
    store.reseal(one.connection, one.generation, two.blob)
    store.reseal(two.connection, two.generation, one.blob)
    refuses(stored, TokenStoreCorrupt)
    refuses(stored, TokenStoreCorrupt, PLEO_CONNECTION="other")


def test_another_key(stored: Pleo) -> None:
    refuses(stored, WrongKey, PLEO_TOKEN_KEYS=Fernet.generate_key().decode())
