"""A connection to a DuckDB file whose row groups are small, and which older DuckDBs can open.

A new file gets a storage version, which says how old a DuckDB may be that opens it: by itself, DuckDB 2 makes files that DuckDB 1.5 and
older refuse. A file that is there keeps the one it has; DuckDB can raise it, never lower it.

A checkpoint writes the last row group of every table anew, and with 122,880 rows (DuckDB's default) the last group of `_raw_pages`
grows to more than a gigabyte: the memory of a load grew with everything loaded before it. Only ATTACH can say another size.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import duckdb

from pleo_connector.errors import ConfigurationError

ROW_GROUP = 2048
"""Rows; the smallest that DuckDB takes. Files written with any size may be read and written with any other."""

_OPEN_HERE = re.compile(r"already attached|Unique file handle|with name .* already exists", re.IGNORECASE)
"""This process has the file open by itself, or the file bears the name of DuckDB's own `memory`."""


def connected(path: str, storage_version: str) -> tuple[duckdb.DuckDBPyConnection, bool]:
    """The file as the current database, and whether this connection alone has its DuckDB.

    Where it is missing it is made, with this storage version; ConfigurationError when DuckDB does not know that, else duckdb.Error as of `duckdb.connect`.
    A file that this process has open already is shared with that connection, in DuckDB's default row groups.
    """
    connection = duckdb.connect(":memory:", config={"max_vacuum_tasks": 1})  # a checkpoint merges row groups of a table once at most
    try:
        quoted = path.replace("'", "''")
        is_new = not Path(path).exists()
        options = f"ROW_GROUP_SIZE {ROW_GROUP}" + (f", STORAGE_VERSION '{storage_version}'" if is_new else "")
        connection.execute(f"ATTACH '{quoted}' ({options})")
        connection.execute(
            f"SET temp_directory = '{quoted}.tmp'"
        )  # beside the file, as of `duckdb.connect`, and not where the process stands
        ((name,),) = connection.execute("SELECT database_name FROM duckdb_databases() WHERE path IS NOT NULL AND NOT internal").fetchall()
        connection.execute('USE "' + str(name).replace('"', '""') + '"')
    except duckdb.Error as error:
        connection.close()
        if "not a known DuckDB version" in str(error):
            raise ConfigurationError(
                f"PLEO_STORAGE_VERSION is {storage_version}, which the DuckDB {duckdb.__version__} installed here does not know; "
                "set it to a release of DuckDB up to that one, such as v1.4.0, or to latest."
            ) from None
        if not _OPEN_HERE.search(str(error)):
            raise
        return duckdb.connect(path, config={"storage_compatibility_version": storage_version} if is_new else {}), False
    except BaseException:
        connection.close()
        raise
    return connection, True


def connected_to_motherduck(database: str) -> duckdb.DuckDBPyConnection:
    """The database of MotherDuck as the current one; ConfigurationError without a token, since its extension would wait for a person at a browser."""
    if not any(os.environ.get(name, "").strip() for name in ("motherduck_token", "MOTHERDUCK_TOKEN")):
        raise ConfigurationError(
            f"PLEO_WAREHOUSE is {database}, and there is no token for MotherDuck; set the variable motherduck_token to one."
        )
    return duckdb.connect(database)
