"""Floor 3: a run, from what is due to what is committed. Start reading at `engine.py`."""

from pleo_connector.sync.connecting import connection_from_settings
from pleo_connector.sync.engine import run
from pleo_connector.sync.plan import Connection, Mode, SyncPlan
from pleo_connector.sync.raw_policy import RawPolicy
from pleo_connector.sync.raw_report import RawReport
from pleo_connector.sync.receipt_report import FilesReport
from pleo_connector.sync.report import StreamReport, SyncReport
from pleo_connector.sync.state_tables import STATE_TABLES

__all__ = [
    "STATE_TABLES",
    "Connection",
    "FilesReport",
    "Mode",
    "RawPolicy",
    "RawReport",
    "StreamReport",
    "SyncPlan",
    "SyncReport",
    "connection_from_settings",
    "run",
]
