"""Every stream of the catalogue has all that it needs beside its declaration."""

from __future__ import annotations

from tests.stream_needs import missing


def test_nothing_is_missing() -> None:
    assert missing() == []
