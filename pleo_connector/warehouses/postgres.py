"""The PostgreSQL warehouse: one connection per transaction, opened for the load and closed after it.

Writers of one schema take turns by an advisory lock, which the server frees when its holder ends or dies. No state
stays in the session, so a pooler in transaction mode works too.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic, sleep
from typing import Any

from adbc_driver_postgresql import dbapi
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

from pleo_connector.catalogue import Table, View
from pleo_connector.errors import WarehouseLocked
from pleo_connector.warehouses.postgres_dialect import POSTGRES
from pleo_connector.warehouses.postgres_errors import DriverError, busy, gone, refusal, state_of, unreachable
from pleo_connector.warehouses.postgres_transaction import PostgresTransaction
from pleo_connector.warehouses.postgres_url import Address
from pleo_connector.warehouses.protocol import Transaction

_LOCK = 0x504C454F
"""First key of our advisory locks: the letters PLEO. The second is the schema's checksum."""

_SETTINGS = {
    "TimeZone": "UTC",
    "DateStyle": "ISO",
    "client_min_messages": "warning",
    "standard_conforming_strings": "on",
    "search_path": "pg_catalog, pg_temp",
    "jit": "off",
}
"""For the transaction alone: text means the same on every server, names are never looked up elsewhere."""

_SETTLE = "SELECT " + ", ".join(
    f"set_config({POSTGRES.literal(name)}, {POSTGRES.literal(value)}, true)" for name, value in _SETTINGS.items()
)

_HOLDER = (
    "SELECT a.application_name, a.pid, a.usename FROM pg_locks AS l JOIN pg_stat_activity AS a USING (pid) "
    "WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 2 AND l.classid = $1::bigint::oid AND l.objid = $2::bigint::oid "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)


class PostgresWarehouse:
    """Tables in one schema of a PostgreSQL database; `wait` is how many seconds a transaction waits for its turn."""

    kind = "postgres"
    has_views = True

    def __init__(self, address: Address, schema: str, *, wait: float = 60.0, pause: Callable[[float], None] = sleep) -> None:
        self._address = address
        self.schema = schema
        self._wait = wait
        self._pause = pause
        self._has_answered = False
        self.location = address.location

    def __reduce__(self) -> str:
        raise TypeError("a warehouse may hold a password, and is not pickled")

    def __repr__(self) -> str:
        return f"PostgresWarehouse({self.location!r}, {self.schema!r})"

    def relation(self, table: Table | View) -> str:
        """`schema.table`, quoted where PostgreSQL needs it."""
        return ".".join(POSTGRES.shown(name) for name in (self.schema, table.name))

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Connect, take the turn; commit at the end, roll back on any error, and always close."""
        deadline = monotonic() + self._wait
        with self.session(deadline) as (connection, work):
            self._take_turn(connection, work, deadline)
            yield work
            work.commit()

    @contextmanager
    def session(self, deadline: float | None = None) -> Iterator[tuple[Any, PostgresTransaction]]:
        """A connection with our settings and without the lock, for checks; nothing is committed."""
        connection = self._open(monotonic() if deadline is None else deadline)
        try:
            work = PostgresTransaction(connection, self.schema, self.location)
            work.run(_SETTLE)
            yield connection, work
        finally:
            # closing ends what is still open there; after a broken connection even this may be refused
            with suppress(DriverError):
                connection.rollback()
            with suppress(DriverError):
                connection.close()

    def _open(self, deadline: float) -> Any:
        """Connect; wait until the deadline for a server that starts up, or that answered before and restarts."""
        tries = Retrying(
            retry=retry_if_exception(lambda error: busy(error) or (self._has_answered and gone(error))),
            stop=stop_after_delay(max(0.0, deadline - monotonic())),
            wait=wait_random_exponential(multiplier=0.1, max=1.0),
            sleep=self._pause,
            reraise=True,
        )
        try:
            connection = tries(dbapi.connect, self._address.uri)
        except DriverError as error:
            refused = unreachable(self.location, error)
            raise type(refused)(self._address.scrubbed(str(refused))) from None  # libpq's own words may hold more than ours
        self._has_answered = True
        return connection

    def _take_turn(self, connection: Any, work: PostgresTransaction, deadline: float) -> None:
        """Hold the advisory lock of the schema until the transaction ends; WarehouseLocked names who has it."""
        first, second = _LOCK, zlib.crc32(self.schema.encode())
        signed = [key - (1 << 32) if key >= 1 << 31 else key for key in (first, second)]
        if work.run("SELECT pg_try_advisory_xact_lock($1::int, $2::int)", signed)[0][0]:
            return
        ((lock_timeout, statement_timeout),) = work.run("SELECT current_setting('lock_timeout'), current_setting('statement_timeout')")
        left = max(1, int(1000 * (deadline - monotonic())))
        limit = "SELECT set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)"
        work.run(limit, [f"{left}ms", "0"])
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock($1::int, $2::int)", signed)
                cursor.fetchall()
        except DriverError as error:
            if state_of(error) != "55P03":
                raise refusal(self.location, error) from error
            connection.rollback()
            holder = next(
                (f"{name or 'a session'} (server process {pid}, user {user})" for name, pid, user in work.run(_HOLDER, [first, second])),
                "another session",
            )
            raise WarehouseLocked(
                f"The schema {self.schema} in {self.location} is being written by {holder}, and still was after {self._wait:g} s; "
                "wait for it to finish or stop it, then run again."
            ) from None
        work.run(limit, [lock_timeout, statement_timeout])
