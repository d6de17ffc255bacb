"""Writes a DuckDB file anew: DuckDB reuses the space that changed rows leave, and never gives it back to the disk.

The copy is made in the warehouse's turn and takes the place of the file in one step, and only where it holds the same objects with the
same comments and row counts: the file may hold tables, views, macros and indexes of its users too.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import duckdb

from pleo_connector.errors import WarehouseError, WarehouseUnwritable

_COPY = "_pleo_compacted"
"""What the copy is called while it is made, in DuckDB and in the file's name."""

_ROW_GROUP = 30_720
"""Rows: a quarter of DuckDB's default, since a row of `_raw_pages` may be a hundred kilobytes."""

_WORTH = 0.9
"""A copy that is larger than this part of the file does not take its place."""

_OBJECTS = (
    "SELECT 'table', schema_name, table_name, comment, sql FROM duckdb_tables() WHERE database_name = $1",
    "SELECT 'view', schema_name, view_name, comment, sql FROM duckdb_views() WHERE database_name = $1 AND NOT internal",
    "SELECT 'column', schema_name, table_name || '.' || column_name, comment, data_type FROM duckdb_columns() WHERE database_name = $1 AND NOT internal",
    "SELECT 'index', schema_name, index_name, comment, sql FROM duckdb_indexes() WHERE database_name = $1",
    "SELECT 'macro', schema_name, function_name, comment, macro_definition FROM duckdb_functions() WHERE database_name = $1 AND NOT internal",
    "SELECT 'sequence', schema_name, sequence_name, comment, sql FROM duckdb_sequences() WHERE database_name = $1",
    "SELECT 'type', schema_name, type_name, comment, labels::VARCHAR FROM duckdb_types() WHERE database_name = $1 AND NOT internal",
    "SELECT 'constraint', schema_name, table_name, constraint_text, '' FROM duckdb_constraints() WHERE database_name = $1",
    "SELECT 'schema', schema_name, '', comment, '' FROM duckdb_schemas() WHERE database_name = $1 AND NOT internal",
)
"""Kind, schema, name, comment and definition of all that a database holds."""


@dataclass(frozen=True, slots=True)
class Compacted:
    """Bytes of the file before and after; the same where it was not worth a copy."""

    bytes_before: int
    bytes_after: int


def compact(connection: duckdb.DuckDBPyConnection, path: Path) -> Compacted:
    """Write the file at `path` anew, which `connection` has as its current database and no other connection has open; outside a transaction.

    duckdb.Error as DuckDB raises it; WarehouseError when the copy differs, WarehouseUnwritable when it cannot take the file's place. The file
    is then as it was.
    """
    path = path.resolve()
    copy = path.with_name(f".{path.name}.{_COPY}")
    try:
        _remove(copy)  # of a process that was killed
        connection.execute("CHECKPOINT")
        before = path.stat().st_size
        _write(connection, copy)
        after = copy.stat().st_size
        if after > before * _WORTH:
            return Compacted(before, before)
        shutil.copystat(path, copy)
        _same_owner(path, copy)
        with copy.open("rb+") as written:
            os.fsync(written.fileno())
        copy.replace(path)  # before the file is closed: who opens it now gets the new one
        return Compacted(before, after)
    except OSError as error:
        raise WarehouseUnwritable(
            f"The warehouse {path} could not be compacted ({error.strerror or error}) and is as it was; "
            "give this user write access to its folder and free some space there, then run again."
        ) from error
    finally:
        with suppress(OSError):
            _remove(copy)


def _write(connection: duckdb.DuckDBPyConnection, copy: Path) -> None:
    """Fill the new file; WarehouseError when it is not the same."""
    ((source, version),) = connection.execute(
        "SELECT database_name, tags['storage_version'] FROM duckdb_databases() WHERE database_name = current_database()"
    ).fetchall()
    storage = f", STORAGE_VERSION '{str(version).rstrip('+')}'" if version else ""
    quoted_path, quoted = str(copy).replace("'", "''"), '"' + str(source).replace('"', '""') + '"'
    connection.execute(f"ATTACH '{quoted_path}' AS {_COPY} (ROW_GROUP_SIZE {_ROW_GROUP}{storage})")
    try:
        connection.execute(f"COPY FROM DATABASE {quoted} TO {_COPY}")
        connection.execute(f"CHECKPOINT {_COPY}")
        if different := sorted(_contents(connection, str(source)) ^ _contents(connection, _COPY)):
            kind, schema, name = different[0][:3]
            raise WarehouseError(
                f"The warehouse {copy.parent} was not compacted: its {kind} {schema}.{name} would not be the same in the new file ({len(different)} differences in all); "
                "the file is as it was. Report this, with the statement that made it."
            )
    finally:
        connection.execute(f"DETACH {_COPY}")


def _contents(connection: duckdb.DuckDBPyConnection, database: str) -> set[tuple[str, ...]]:
    """All objects of a database, and the row count of each table."""
    objects = {tuple(map(str, row)) for query in _OBJECTS for row in connection.execute(query, [database]).fetchall()}
    for kind, schema, name, *_ in list(objects):
        if kind == "table":
            relation = ".".join('"' + part.replace('"', '""') + '"' for part in (database, schema, name))
            ((rows,),) = connection.execute(f"SELECT count(*) FROM {relation}").fetchall()
            objects.add(("row count of table", schema, name, str(rows)))
    return objects


def _same_owner(path: Path, copy: Path) -> None:
    """Give the copy the file's owner and group; PermissionError for who may not, since others could then no longer open it."""
    owner, mine = path.stat(), copy.stat()
    if (owner.st_uid, owner.st_gid) != (mine.st_uid, mine.st_gid):
        os.chown(copy, owner.st_uid, owner.st_gid)


def _remove(copy: Path) -> None:
    for file in (copy, copy.with_name(f"{copy.name}.wal")):
        file.unlink(missing_ok=True)
