"""What a person is told to do, in words that every message shares."""

from __future__ import annotations


def how_to_connect(connection: str) -> str:
    """What to do, as part of a sentence; `connection` is environment, client, and perhaps a label."""
    _, _, label = connection.partition("/")[2].partition("/")
    return f"run `pleo-connector connect{f' --connection {label}' if label else ''}`"
