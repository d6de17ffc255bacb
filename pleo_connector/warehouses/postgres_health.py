"""The checks of a PostgreSQL server for `doctor`: version, encoding, rights, size. They write nothing and take no lock."""

from __future__ import annotations

from dataclasses import dataclass, field

from pleo_connector.warehouses.postgres import PostgresWarehouse

OLDEST = 130000
"""`server_version_num` of PostgreSQL 13."""

_QUERY = """
SELECT current_setting('server_version'), current_setting('server_version_num')::bigint, current_setting('server_encoding'),
  current_user::text, current_database()::text, pg_database_size(current_database()),
  pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
  has_database_privilege(current_database(), 'TEMPORARY'), has_database_privilege(current_database(), 'CREATE'),
  (SELECT has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE') FROM pg_namespace WHERE nspname = $1),
  (SELECT string_agg(c.relname::text, ', ' ORDER BY c.relname) FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
     WHERE n.nspname = $1 AND c.relkind = 'r' AND NOT pg_has_role(c.relowner, 'USAGE'))
"""


@dataclass(frozen=True, slots=True)
class Health:
    """The server in one line, and what would fail there: (what is wrong, what to do)."""

    summary: str
    faults: list[tuple[str, str]] = field(default_factory=list)


def examine(warehouse: PostgresWarehouse) -> Health:
    """Check the server, the database and the role's rights; PleoError when it cannot be reached."""
    with warehouse.session() as (_, work):
        ((version, number, encoding, role, database, size, read_only, temporary, create, schema, foreign),) = work.run(
            _QUERY, [warehouse.schema]
        )
    quoted = f'"{role}"'
    faults = []
    if number < OLDEST:
        faults.append((f"PostgreSQL {version} is too old", "use version 13 or later"))
    if encoding != "UTF8":
        faults.append(
            (
                f"the database {database} has the encoding {encoding}",
                f"create one with ENCODING 'UTF8' (not every note fits into {encoding})",
            )
        )
    if read_only:
        faults.append(("the server is read-only, perhaps a standby", "set PLEO_WAREHOUSE to the primary"))
    if not temporary:
        faults.append((f"{role} may not make temporary tables", f"GRANT TEMPORARY ON DATABASE {database} TO {quoted}"))
    if schema is None and not create:
        faults.append(
            (
                f"the schema {warehouse.schema} does not exist and {role} may not create it",
                f"CREATE SCHEMA {warehouse.schema} AUTHORIZATION {quoted}",
            )
        )
    if schema is False:
        faults.append(
            (
                f"{role} may not create tables in the schema {warehouse.schema}",
                f"GRANT USAGE, CREATE ON SCHEMA {warehouse.schema} TO {quoted}",
            )
        )
    if foreign:
        faults.append(
            (
                f"tables in the schema {warehouse.schema} belong to another role ({foreign})",
                f"ALTER TABLE ... OWNER TO {quoted}, or set PLEO_SCHEMA to another schema",
            )
        )
    state = "exists" if schema is not None else "does not exist yet; the first sync makes it"
    return Health(f"PostgreSQL {version}, {warehouse.location}, {size / 1e6:,.1f} MB, schema {warehouse.schema} {state}", faults)
