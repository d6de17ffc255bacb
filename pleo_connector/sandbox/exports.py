"""The life of export jobs: pending, in progress, an end; after an hour by the sandbox's clock they expire.

Export items can be read only while their job runs, as at Pleo: afterwards they are refused (422).
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence

from pleo_connector.errors import ConfigurationError
from pleo_connector.sandbox.query import Refused
from pleo_connector.sandbox.samples import Record
from pleo_connector.sandbox.store import Store
from pleo_connector.sandbox.times import SECOND, iso, nanoseconds

JOBS, JOB_ITEMS, ITEMS = "export_jobs", "export_job_items", "export_items"
OPEN = ("pending", "in_progress")
STATUSES = (*OPEN, "completed", "completed_with_errors", "failed")
LIFETIME = 3600.0

_ITEM_STATUS = {"pending": "pending", "in_progress": "in_progress", "completed": "successful", "failed": "abandoned"}
_STARTED, _ENDED, _EXPIRED = 60, 300, 3600
"""Seconds after its creation at which a job says that it was started, ended, or expired: fixed, so that runs repeat."""


class Exports:
    """Moves the jobs of one sandbox. Not thread-safe: callers hold the sandbox's lock."""

    def __init__(self, store: Store, clock: Callable[[], float]) -> None:
        self._store, self._clock = store, clock
        self._began: dict[str, float] = {}
        self._pages_left: dict[str, int] = {}
        self._started = 0
        self.without_contra_accounts: set[str] = set()
        """Companies whose export items cannot be made (400 MISSING_CONTRA_ACCOUNTS)."""
        self.tick()

    def tick(self) -> None:
        """Let every job expire whose hour is over; a job's hour begins when the sandbox first sees it open."""
        now = self._clock()
        for stored in list(self._store.kept(JOBS)):
            if stored.record["status"] in OPEN and now - self._began.setdefault(stored.record["id"], now) >= LIFETIME:
                self.move(stored.record["id"], "failed", expired=True)

    def start(self, company_id: str, entry_ids: Sequence[str], created_at: str) -> str:
        """A new pending job over entries that have an export item; returns its key."""
        lacking = [entry for entry in entry_ids if self._store.get(ITEMS, entry) is None]
        if lacking:
            raise ConfigurationError(f"The sandbox has no export item for the entries {', '.join(lacking)}; put them first.")
        self._started += 1
        job_id = str(uuid.UUID(bytes=uuid.uuid5(uuid.NAMESPACE_URL, f"export job {self._started}").bytes, version=4))
        self._store.put(JOBS, new_job(job_id, company_id, len(entry_ids), created_at))
        for entry in entry_ids:
            self._store.put(JOB_ITEMS, {"exportJobId": job_id, "accountingEntryId": entry, "status": "pending"})
        self.tick()
        return job_id

    def move(self, job_id: str, status: str, *, expired: bool = False) -> Record:
        """Put a job into a status, with the times and item states that belong to it; returns the job."""
        job = self._store.get(JOBS, job_id)
        if job is None or status not in STATUSES:
            raise ConfigurationError(f"The sandbox has no export job {job_id!r}, or {status!r} is none of {', '.join(STATUSES)}.")
        moved = moved_job(job, status, expired=expired)
        self._store.put(JOBS, moved)
        items = [stored.record for stored in self._store.kept(JOB_ITEMS) if stored.record["exportJobId"] == job_id]
        for place, item in enumerate(items):
            self._store.put(JOB_ITEMS, moved_item(item, moved, last=place == len(items) - 1))
        return moved

    def end_after(self, job_id: str, pages: int) -> None:
        """Let a job complete once so many pages of its export items were served; 0: as soon as they are asked for."""
        self._pages_left[job_id] = pages

    def served(self, job_id: str | None) -> None:
        """Count a page of export items."""
        if job_id is not None and job_id in self._pages_left:
            self._pages_left[job_id] -= 1
            if self._pages_left[job_id] <= 0:
                del self._pages_left[job_id]
                self.move(job_id, "completed")

    def readable(self, job_id: str | None, companies: frozenset[str]) -> frozenset[str]:
        """The entries whose export items may be read; Refused as Pleo refuses."""
        jobs = [stored.record for stored in self._store.kept(JOBS) if stored.record["companyId"] in companies]
        if job_id is not None:
            jobs = [job for job in jobs if job["id"] == job_id]
            if not jobs:
                raise Refused(404, "EXPORT_NOT_FOUND", "There is no such export job.")
            if self._pages_left.get(job_id) == 0:
                del self._pages_left[job_id]
                jobs = [self.move(job_id, "completed")]
            if jobs[0]["status"] not in OPEN:
                raise Refused(422, "EXPORT_JOB_STATUS_UNPROCESSABLE", "The export job has finished.")
        jobs = [job for job in jobs if job["status"] in OPEN]
        if any(job["companyId"] in self.without_contra_accounts for job in jobs):
            raise Refused(400, "MISSING_CONTRA_ACCOUNTS", "The company has no contra accounts.")
        keys = {job["id"] for job in jobs}
        return frozenset(item.record["accountingEntryId"] for item in self._store.kept(JOB_ITEMS) if item.record["exportJobId"] in keys)


def new_job(job_id: str, company_id: str, items: int, created_at: str) -> Record:
    """A pending job."""
    return {
        "id": job_id,
        "companyId": company_id,
        "status": "pending",
        "numberOfItems": items,
        "isInteractive": True,
        "vendorBasedBookkeeping": False,
        "expiresIn": int(LIFETIME),
        "createdBy": None,
        "createdAt": created_at,
        "startedAt": None,
        "completedAt": None,
        "expiredAt": None,
        "lastUpdatedAt": None,
        "failureReason": None,
        "failureReasonType": None,
    }


def moved_job(job: Record, status: str, *, expired: bool = False) -> Record:
    """The job as it is in another status; its times follow from its creation."""
    started, ended, over = (iso(nanoseconds(job["createdAt"]) + seconds * SECOND, 3) for seconds in (_STARTED, _ENDED, _EXPIRED))
    moved = job | {"status": status, "startedAt": None if status == "pending" else started, "lastUpdatedAt": started}
    if status in OPEN:
        return moved
    if expired:
        return moved | {
            "expiredAt": over,
            "completedAt": over,
            "lastUpdatedAt": over,
            "failureReasonType": "job_expired",
            "failureReason": "The job was not finished within its time.",
        }
    return moved | {"completedAt": ended, "lastUpdatedAt": ended}


def moved_item(item: Record, job: Record, *, last: bool) -> Record:
    """An item as the state of its job makes it; of a job with errors the last one failed."""
    status = job["status"]
    if status == "completed_with_errors":
        status = "failed" if last else "completed"
        item = item | {"failureReasonType": "account_unknown" if last else None}
        if last:
            return item | {"status": "failed", "failureReason": "The account is not known to the accounting system.", "exportedAt": None}
    moved = item | {"status": _ITEM_STATUS[status]}
    if status == "completed":
        moved |= {"exportedAt": job["completedAt"], "externalId": f"V-{item['accountingEntryId'][:8]}", "externalUrl": None}
    return moved
