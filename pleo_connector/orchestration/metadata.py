"""The metadata of a materialisation. Numbers stay numbers, so that the asset page plots them over time."""

import math
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import dagster as dg

from pleo_connector.catalogue import Table
from pleo_connector.frames.drift import Finding
from pleo_connector.sync import StreamReport


def table_metadata(table: Table, report: StreamReport, relation: str, requests_per_minute: int) -> dict[str, Any]:
    """Row count and relation of every table; on a stream's main table also what its sync did and cost."""
    metadata: dict[str, Any] = {
        "dagster/row_count": report.tables.get(table.name, 0),
        "dagster/relation_identifier": relation,
    }
    return metadata | stream_metadata(report, requests_per_minute) if table.parent is None else metadata


def stream_metadata(report: StreamReport, requests_per_minute: int) -> dict[str, Any]:
    """Rows, traffic and findings of one stream's sync. `seconds` is the time spent reading.

    `budget_used_percent` is the stream's share of the requests that were allowed in that time, counted in minutes begun.
    """
    allowed = requests_per_minute * max(1, math.ceil(report.seconds / 60))
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
        "budget_used_percent": round(100 * traffic.requests / allowed, 2),
        "requests_rate_limited": traffic.rate_limited,
        "seconds_waited_for_budget": round(traffic.waited_for_budget, 3),
        "bytes": traffic.bytes,
        "seconds": round(report.seconds, 3),
    }
    if report.months_read:
        metadata["months_read"] = report.months_read
    if report.changed_by_tier:
        metadata["rows_changed_outside_hot_window"] = sum(report.found_late.values())
    metadata |= {f"rows_changed_{tier}": count for tier, count in report.changed_by_tier.items()}
    if (files := report.files) is not None:
        metadata |= {
            "files_fetched": files.fetched,
            "files_found": files.adopted,
            "files_removed": files.removed,
            "files_left": files.left.total(),
            "bytes_of_files": files.bytes,
        }
        metadata |= {f"files_left_{reason.replace(' ', '_')}": count for reason, count in sorted(files.left.items()) if count}
    if drift := _drift_records(report):
        metadata["drift"] = dg.MetadataValue.table(records=drift)
    if report.warnings:
        metadata["warnings"] = dg.MetadataValue.md("\n".join(f"- {warning}" for warning in report.warnings))
    return metadata


def _drift_records(report: StreamReport) -> list[dg.TableRecord]:
    """One row per finding; examples are keys of records, never values."""
    records = []
    for kind in fields(report.drift):
        findings: Mapping[str, Finding] = getattr(report.drift, kind.name)
        for path, finding in findings.items():
            keys = ", ".join(finding.examples)
            records.append(dg.TableRecord({"finding": kind.name.replace("_", " "), "field": path, "count": finding.count, "records": keys}))
    return records
