"""Replaces views in PostgreSQL, which refuses to drop a view that another view reads.

A view whose columns stay is replaced where it is, so that users' views of it, and their rights, stay too. Another is dropped with
those of ours that read it and all are made again. Where a user's own view reads one of these, they stay unchanged, with a warning.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

from pleo_connector.catalogue import View
from pleo_connector.warehouses.tables import Tables
from pleo_connector.warehouses.views import creation

_OTHER_COLUMNS = "invalid_table_definition"
"""PostgreSQL's name for a replacement that would take a column away, or give it another name or type."""
_IN_USE = "dependent_objects_still_exist"
_DOES_NOT_FIT = "syntax_error_or_access_rule_violation"
"""Errors of a view that reads something that does not exist: columns, other views, types."""

_ATTEMPT = """\
DECLARE
  message text;
  added text;
BEGIN
  PERFORM set_config('pleo.refused', '', true);
  {statements}
EXCEPTION WHEN {unless} THEN
  GET STACKED DIAGNOSTICS message = MESSAGE_TEXT, added = PG_EXCEPTION_DETAIL;
  PERFORM set_config('pleo.refused', coalesce(nullif(added, ''), message), true);
END"""
"""The server catches its own error: after an error that reaches the driver, it accepts only a rollback of the whole transaction."""

Run = Callable[[str], Sequence[Sequence[object]]]


def renewed(
    names: Tables, views: Sequence[View], stored: Mapping[str, object], run: Run, location: str, warn: Callable[[str], object]
) -> Iterator[str]:
    """Make these views, each after those it reads, and yield the names of those that were made; `warn` gets a sentence for each that was not."""
    there, left = set(stored), set[str]()
    for view in views:
        if view.name in left:
            if view.name not in there and not _refused(run, names, creation(names, view), _DOES_NOT_FIT):
                yield view.name
            continue
        if view.name not in there:  # nothing stands on it yet, though a view that reads it now may be there
            for statement in creation(names, view):
                run(statement)
            yield view.name
            continue
        if not _refused(run, names, creation(names, view, replace=True), _OTHER_COLUMNS):
            yield view.name
            continue
        together = [view, *_readers(view, views)]
        present = ", ".join(names.relation(one.name) for one in together if one.name in there)
        # One statement: a refusal then names all that stands on any of them.
        refused = _refused(run, names, [f"DROP VIEW {present}"], _IN_USE)
        if not refused:
            there -= {one.name for one in together}
            for statement in creation(names, view):
                run(statement)
            yield view.name
            continue
        left |= {one.name for one in together}
        also = f", with {', '.join(one.name for one in together[1:])}" if together[1:] else ""
        warn(
            f"The view {view.name} in {location} was not changed{also}: {refused}. Drop what depends on it, "
            "run `pleo-connector marts`, and make it again."
        )


def _readers(view: View, views: Sequence[View]) -> list[View]:
    """Those that read the view, or a view that reads it."""
    names = {view.name}
    readers = []
    for one in views:
        if names & set(one.reads):
            names.add(one.name)
            readers.append(one)
    return readers


def _refused(run: Run, names: Tables, statements: Iterable[str], unless: str) -> str:
    """Run the statements. If one is refused for this reason, all are undone, and the server's message is returned, on one line."""
    literal = names.dialect.literal
    body = "\n  ".join(f"EXECUTE {literal(statement)};" for statement in statements)
    run(f"DO {literal(_ATTEMPT.format(statements=body, unless=unless))}")
    ((message,),) = run("SELECT current_setting('pleo.refused')")
    return "; ".join(str(message).splitlines())
