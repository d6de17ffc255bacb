"""Floor 2: pages of raw JSON to pandas frames, without a Python object per record. Start reading at `normalise.py`."""

from pleo_connector.frames.batch import Batch
from pleo_connector.frames.drift import Drift
from pleo_connector.frames.dropping import cut_page, withholds
from pleo_connector.frames.envelope import Page, split_page
from pleo_connector.frames.joining import batches_joined, settle
from pleo_connector.frames.normalise import Served, normalise

__all__ = ["Batch", "Drift", "Page", "Served", "batches_joined", "cut_page", "normalise", "settle", "split_page", "withholds"]
