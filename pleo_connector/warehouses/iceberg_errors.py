"""From errors of PyIceberg, Arrow, the catalogue's database or the file system to errors of the connector."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pyarrow as pa
from pyiceberg.exceptions import (
    AuthorizationExpiredError,
    BadRequestError,
    CommitFailedException,
    CommitStateUnknownException,
    ForbiddenError,
    NoSuchTableError,
    NotInstalledError,
    RESTError,
    ServerError,
    UnauthorizedError,
    ValidationError,
)
from requests import RequestException
from sqlalchemy.exc import SQLAlchemyError

from pleo_connector.errors import WarehouseError, WarehouseUnwritable

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

_LIBRARY_ERRORS = (
    AuthorizationExpiredError, BadRequestError, CommitFailedException, CommitStateUnknownException, ForbiddenError, NoSuchTableError,
    NotInstalledError, RESTError, ServerError, UnauthorizedError, ValidationError, RequestException, SQLAlchemyError, pa.ArrowException, OSError,
)  # fmt: skip
"""PyIceberg's exceptions have no root of their own."""


@contextmanager
def refusing(location: str) -> Iterator[None]:
    """Errors of the libraries below come out as WarehouseError."""
    try:
        yield
    except _LIBRARY_ERRORS as error:
        raise refusal(location, error) from error


def refusal(location: str, error: Exception) -> WarehouseError:
    """Our error for theirs."""
    text = " ".join(str(getattr(error, "orig", None) or error).split())
    where = f"The warehouse {location}"
    for matches, sentence in _UNWRITABLE:
        if matches(error, text):
            return WarehouseUnwritable(f"{where} {sentence}")
    if isinstance(error, CommitFailedException):
        return WarehouseError(f"{where} was changed by another program during this load, so nothing of it was kept; run again.")
    if isinstance(error, (UnauthorizedError, AuthorizationExpiredError, ForbiddenError)):
        return WarehouseError(f"{where} refused the credentials ({text}); check the catalogue's properties in PyIceberg's configuration.")
    if isinstance(error, RequestException):
        return WarehouseError(f"{where} cannot be reached ({type(error).__name__}); check the address, then run again.")
    return WarehouseError(f"{where} refused: {text}")


_UNWRITABLE: tuple[tuple[Callable[[Exception, str], bool], str], ...] = (
    (
        lambda error, text: (isinstance(error, OSError) and error.errno in _FULL) or "No space left" in text or "disk is full" in text,
        "cannot grow: the disk is full or a size limit is reached; nothing of this load was kept: free some space, then run again.",
    ),
    (
        lambda error, text: isinstance(error, PermissionError) or "readonly database" in text or "unable to open database" in text,
        "cannot be written: permission denied, or read-only; give this user write access to the folder and its files, or set PLEO_WAREHOUSE to another place.",
    ),
    (
        lambda error, _: isinstance(error, (FileExistsError, NotADirectoryError)),
        "cannot be made: what should be its folder is a file; set PLEO_WAREHOUSE to another place.",
    ),
    (
        lambda error, text: isinstance(error, FileNotFoundError) and ".parquet" not in text and ".avro" not in text,
        "cannot be made: neither its folder nor the folder above exists; create the folder, or set PLEO_WAREHOUSE to another place.",
    ),
    (
        lambda _, text: "file is not a database" in text or "malformed" in text,
        "has a catalogue file that is no SQLite database, or is damaged; it was left as it was: move it away, or set PLEO_WAREHOUSE to another folder.",
    ),
)
"""A condition for the error, and the end of our sentence."""
