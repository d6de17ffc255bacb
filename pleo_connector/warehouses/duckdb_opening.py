"""A connection to a DuckDB file whose row groups are small.

A checkpoint writes the last row group of every table anew, and with 122,880 rows (DuckDB's default) the last group of `_raw_pages`
grows to more than a gigabyte: the memory of a load grew with everything loaded before it. Only ATTACH can say another size.
"""

from __future__ import annotations

import re

import duckdb

ROW_GROUP = 2048
"""Rows; the smallest that DuckDB takes. Files written with any size may be read and written with any other."""

_OPEN_HERE = re.compile(r"already attached|Unique file handle|with name .* already exists", re.IGNORECASE)
"""This process has the file open by itself, or the file bears the name of DuckDB's own `memory`."""


def connected(path: str) -> tuple[duckdb.DuckDBPyConnection, bool]:
    """The file, made where it is missing, as the current database, and whether nobody else shares its DuckDB; duckdb.Error as of `duckdb.connect`.

    A file that this process has open already is shared with that connection, in DuckDB's default row groups.
    """
    connection = duckdb.connect(":memory:")
    try:
        quoted = path.replace("'", "''")
        connection.execute(f"ATTACH '{quoted}' (ROW_GROUP_SIZE {ROW_GROUP})")
        connection.execute(
            f"SET temp_directory = '{quoted}.tmp'"
        )  # beside the file, as of `duckdb.connect`, and not where the process stands
        ((name,),) = connection.execute("SELECT database_name FROM duckdb_databases() WHERE path IS NOT NULL AND NOT internal").fetchall()
        connection.execute('USE "' + str(name).replace('"', '""') + '"')
    except duckdb.Error as error:
        connection.close()
        if not _OPEN_HERE.search(str(error)):
            raise
        return duckdb.connect(path), False
    except BaseException:
        connection.close()
        raise
    return connection, True
