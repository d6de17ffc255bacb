"""The tables of the raw landing: what Pleo served, from which every other table can be made again.

`_raw_pages` has each page once, by fingerprint. `_raw_requests` is the walk: which request was answered with which page.
`_raw_loads` has one row for each transaction of a run, in the order of their commits, with the sweeps that ended in it.
`_raw_failed` holds answers that could not be read as a page.
"""

from __future__ import annotations

from pleo_connector.catalogue import Field, Storage, Table

_STATE = "state"

RAW_PAGES = Table(
    "_raw_pages",
    "Pages as Pleo served them, each one once; without the fields that are dropped on purpose.",
    (
        Field("content", Storage.TEXT, "Fingerprint (SHA-256) of the page as it is kept."),
        Field("size", Storage.BIGINT, "Bytes of the page."),
        Field("stored", Storage.BIGINT, "Bytes that it takes, compressed."),
        Field("kept_at", Storage.TIMESTAMP, "When it was kept first."),
        Field("page", Storage.BYTES, "The page, compressed with Zstandard; NULL when it is in a folder (PLEO_RAW)."),
    ),
    ("content",),
    _STATE,
)

RAW_REQUESTS = Table(
    "_raw_requests",
    "One row per page that was loaded: the request without credentials, and the page that answered it.",
    (
        Field("sweep_id", Storage.TEXT, "Sweep that the page belongs to."),
        Field("number", Storage.BIGINT, "Page number in its sweep, from 1."),
        Field("load", Storage.BIGINT, "The load that wrote its rows."),
        Field("run", Storage.TEXT, "The run that read it."),
        Field("place", Storage.BIGINT, "Place in its load."),
        Field("stream", Storage.TEXT, "Stream that was read."),
        Field("company_id", Storage.UUID, "Company that was read."),
        Field("span_start", Storage.TIMESTAMP, "First moment of the sweep's span; NULL when it has no start."),
        Field("span_end", Storage.TIMESTAMP, "End of the sweep's span, not included; NULL when it has no end."),
        Field("parent_id", Storage.UUID, "Record of another stream for which it was read."),
        Field("parent_state", Storage.TEXT, "Status and last change of that record when the sweep began."),
        Field("floor_at", Storage.TIMESTAMP, "Creation time down to which a newest-first sweep reads."),
        Field("tier", Storage.TEXT, "How often the sweep's window is read; NULL when the stream has no windows."),
        Field("started_at", Storage.TIMESTAMP, "When the sweep began."),
        Field("method", Storage.TEXT, "HTTP method of the request."),
        Field("path", Storage.TEXT, "Path of the request."),
        Field("query", Storage.TEXT, "Query of the request."),
        Field("body", Storage.TEXT, "JSON body of the request; NULL when there was none."),
        Field("cursor", Storage.TEXT, "Cursor that was sent; NULL for the first page."),
        Field("fetched_at", Storage.TIMESTAMP, "When the page arrived."),
        Field("served", Storage.TEXT, "Fingerprint (SHA-256) of the page as it arrived."),
        Field("content", Storage.TEXT, "Fingerprint of the page as it is kept, in _raw_pages."),
    ),
    ("sweep_id", "number"),
    _STATE,
)

RAW_LOADS = Table(
    "_raw_loads",
    "One row per transaction that loaded pages or ended sweeps, numbered in the order of their commits.",
    (
        Field("load", Storage.BIGINT, "Number of the load."),
        Field("run", Storage.TEXT, "The run that made it."),
        Field("loaded_at", Storage.TIMESTAMP, "The _synced_at of its rows."),
        Field("ended", Storage.TEXT, "JSON: the streams whose sweeps ended in it, and how."),
    ),
    ("load", "run"),
    _STATE,
)

RAW_FAILED = Table(
    "_raw_failed",
    "Answers that could not be read as a page, stored for analysis. No rows were loaded from them.",
    (
        Field("sweep_id", Storage.TEXT, "Sweep that the answer belongs to."),
        Field("number", Storage.BIGINT, "Number of the requested page."),
        Field("stream", Storage.TEXT, "Stream that was read."),
        Field("company_id", Storage.UUID, "Company that was read."),
        Field("method", Storage.TEXT, "HTTP method of the request."),
        Field("path", Storage.TEXT, "Path of the request."),
        Field("query", Storage.TEXT, "Query of the request."),
        Field("body", Storage.TEXT, "JSON body of the request; NULL when there was none."),
        Field("failed_at", Storage.TIMESTAMP, "When the last try was given up."),
        Field("reason", Storage.TEXT, "Why it cannot be read."),
        Field("content", Storage.TEXT, "Fingerprint (SHA-256) of the answer."),
        Field("size", Storage.BIGINT, "Bytes of the answer."),
        Field("answer", Storage.BYTES, "The answer, compressed with Zstandard; NULL where it may hold what is dropped on purpose."),
    ),
    ("sweep_id", "number"),
    _STATE,
)

RAW_TABLES = (RAW_PAGES, RAW_REQUESTS, RAW_LOADS, RAW_FAILED)
