"""Floor 2: requests to Pleo: one client, one budget, and the pages a stream is read by."""

from pleo_connector.api.budget import Budget
from pleo_connector.api.client import PleoClient, Traffic
from pleo_connector.api.pages import Interval, PageRequest, page_request

__all__ = ["Budget", "Interval", "PageRequest", "PleoClient", "Traffic", "page_request"]
