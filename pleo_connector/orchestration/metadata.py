"""What a materialisation tells about itself. Numbers stay numbers, so that the asset page plots them over time."""

from typing import Any

import dagster as dg

from pleo_connector.catalogue import Table
from pleo_connector.sync import StreamReport


def table_metadata(table: Table, report: StreamReport, relation: str) -> dict[str, Any]:
    """Row count and relation of every table; on a stream's main table also what its sync did and cost."""
    metadata: dict[str, Any] = {
        "dagster/row_count": report.tables.get(table.name, 0),
        "dagster/relation_identifier": relation,
    }
    return metadata | stream_metadata(report) if table.parent is None else metadata


def stream_metadata(report: StreamReport) -> dict[str, Any]:
    """Rows, traffic and findings of one stream's sync."""
    traffic = report.traffic
    metadata: dict[str, Any] = {
        "rows_served": report.served,
        "rows_inserted": report.inserted,
        "rows_updated": report.updated,
        "rows_deleted": report.deleted,
        "rows_unchanged": report.unchanged,
        "rows_quarantined": report.quarantined,
        "rows_duplicate": report.duplicates,
        "pages": report.pages,
        "sweeps": report.sweeps,
        "sweeps_completed": report.sweeps_completed,
        "requests": traffic.requests,
        "requests_rate_limited": traffic.rate_limited,
        "seconds_waited_for_budget": round(traffic.waited_for_budget, 3),
        "bytes": traffic.bytes,
        "seconds": round(report.seconds, 3),
    }
    if drift := _drift_records(report):
        metadata["drift"] = dg.MetadataValue.table(records=drift)
    if report.warnings:
        metadata["warnings"] = dg.MetadataValue.md("\n".join(f"- {warning}" for warning in report.warnings))
    return metadata


def _drift_records(report: StreamReport) -> list[dg.TableRecord]:
    return [
        dg.TableRecord({"finding": kind.replace("_", " "), "field": path, "count": count(found), "for example": ", ".join(examples(found))})
        for kind, paths in report.drift.as_json().items()
        for path, found in paths.items()
    ]


def count(found: dict[str, object]) -> int:
    """How many values showed the finding."""
    return int(str(found["count"]))


def examples(found: dict[str, object]) -> list[str]:
    """Keys of records that showed it."""
    listed = found["examples"]
    return [str(key) for key in listed] if isinstance(listed, list) else []
