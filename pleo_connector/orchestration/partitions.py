"""Months as partitions, for streams that are read by month: a backfill of a range is one run that reads this range."""

from datetime import UTC, datetime

import dagster as dg

from pleo_connector.errors import ConfigurationError
from pleo_connector.orchestration import failures
from pleo_connector.orchestration.launchpad import PleoSyncConfig

FIRST = "2015-01-01"
"""Pleo was founded in 2015: nothing is older."""

MONTHS = dg.MonthlyPartitionsDefinition(FIRST, end_offset=1)
"""Calendar months in UTC, the current one included."""


def within_partitions(context: dg.AssetExecutionContext, config: PleoSyncConfig) -> PleoSyncConfig:
    """The config limited to the months of the run's partitions; as it is where the run has none.

    The current month has no end: what is dated ahead belongs to it until its own month begins.
    """
    if not (context.has_partition_key or context.has_partition_key_range):
        return config
    if config.start or config.end:
        raise failures.whole_run(
            ConfigurationError("from and to cannot be set in a run of partitions: its months say what is read. Leave them empty.")
        )
    window = context.partition_time_window
    open_ended = window.end > datetime.now(UTC)
    return config.model_copy(update={"start": window.start.isoformat(), "end": "" if open_ended else window.end.isoformat()})
