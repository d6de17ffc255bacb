"""The table of receipt files, and which receipts have none yet."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pleo_connector.catalogue import Field, Storage, Stream, Table
from pleo_connector.sync.receipt_folder import StoredFile
from pleo_connector.sync.state import frame_of
from pleo_connector.warehouses import Transaction

RECEIPT_FILES = Table(
    "receipt_files",
    "Files of receipts that were fetched, or why not; one row per receipt that was tried. Made only where fetching is switched on.",
    (
        Field("receipt_id", Storage.UUID, "Receipt, in receipts.id."),
        Field("company_id", Storage.UUID, "Company of the receipt."),
        Field("path", Storage.TEXT, "Where the file is, below the folder that the options name; NULL when there is none."),
        Field("content_type", Storage.TEXT, "Format of the file."),
        Field("size_in_bytes", Storage.BIGINT, "Size of the file as it was fetched."),
        Field("sha256", Storage.TEXT, "Fingerprint (SHA-256) of the file."),
        Field("fetched_at", Storage.TIMESTAMP, "When it was fetched."),
        Field("removed_at", Storage.TIMESTAMP, "When it was removed because its receipt was deleted; NULL else."),
        Field(
            "failure",
            Storage.TEXT,
            "Why the last try brought no file: expired, refused, too large, gone, network, or not served (Pleo gave no link); NULL when it did.",
        ),
        Field("tries", Storage.BIGINT, "How often it was tried."),
        Field("tried_at", Storage.TIMESTAMP, "When it was tried last."),
    ),
    ("receipt_id",),
    "state",
)

NOT_SERVED = "not served"
_LASTING = frozenset({"too large", "gone", "refused", NOT_SERVED})
_REST = timedelta(days=7)
"""After which a receipt that failed for a lasting reason is tried again."""
_LONG_AGO = datetime.fromtimestamp(0, UTC)
ORIGINAL = "ORIGINAL"


@dataclass(frozen=True, slots=True)
class Wanted:
    """A receipt whose file is not there yet."""

    receipt_id: str
    company_id: str
    entry_id: str
    mime_type: str | None
    tries: int = 0
    failure: str | None = None
    resting: bool = False
    """It failed for a reason that lasts, not long ago: not worth a request now."""


def wanted(transaction: Transaction, stream: Stream, companies: Sequence[str], now: datetime) -> list[Wanted]:
    """Living receipts of the companies without a file: those never tried first, the newest of them first, then by their last try."""
    columns = ("receipt_id", "path", "failure", "tries", "tried_at")
    files = transaction.read(RECEIPT_FILES, columns, company_id=list(companies))
    there = pc.is_valid(files["path"])
    tried = {row["receipt_id"]: row for row in files.filter(pc.invert(there)).to_pylist()}
    owner = stream.tables()[0].company_column or "_company_id"
    columns = ("id", owner, "accounting_entry_id", "mime_type", "created_at")
    receipts = transaction.read(stream.tables()[0], columns, _deleted_at=None, file_type=ORIGINAL, **{owner: list(companies)})
    receipts = receipts.filter(pc.is_valid(receipts["accounting_entry_id"]))
    ranked = []
    for row in _without(receipts, "id", files.filter(there), "receipt_id").to_pylist():
        before = tried.get(row["id"], {})
        last = before.get("tried_at")
        resting = last is not None and before["failure"] in _LASTING and now - last < _REST
        one = Wanted(
            row["id"],
            row[owner],
            row["accounting_entry_id"],
            row["mime_type"],
            before.get("tries") or 0,
            before.get("failure"),
            resting,
        )
        ranked.append((last is not None, last.timestamp() if last else -(row["created_at"] or _LONG_AGO).timestamp(), one.receipt_id, one))
    return [one for *_, one in sorted(ranked, key=lambda key: key[:3])]


def of_deleted(transaction: Transaction, stream: Stream, companies: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of RECEIPT_FILES with a file whose receipt is deleted."""
    table = stream.tables()[0]
    files = transaction.read(RECEIPT_FILES, company_id=list(companies))
    living = transaction.read(table, ("id",), _deleted_at=None)
    rows: list[dict[str, Any]] = _without(files.filter(pc.is_valid(files["path"])), "receipt_id", living, "id").to_pylist()
    return rows


def _without(rows: pa.Table, key: str, others: pa.Table, other_key: str) -> pa.Table:
    """The rows whose key is not among the others'; in no order."""
    return rows.join(others.select([other_key]), keys=key, right_keys=other_key, join_type="left anti")


def note(transaction: Transaction, outcomes: Iterable[tuple[Wanted, StoredFile | str]]) -> None:
    """One row for each try: the file, or why there is none."""
    rows = [_row(one, outcome) for one, outcome in outcomes]
    if rows:
        transaction.upsert(RECEIPT_FILES, frame_of(RECEIPT_FILES, rows))


def note_removed(transaction: Transaction, rows: Iterable[dict[str, Any]]) -> None:
    """The files of these rows are gone from the folder."""
    gone = [row | {"path": None, "removed_at": datetime.now(UTC)} for row in rows]
    if gone:
        transaction.upsert(RECEIPT_FILES, frame_of(RECEIPT_FILES, gone))


def _row(one: Wanted, outcome: StoredFile | str) -> dict[str, Any]:
    row: dict[str, Any] = {
        "receipt_id": one.receipt_id,
        "company_id": one.company_id,
        "tries": one.tries + 1,
        "tried_at": datetime.now(UTC),
    }
    if isinstance(outcome, StoredFile):
        return row | {
            "path": outcome.path,
            "content_type": outcome.content_type,
            "size_in_bytes": outcome.size,
            "sha256": outcome.sha256,
            "fetched_at": outcome.at,
        }
    return row | {"failure": outcome}
