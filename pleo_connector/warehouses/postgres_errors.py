"""From errors of PostgreSQL or libpq to errors of the connector: one sentence with what to do."""

from __future__ import annotations

import re

import adbc_driver_manager

from pleo_connector.errors import ConfigurationError, PleoError, WarehouseError, WarehouseLocked, WarehouseUnwritable

DriverError = adbc_driver_manager.Error

_GRANTS = "docs/warehouses.md lists what its role needs"
_AGAIN = "nothing of this load was kept; run again"

_BY_STATE: tuple[tuple[str, type[WarehouseError], str], ...] = (
    ("57014", WarehouseError, "ended a statement ({message}); nothing of this load was kept: raise statement_timeout for this role, or in PLEO_WAREHOUSE by ?options=-c%20statement_timeout%3D10min, then run again."),
    ("55P03", WarehouseLocked, "did not get a lock within lock_timeout ({message}); nothing of this load was kept: end the session that holds the table, or raise lock_timeout, then run again."),
    ("40P01", WarehouseLocked, f"ended this load to break a deadlock with another session; {_AGAIN}."),
    ("25P03", WarehouseError, f"ended this session because it was idle (idle_in_transaction_session_timeout); {_AGAIN} with a longer timeout for this role."),
    ("42501", WarehouseUnwritable, f"refused: {{message}}; {_GRANTS}."),
    ("25006", WarehouseUnwritable, "is read-only, perhaps a standby; set PLEO_WAREHOUSE to the primary, for example with ?target_session_attrs=read-write."),
    ("53100", WarehouseUnwritable, "cannot grow: its disk is full; nothing of this load was kept: free some space, then run again."),
    ("53300", WarehouseUnwritable, "takes no more connections ({message}); close some, or raise max_connections, then run again."),
    ("57P0", WarehouseUnwritable, f"shut down or restarted meanwhile ({{message}}); {_AGAIN} when it is back."),
    ("22P05", WarehouseError, "cannot store a character ({message}); the database must have the encoding UTF8."),
)  # fmt: skip
"""SQLSTATE prefix, class of our error, and the end of its sentence."""

_AT_CONNECTING: tuple[tuple[str, type[PleoError], str], ...] = (
    (r"password authentication failed|no password supplied|authentication failed|SCRAM|empty password",
     WarehouseUnwritable, "refused the user or the password; put the right ones into PLEO_WAREHOUSE, or the password into PGPASSWORD or ~/.pgpass."),
    (r'database ".*" does not exist', WarehouseUnwritable, "does not exist; create the database, or correct its name in PLEO_WAREHOUSE."),
    (r'role ".*" does not exist', WarehouseUnwritable, "does not know this user; create the role, or correct it in PLEO_WAREHOUSE."),
    (r"not permitted to log in", WarehouseUnwritable, "does not let this role log in; ALTER ROLE ... LOGIN, or use another one."),
    (r"permission denied for database", WarehouseUnwritable, f"does not let this role connect (CONNECT is missing); {_GRANTS}."),
    (r"no pg_hba.conf entry|pg_hba.conf rejects", WarehouseUnwritable,
     "allows no connection from this address with this user, database and encryption; add a line to its pg_hba.conf, or try another sslmode."),
    (r"invalid (URI|sslmode|connection option|port|integer value|target_session_attrs|[a-z_]+ value)|missing .* in URI|missing \"=\"|unexpected (character|spaces)",
     ConfigurationError, "cannot be used as PLEO_WAREHOUSE says: {message}."),
    (r"too many clients|too many connections|remaining connection slots", WarehouseUnwritable,
     "takes no more connections; close some, or raise max_connections, then run again."),
    (r"starting up|shutting down|in recovery mode|not yet accepting", WarehouseUnwritable, "is not ready ({message}); run again in a moment."),
    (r"does not support SSL|SSL was required", WarehouseUnwritable, "offers no TLS, and sslmode requires it; switch it on at the server, or choose another sslmode."),
    (r"certificate|root\.crt|SSL error|tls", WarehouseUnwritable, "failed the check of its TLS certificate ({message}); set sslrootcert to its authority's certificate, or choose another sslmode."),
    (r"could not translate host name|Name or service not known|nodename nor servname", WarehouseUnwritable,
     "cannot be found: no host has that name; correct it in PLEO_WAREHOUSE."),
    (r"Connection refused|No such file or directory|timeout expired|timed out|No route to host|unreachable", WarehouseUnwritable,
     "cannot be reached ({message}); check that the server runs, and host and port in PLEO_WAREHOUSE."),
    (r"read-only|not read-only|hot standby|not in hot standby", WarehouseUnwritable, "is not the kind of server that target_session_attrs requires ({message}); name another server in PLEO_WAREHOUSE, or change that option."),
)  # fmt: skip

_NOT_READY = re.compile(
    r"starting up|shutting down|in recovery mode|not yet accepting|too many clients|too many connections|remaining connection slots"
)
_GONE = re.compile(r"Connection refused|No such file or directory|server closed the connection|Connection reset|timeout expired")


def state_of(error: BaseException) -> str:
    """The SQLSTATE, or empty when the server sent none."""
    return str(getattr(error, "sqlstate", None) or "")


def busy(error: BaseException) -> bool:
    """True when the server is there and will soon take connections."""
    return isinstance(error, DriverError) and bool(_NOT_READY.search(str(error)))


def gone(error: BaseException) -> bool:
    """True when no server answers, as during a restart."""
    return isinstance(error, DriverError) and bool(_GONE.search(str(error)))


def message_of(error: BaseException) -> str:
    """The primary message, without the statement that it was about."""
    for name, value in getattr(error, "details", None) or ():
        if name in (b"PG_DIAG_MESSAGE_PRIMARY", "PG_DIAG_MESSAGE_PRIMARY"):
            return _line(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))
    text = str(error).partition("\nQuery was:")[0]
    text = re.sub(r"\.? ?SQLSTATE: \w{5}$", "", text.strip())
    text = re.sub(r"^[A-Z_]+: (\[libpq\] )?", "", text)
    text = re.sub(r"^Failed to [a-z ]+: ", "", text)
    text = re.sub(r"^connection to server (at|on) .*? failed:\s+", "", text)
    text = re.sub(r"\n(LINE \d+:|DETAIL:|HINT:|CONTEXT:|\s+Is the server running).*", "", text, flags=re.DOTALL)
    return _line(re.sub(r"^(ERROR|FATAL):\s+", "", text))


def refusal(location: str, error: Exception) -> WarehouseError:
    """Our error for a statement that the server refused, or that it never answered."""
    message, state = message_of(error), state_of(error)
    for prefix, kind, sentence in _BY_STATE:
        if state.startswith(prefix):
            return kind(f"The warehouse {location} {sentence.format(message=message)}")
    if not state and re.search(r"server closed the connection|connection|SSL", str(error)):
        return WarehouseUnwritable(f"The connection to the warehouse {location} broke ({message}); {_AGAIN} when it is back.")
    return WarehouseError(f"The warehouse {location} refused: {message}.")


def unreachable(location: str, error: Exception) -> PleoError:
    """Our error for a connection that was not made."""
    message = message_of(error)
    for pattern, kind, sentence in _AT_CONNECTING:
        if re.search(pattern, str(error), re.IGNORECASE):
            return kind(f"The warehouse {location} {sentence.format(message=message)}")
    return WarehouseUnwritable(f"The warehouse {location} cannot be opened: {message}.")


def _line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
