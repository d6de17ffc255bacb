"""What a person can choose for one run, in Dagster's launchpad."""

from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING

import dagster as dg
from pydantic import ConfigDict, Field

from pleo_connector.errors import ConfigurationError

if TYPE_CHECKING:
    from pleo_connector.sync import SyncPlan


class ModeChoice(StrEnum):
    """Member names in small letters: the launchpad completes and takes the names."""

    incremental = "incremental"
    full = "full"


class PleoSyncConfig(dg.Config):
    """Settings of one run; as they are, they bring the tables up to date. `start` and `end` are `from` and `to` in the launchpad."""

    model_config = ConfigDict(populate_by_name=True)

    mode: ModeChoice = Field(
        default=ModeChoice.incremental,
        description="incremental reads the windows that are due; full reads every window again (unchanged rows are not written).",
    )
    start: str = Field(
        default="",
        alias="from",
        description="Read entries performed from this day on, such as 2026-01-01 (UTC). Other streams are read whole.",
    )
    end: str = Field(default="", alias="to", description="Read entries performed before this day (UTC); the day itself is not included.")
    companies: list[str] = Field(
        default=[], description="Companies to read, by key or exact name; none means all that the credential covers."
    )
    allow_mass_delete: bool = Field(
        default=False, description="Mark rows as deleted even if more than a fifth of a table is no longer served."
    )

    def plan(self, streams: tuple[str, ...]) -> "SyncPlan":
        """The sync of these streams; ConfigurationError for a day that is none."""
        from pleo_connector.sync import Mode, SyncPlan

        start, end = _moment("from", self.start), _moment("to", self.end)
        if start is not None and end is not None and start >= end:
            raise ConfigurationError(f"from ({self.start}) must be before to ({self.end}) in the run's configuration.")
        return SyncPlan(streams, Mode(self.mode.value), start, end, tuple(self.companies), self.allow_mass_delete)


def _moment(name: str, text: str) -> datetime | None:
    if not text.strip():
        return None
    try:
        moment = datetime.fromisoformat(text.strip())
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        raise ConfigurationError(f"{name} must be a day such as 2026-01-31 in the run's configuration, not {text!r}.") from None
