"""The connector's own tables, which are beside the data and commit with it.

`_sweeps` has one row per walk of a stream, company and span (or parent record): when, how far, how many rows.
`_checkpoints` has one row per page of an open sweep. `_seen_keys` holds the keys that an open sweep
has read: what is not among them at its end is absent. `_quarantine` holds records that could not
be typed, with the reason.
"""

from __future__ import annotations

from pleo_connector.catalogue import Field, Storage, Table

_STATE = "state"

SWEEPS = Table(
    "_sweeps",
    "One row per sweep: a walk through all pages of one stream, company and span of time or parent record.",
    (
        Field("sweep_id", Storage.TEXT, "Sweep key."),
        Field("stream", Storage.TEXT, "Stream that was read."),
        Field("company_id", Storage.UUID, "Company that was read; NULL for what belongs to no company."),
        Field("span_start", Storage.TIMESTAMP, "First moment of the span; NULL when it has no start, or the stream no windows."),
        Field("span_end", Storage.TIMESTAMP, "End of the span, not included; NULL when it has no end, or the stream no windows."),
        Field("parent_id", Storage.UUID, "Record of another stream for which it was read: a tag group, an export job."),
        Field("parent_state", Storage.TEXT, "Status and last change of that record when the sweep began."),
        Field("floor_at", Storage.TIMESTAMP, "Creation time down to which a newest-first sweep reads; NULL when it reads all."),
        Field("newest_at", Storage.TIMESTAMP, "Newest creation time that a newest-first sweep read."),
        Field(
            "tier", Storage.TEXT, "How often the window was read then: first (never before), hot, warm, cool, cold; NULL without windows."
        ),
        Field(
            "status",
            Storage.TEXT,
            "open; complete; abandoned (it will not go on, or its records are no longer served); unproven (rows are missing that may "
            "have moved to a span that was not read); refused (suspiciously many rows are missing).",
        ),
        Field("owner", Storage.TEXT, "The run that walks it: host, process, start of the process, number."),
        Field("touched_at", Storage.TIMESTAMP, "When that run last committed something of it."),
        Field("exhausted", Storage.BOOLEAN, "True when Pleo reported that no page follows."),
        Field("cursor", Storage.TEXT, "Cursor to continue from; NULL before the first page."),
        Field("started_at", Storage.TIMESTAMP, "When the first page was requested."),
        Field("finished_at", Storage.TIMESTAMP, "When the last page was committed."),
        Field("pages", Storage.BIGINT, "Pages committed."),
        Field("rows_served", Storage.BIGINT, "Records that Pleo served."),
        Field("rows_quarantined", Storage.BIGINT, "Records set aside because they could not be typed."),
        Field("rows_outside", Storage.BIGINT, "Records served beside these that lie outside the span: another sweep reads them."),
        Field("rows_reported", Storage.BIGINT, "The total that Pleo reported, where it does, without records outside the span."),
        Field("rows_met", Storage.BIGINT, "Distinct records that were read, where Pleo reports a total to compare with."),
        Field("rows_changed", Storage.BIGINT, "Rows that the sweep wrote because they were new or changed, of a stream with windows."),
        Field("rows_deleted", Storage.BIGINT, "Rows found absent and marked deleted at the end of the sweep."),
    ),
    ("sweep_id",),
    _STATE,
)

CHECKPOINTS = Table(
    "_checkpoints",
    "One row per committed page of a sweep that is still open.",
    (
        Field("sweep_id", Storage.TEXT, "Sweep the page belongs to."),
        Field("page", Storage.BIGINT, "Page number, from 1."),
        Field("stream", Storage.TEXT, "Stream that was read."),
        Field("cursor_in", Storage.TEXT, "Cursor that was sent."),
        Field("cursor_out", Storage.TEXT, "Cursor of the last row."),
        Field("rows_served", Storage.BIGINT, "Records on the page."),
        Field("sha256", Storage.TEXT, "Fingerprint of the page as served."),
        Field("fetched_at", Storage.TIMESTAMP, "When the page arrived."),
    ),
    ("sweep_id", "page"),
    _STATE,
)

SEEN_KEYS = Table(
    "_seen_keys",
    "Keys that an open sweep has read; emptied when the sweep is complete.",
    (
        Field("sweep_id", Storage.TEXT, "Sweep that read the key."),
        Field("stream", Storage.TEXT, "Stream of the key."),
        Field("key", Storage.UUID, "Record key."),
    ),
    ("sweep_id", "key"),
    _STATE,
)

QUARANTINE = Table(
    "_quarantine",
    "Records that could not be typed, until Pleo serves them in the declared type. The tables hold an earlier version of them, or none.",
    (
        Field("record_hash", Storage.TEXT, "Fingerprint of the record as served."),
        Field("stream", Storage.TEXT, "Stream that served it."),
        Field("key", Storage.UUID, "Its key, where at least that can be read."),
        Field("company_id", Storage.UUID, "Company it was read for."),
        Field("sweep_id", Storage.TEXT, "Sweep that read it last."),
        Field("field", Storage.TEXT, "Path of the field that does not fit."),
        Field("reason", Storage.TEXT, "Why it does not fit."),
        Field("record", Storage.TEXT, "The record as served."),
        Field("quarantined_at", Storage.TIMESTAMP, "When it was set aside last."),
    ),
    ("stream", "record_hash"),
    _STATE,
)

STATE_TABLES = (SWEEPS, CHECKPOINTS, SEEN_KEYS, QUARANTINE)
