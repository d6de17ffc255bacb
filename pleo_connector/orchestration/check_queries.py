"""The checks as SQL that DuckDB and PostgreSQL both understand. No Dagster here.

A `Tally` is a query for the rows that fail, each named by its key in the column `shown`: never by content. All tallies of
a stream are counted in one SELECT, so that checks hold the warehouse for one short transaction.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from pleo_connector.catalogue import AddsUp, Column, CompanyIn, Counts, KnownValues, LogicalType, NetAndTax, Reference, Stream, Table

if TYPE_CHECKING:
    from pleo_connector.frames.levels import Level

SHOWN = 10
"""Failing rows that are named."""

SWEEPS = '{schema}."_sweeps"'
QUARANTINE = '{schema}."_quarantine"'

UNKNOWN_FIELDS = "unknown_fields"
VALUE_SHOWN = 60
"""Characters of an unseen value that are shown."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Rows that a check counts under the name `metric`."""

    metric: str
    sql: str
    fails: bool = True
    """False for rows that are reported and do not fail the check."""
    reads: tuple[str, str] | None = None
    """Name and SQL of a query that it reads; tallies that name the same one share it."""
    path: str = ""
    """Where the objects of its table are in the record."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The number of rows of a tally, and the names of the first."""

    rows: int
    examples: str


def counted(tallies: Sequence[Tally]) -> str:
    """One SELECT of one text over all tallies; `answers` reads it."""
    parts = (
        f"SELECT '{number}|' || CAST(count(*) AS VARCHAR) || '|' || "
        f"coalesce(string_agg(CASE WHEN place <= {SHOWN} THEN shown END, ', ' ORDER BY shown), '') AS line "
        f"FROM (SELECT shown, row_number() OVER (ORDER BY shown) AS place FROM ({tally.sql}) AS failing) AS numbered"
        for number, tally in enumerate(tallies)
    )
    named = dict(tally.reads for tally in tallies if tally.reads is not None)
    head = f"WITH {', '.join(f'{name} AS MATERIALIZED ({sql})' for name, sql in named.items())} " if named else ""
    return f"{head}SELECT string_agg(line, chr(10)) FROM ({' UNION ALL '.join(parts)}) AS answers"


def answers(text: object) -> list[Answer]:
    """The result of `counted`, in the order of its tallies."""
    lines = sorted((line.split("|", 2) for line in str(text).split("\n")), key=lambda parts: int(parts[0]))
    return [Answer(int(rows), examples) for _, rows, examples in lines]


def version_query(tables: Sequence[Table]) -> str:
    """One SELECT of one text with the version of each table; `versions` reads it. `_synced_at` moves when a row changes, and only then."""
    parts = (
        f"SELECT '{table.name}=' || coalesce(CAST(extract(epoch FROM max(_synced_at)) AS VARCHAR), '') || '/' || "
        f"CAST(count(*) AS VARCHAR) AS line FROM {_relation(table.name)}"
        for table in tables
    )
    return f"SELECT string_agg(line, chr(10)) FROM ({' UNION ALL '.join(parts)}) AS versions"


def versions(text: object) -> dict[str, str]:
    """The result of `version_query`, by table."""
    return dict(line.split("=", 1) for line in str(text).splitlines())


def key_tallies(table: Table) -> Iterator[Tally]:
    """Rows without their key and keys that occur twice, over all rows, deleted ones included."""
    columns = ", ".join(f'"{name}"' for name in table.key)
    missing = " OR ".join(f'"{name}" IS NULL' for name in table.key)
    shown = " || ' / ' || ".join(f'CAST("{name}" AS VARCHAR)' for name in table.key)
    yield Tally("rows_without_key", f"SELECT CAST(NULL AS VARCHAR) AS shown FROM {_relation(table.name)} WHERE {missing}")
    yield Tally(
        "keys_more_than_once",
        f"SELECT {shown} AS shown FROM {_relation(table.name)} WHERE NOT ({missing}) GROUP BY {columns} HAVING count(*) > 1",
    )


def drift_tallies(stream: Stream) -> Iterator[Tally]:
    """What Pleo serves, of what is stored, that differs from the declaration: a scan for each table, and the records set aside."""
    from pleo_connector.frames.levels import compile_levels

    for level in compile_levels(stream).top.walk():
        yield from _drift_of(level)
    why = "regexp_replace(field, '\\[[0-9]+\\]', '[]', 'g') || ': ' || reason"
    yield Tally("impossible_values", f"SELECT DISTINCT {_line(why)} AS shown FROM {QUARANTINE} WHERE stream = {_text(stream.name)}")


def _drift_of(level: "Level") -> Iterator[Tally]:
    findings: dict[str, list[tuple[str, str]]] = {}
    columns: set[str] = set()
    for column in level.columns:
        for kind, shown, odd, read in _odd(column, level.path_to(column.source)):
            findings.setdefault(kind, []).append((shown, odd))
            columns |= read
    if level.keeps_unknown:
        findings[UNKNOWN_FIELDS] = [(f"regexp_replace(CAST(_extra AS VARCHAR), {_text(_SCALAR)}, ':0', 'g')", "_extra IS NOT NULL")]
        columns.add("_extra")
    if not findings:
        return
    wanted = ", ".join(f'"{name}"' for name in sorted(columns))
    odd_rows = " OR ".join(f"({odd})" for kind in findings.values() for _, odd in kind)
    reads = (
        f"odd_{level.table.name}",
        f"SELECT {wanted} FROM {_relation(level.table.name)} WHERE coalesce(_deleted_source, '') <> 'sweep_absent' AND ({odd_rows})",
    )
    for kind, parts in findings.items():
        sql = " UNION ALL ".join(f"SELECT DISTINCT {_line(shown)} AS shown FROM {reads[0]} WHERE {odd}" for shown, odd in parts)
        yield Tally(kind, sql, reads=reads, path=level.path)


_SCALAR = r""":[[:space:]]*("(\\.|[^"\\])*"|[0-9.eE+-]+|true|false|null)"""
"""A value in JSON text, after its name. Without values, the text depends on the fields alone."""


def _odd(column: Column, path: str) -> Iterator[tuple[str, str, str, set[str]]]:
    """(kind of finding, what it is called, the rows that show it, the columns read); the kinds are those of `frames.Drift`."""
    name, called = column.name, _text(path)
    value = name + {LogicalType.MONEY: "_minors", LogicalType.MONEY_TIMES_100: "_value"}.get(column.type, "")
    # UNDEFINED is an answer, though it is stored as NULL.
    if column.required and column.type not in (LogicalType.COUNTRY, LogicalType.CURRENCY):
        yield "missing_required", called, f'"{value}" IS NULL', {value}
    if column.values:
        known = ", ".join(map(_text, column.values))
        yield "unseen_values", f"{called} || '=' || substr(\"{value}\", 1, {VALUE_SHOWN})", f'"{value}" NOT IN ({known})', {value}
    if column.type is LogicalType.MONEY:
        currency = f"{name}_currency"
        odd = f'"{value}" IS NOT NULL AND "{name}" IS NULL'
        yield "unknown_currencies", f"{called} || '=' || coalesce(\"{currency}\", 'none')", odd, {value, name, currency}


def drift_names(tally: Tally, answer: Answer) -> list[str]:
    """The findings of a drift tally, each by its path in the record."""
    if tally.metric != UNKNOWN_FIELDS:
        return answer.examples.split(", ") if answer.examples else []
    decoder, at, fields = json.JSONDecoder(), 0, dict[str, None]()
    while at < len(answer.examples):
        names, at = decoder.raw_decode(answer.examples, at)
        fields |= dict.fromkeys(names)
        at += len(", ")
    return [".".join(part for part in (tally.path, name) if part) for name in fields]


def _line(shown: str) -> str:
    return f"replace(CAST({shown} AS VARCHAR), chr(10), ' ')"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def reference_tallies(reference: Reference, table: Table, target: Table) -> Iterator[Tally]:
    """Live rows whose reference leads nowhere, in companies whose targets were read to the end at least once."""
    dangling = (
        f"SELECT {_name('one', table)} AS shown FROM {_relation(table.name)} AS one "
        f'LEFT JOIN {_relation(target.name)} AS other ON other.id = one."{reference.column}" '
        f"JOIN (SELECT company_id AS company, min(started_at) AS since FROM {SWEEPS} "
        f"WHERE stream = '{target.stream}' AND status = 'complete' GROUP BY company_id) AS loaded ON loaded.company = one.{table.company_column} "
        f'WHERE one._deleted_at IS NULL AND one."{reference.column}" IS NOT NULL AND other.id IS NULL'
    )
    if reference.may_predate is None:
        yield Tally(f"{reference.column}_unknown", dangling, fails=not reference.optional)
        return
    time = f'one."{reference.may_predate}"'
    yield Tally(f"{reference.column}_unknown", f"{dangling} AND {time} >= loaded.since")
    yield Tally(f"{reference.column}_unknown_before_first_sync", f"{dangling} AND {time} < loaded.since", fails=False)


def sum_tally(relation: AddsUp, table: Table) -> Tally:
    """Wholes that differ from the sum of their live parts; an amount that Pleo left out on either side is not compared."""
    differs, grouped = [], []
    for part_money, whole_money in relation.money:
        part, part_currency = f"part.{part_money}_{relation.unit}", f"part.{part_money}_currency"
        whole, currency = f"whole.{whole_money}_{relation.unit}", f"whole.{whole_money}_currency"
        grouped += [whole, currency]
        differs.append(
            f"({whole} IS NOT NULL AND count({part}) = count(*) AND (sum({part}) <> {whole} "
            f"OR min({part_currency}) <> {currency} OR max({part_currency}) <> {currency}))"
        )
    return Tally(
        f"{_record(relation.whole)}_that_differ",
        f"SELECT CAST(whole.id AS VARCHAR) AS shown FROM {_relation(relation.whole)} AS whole "
        f"JOIN {_relation(table.name)} AS part ON part.{table.parent_key[0]} = whole.id "
        "WHERE whole._deleted_at IS NULL AND part._deleted_at IS NULL "
        f"GROUP BY whole.id, {', '.join(grouped)} HAVING {' OR '.join(differs)}",
    )


def tax_tally(relation: NetAndTax, table: Table) -> Tally:
    """Live lines that are not net plus tax; no tax counts as none, an amount that was left out is not compared."""
    differs = []
    for line, net, tax in relation.money:
        total = f"{net}_value + coalesce({tax}_value, 0)"
        differs.append(
            f"({line}_value <> {total} AND NOT (coalesce({relation.tax_type}, '') = 'reverse' AND {line}_value = {net}_value))"
            f" OR {line}_currency <> {net}_currency OR {line}_currency <> {tax}_currency"
        )
    return Tally(
        "lines_that_differ",
        f"SELECT {_name('one', table)} AS shown FROM {_relation(table.name)} AS one WHERE one._deleted_at IS NULL AND ({' OR '.join(differs)})",
    )


def count_tally(relation: Counts, table: Table) -> Tally:
    """Rows in a final state whose parts are not as many as they say, where parts were loaded for the company."""
    final = ", ".join(f"'{status}'" for status in relation.final)
    company = table.company_column
    return Tally(
        f"{_record(table.name)}_that_differ",
        f"SELECT CAST(one.id AS VARCHAR) AS shown FROM {_relation(table.name)} AS one LEFT JOIN "
        f"(SELECT {relation.parts_column} AS owner, count(*) AS parts FROM {_relation(relation.parts)} "
        f"WHERE _deleted_at IS NULL GROUP BY {relation.parts_column}) AS counts ON counts.owner = one.id "
        f"WHERE one._deleted_at IS NULL AND one.{relation.status} IN ({final}) AND one.{relation.column} <> coalesce(counts.parts, 0) "
        f"AND EXISTS (SELECT 1 FROM {_relation(relation.parts)} AS any_part JOIN {_relation(table.name)} AS sibling "
        f"ON sibling.id = any_part.{relation.parts_column} WHERE sibling.{company} = one.{company})",
    )


def value_tally(relation: KnownValues, table: Table) -> Tally:
    """Live rows with another value; named by the value too, which is a word of Pleo's and no content."""
    column, known = f'one."{relation.column}"', ", ".join(f"'{value}'" for value in relation.values)
    return Tally(
        f"unknown_{relation.column}",
        f"SELECT coalesce(substr({column}, 1, 60), 'none') || ' / ' || {_name('one', table)} AS shown FROM {_relation(table.name)} AS one "
        f"WHERE one._deleted_at IS NULL AND coalesce({column}, '') NOT IN ({known})",
    )


def total_tally(stream: Stream) -> Tally:
    """Spans whose newest complete sweep read another number of rows than Pleo reported, named by the sweep."""
    return Tally(
        "sweeps_that_differ",
        "SELECT sweep_id AS shown FROM (SELECT sweep_id, rows_reported, rows_served, floor_at, row_number() OVER "
        "(PARTITION BY company_id, span_start, span_end, parent_id ORDER BY started_at DESC) AS age "
        f"FROM {SWEEPS} WHERE stream = '{stream.name}' AND status = 'complete') AS sweeps "
        "WHERE age = 1 AND floor_at IS NULL AND rows_reported <> rows_served",
    )


def freshness_tally(stream: Stream, limit: timedelta, now: datetime) -> Tally:
    """Companies of which no sweep of the stream was completed within the limit; the stream itself where it has no companies."""
    since = f"CAST('{(now - limit).astimezone(UTC).isoformat()}' AS TIMESTAMP WITH TIME ZONE)"
    recent = f"SELECT 1 FROM {SWEEPS} AS sweep WHERE sweep.stream = '{stream.name}' AND sweep.status = 'complete' AND sweep.finished_at >= {since}"
    if stream.company_in in (CompanyIn.NOWHERE, CompanyIn.CREDENTIAL):
        return Tally("streams_not_read", f"SELECT '{stream.name}' AS shown WHERE NOT EXISTS ({recent})")
    companies = _relation("companies")
    return Tally(
        "companies_not_read",
        "SELECT CAST(known.id AS VARCHAR) AS shown FROM "
        f"(SELECT id FROM {companies} UNION SELECT company_id FROM {SWEEPS} WHERE stream = '{stream.name}') AS known "
        f"WHERE known.id IS NOT NULL AND NOT EXISTS ({recent} AND sweep.company_id = known.id) "
        f"AND NOT EXISTS (SELECT 1 FROM {companies} AS gone WHERE gone.id = known.id AND gone._deleted_at IS NOT NULL)",
    )


def _name(alias: str, table: Table) -> str:
    return " || ' / ' || ".join(f'CAST({alias}."{column}" AS VARCHAR)' for column in table.key)


def _record(table: str) -> str:
    """`accounting_entries` -> `entries`: the last word, as a person counts them."""
    return table.rsplit("_", 1)[-1]


def _relation(table: str) -> str:
    return f'{{schema}}."{table}"'
