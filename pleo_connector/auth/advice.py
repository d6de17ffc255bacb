"""What a person is told to do, in words that every message shares."""

from __future__ import annotations


def how_to_connect(connection: str) -> str:
    """What to do, as part of a sentence; `connection` is environment, client, and perhaps a label."""
    return f"run `pleo-connector connect{_option(connection)}`"


def how_to_disconnect(connection: str) -> str:
    """The same for the other way round."""
    return f"run `pleo-connector disconnect{_option(connection)}`"


def how_to_refresh(connection: str) -> str:
    """What takes over, or finds out, what a refresh left open."""
    return f"run `pleo-connector refresh{_option(connection)}`"


def how_to_begin_anew(connection: str) -> str:
    """What to do when the stored tokens are of no use and stand in the way."""
    return f"{how_to_disconnect(connection)} and then `pleo-connector connect{_option(connection)}`"


def _option(connection: str) -> str:
    # Without it the command is about the connection without a label: another customer's, where there are several.
    _, _, label = connection.partition("/")[2].partition("/")
    return f" --connection {label}" if label else ""
