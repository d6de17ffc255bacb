"""Floor 2: requests to Pleo: one client, one budget, and the pages a stream is read by."""

from pleo_connector.api.budget import Budget, RequestBudget
from pleo_connector.api.client import PleoClient, Traffic
from pleo_connector.api.file_client import FetchedFile, FileClient, Refusal
from pleo_connector.api.pages import OPEN_END, OPEN_START, Interval, PageRequest, iso, page_request
from pleo_connector.api.shared_budget import Notes, SharedBudget

__all__ = [
    "OPEN_END",
    "OPEN_START",
    "Budget",
    "FetchedFile",
    "FileClient",
    "Interval",
    "Notes",
    "PageRequest",
    "PleoClient",
    "Refusal",
    "RequestBudget",
    "SharedBudget",
    "Traffic",
    "iso",
    "page_request",
]
