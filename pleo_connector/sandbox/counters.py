"""What the sandbox saw and did, in numbers: the judges of the tests."""

from __future__ import annotations

from collections import Counter
from typing import Any


class Counters:
    """Plain counts since the start, or since the last reset."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Everything back to nothing."""
        self.requests = 0
        self.by_path: Counter[str] = Counter()
        self.by_status: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()
        self.token_requests = 0
        self.logins = 0
        self.refreshes = 0
        self.late_refreshes = 0  # whose access token had ended before
        self.reuse = 0
        self.revoked_grants = 0
        self.responses_429 = 0
        self.sent_before_retry_after = 0
        self.records_served = 0

    def answered(self, status: int) -> None:
        """One answer left with this status."""
        self.by_status[str(status)] += 1
        if status == 429:  # noqa: PLR2004 - HTTP's number for too many requests
            self.responses_429 += 1

    def as_json(self) -> dict[str, Any]:
        """All counts as plain JSON."""
        return {
            "requests": self.requests,
            "by_path": dict(self.by_path),
            "by_status": dict(self.by_status),
            "faults": dict(self.faults),
            "token_requests": self.token_requests,
            "logins": self.logins,
            "refreshes": self.refreshes,
            "late_refreshes": self.late_refreshes,
            "reuse": self.reuse,
            "revoked_grants": self.revoked_grants,
            "responses_429": self.responses_429,
            "sent_before_retry_after": self.sent_before_retry_after,
            "records_served": self.records_served,
        }
