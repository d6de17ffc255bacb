"""What a verb says, and where: answers on stdout, everything about them on stderr.

With `--json` stdout carries one JSON document and nothing else, also when the verb fails.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

_WIDE = 200
"""Columns of a line that no terminal shows: a pipe or a file never needs a cut-off table."""


def console(*, stderr: bool = False, width: int | None = None) -> Console:
    """A console that prints text as it is: data may hold brackets and colons. `width` None is the terminal's."""
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, width=width if stream.isatty() else width or _WIDE, markup=False, emoji=False, highlight=False)


@dataclass(slots=True)
class Output:
    """The two streams of one run of the command."""

    json: bool = False
    environ: Mapping[str, str] | None = None
    """Where settings are read from; None means this process's environment and `.env`."""
    scrub: Callable[[str], str] = str
    """Replaces secrets in any text; `settings_in_use` sets it as soon as there are secrets to know."""
    document: dict[str, Any] | None = field(default=None, repr=False)

    def answer(self, document: Mapping[str, Any]) -> None:
        """The JSON document of this run; printed once, at its end."""
        self.document = dict(document)

    def print(self, *parts: Any, style: str | None = None) -> None:
        """A line, or a table, for a person: on stdout, or on stderr when stdout is for JSON."""
        shown = [self.scrub(part) if isinstance(part, str) else part for part in parts]
        tables = [part for part in parts if isinstance(part, Table)]
        # A table whose columns may not be folded is never squeezed: a terminal that is too narrow breaks its lines.
        width = max((natural_width(made) for made in tables if all(column.no_wrap for column in made.columns)), default=None)
        screen = console(stderr=self.json, width=width if width is not None and width > self.width else None)
        screen.print(*shown, style=style, soft_wrap=not tables)

    @property
    def width(self) -> int:
        """Characters in a line of what `print` writes to."""
        return console(stderr=self.json).width

    def note(self, text: str, style: str | None = "dim") -> None:
        """A remark on stderr: progress, hints."""
        console(stderr=True).print(self.scrub(text), style=style, soft_wrap=True)

    def warn(self, text: str) -> None:
        """Something to look at, on stderr; it changes no exit code."""
        console(stderr=True).print(Text("Warning: ", style="yellow") + Text(self.scrub(text)), soft_wrap=True)

    def error(self, text: str) -> None:
        """Why the command ends with something other than 0, on stderr."""
        console(stderr=True).print(Text("Error: ", style="bold red") + Text(self.scrub(text)), soft_wrap=True)

    def close(self, exit_code: int, error: str | None = None) -> None:
        """Print the JSON document, with `error` and `exit_code` in it when the run failed."""
        if not self.json:
            return
        document = self.document
        if error is not None:
            document = (document or {}) | {"error": self.scrub(error), "exit_code": exit_code}
        if document is not None:
            sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n")
            sys.stdout.flush()


def table(*headings: str, numbers: Sequence[str] = (), fold: Sequence[str] = ()) -> Table:
    """A plain table; the columns named in `numbers` are right-aligned, those in `fold` may take several lines."""
    made = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(heading, justify="right" if heading in numbers else "left", no_wrap=heading not in fold, overflow="fold")
    return made


def natural_width(made: Table) -> int:
    """Characters that the table takes when nothing is folded."""
    screen = Console(width=10_000)
    return screen.measure(made).maximum


def add_rows(made: Table, rows: Iterable[Sequence[object]]) -> Table:
    """Add rows of plain values: whole numbers get thousands separators, None stays empty."""
    for row in rows:
        made.add_row(*(_shown(value) for value in row))
    return made


def plural(count: int, noun: str, many: str | None = None) -> str:
    """`1 row`, `2,000 rows`; `many` where an s does not do."""
    return f"{count:,} {noun if count == 1 else many or f'{noun}s'}"


def _shown(value: object) -> Text:
    if value is None:
        return Text("")
    return Text(f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value))
