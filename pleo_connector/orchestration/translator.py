"""From a table of the catalogue to its Dagster asset: subclass `PleoTranslator` to change keys, groups, owners, tags."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import dagster as dg

from pleo_connector.catalogue import Stream, Table, View
from pleo_connector.orchestration.code_places import mart_place, stream_place
from pleo_connector.orchestration.columns import PERSONAL, column_schema, view_schema
from pleo_connector.orchestration.lineage import column_lineage


@dataclass(frozen=True, slots=True)
class PleoTableData:
    """What is known about a table when its asset is declared."""

    stream: Stream
    """The stream that fills it; child tables share their parent's."""
    table: Table
    connection: str
    """Name of the connection, `pleo` unless there are several."""
    warehouse_kind: str
    relation: str
    """The table's full name in the warehouse."""
    location: str = ""
    """Where the warehouse is, without secrets."""


@dataclass(frozen=True, slots=True)
class PleoMartData:
    """What is known about a mart when its asset is declared."""

    view: View
    connection: str
    warehouse_kind: str
    relation: str
    personal: frozenset[str]
    """Columns that say something about a person."""
    location: str = ""
    """Where the warehouse is, without secrets."""


class PleoTranslator:
    """Gives every table its `AssetSpec`.

    Override `get_asset_spec`, call it on `super()`, and change what you like with `replace_attributes` or
    `merge_attributes`. A child table's dependency on its parent follows the keys given here.
    """

    fresh_within: timedelta | None = timedelta(hours=36)
    """Age at which a table is late; None switches this off. A day and a half lets one daily run fail."""

    owners: Sequence[str] = ("team:pleo",)
    """Whom Dagster names and alerts: e-mail addresses, or `team:<name>`."""

    def get_asset_spec(self, data: PleoTableData) -> dg.AssetSpec:
        """The asset of one table: key `[connection, table]`, in a group named after the connection."""
        stream, table = data.stream, data.table
        personal = any(field.personal for field in table.fields)
        return dg.AssetSpec(
            key=[data.connection, table.name],
            description=_description(data),
            group_name=data.connection,
            kinds={"pleo", data.warehouse_kind},
            tags={PERSONAL: "yes"} if personal else {},
            code_version=code_version(data),
            owners=list(self.owners),
            freshness_policy=self._freshness(),
            metadata={
                "dagster/column_schema": column_schema(table),
                "dagster/column_lineage": column_lineage(data.connection, stream, table),
                "dagster/relation_identifier": data.relation,
                **_places(data.location, data.relation),
                **stream_place(stream),
                "pleo/stream": stream.name,
                "pleo/request": f"{stream.method} {stream.path}",
                "pleo/scope": stream.scope,
                "pleo/sync_mode": stream.mode.value,
            },
        )

    def get_mart_spec(self, data: PleoMartData) -> dg.AssetSpec:
        """The asset of one mart: key `[connection, mart]`, in a group of the marts."""
        return dg.AssetSpec(
            key=[data.connection, data.view.name],
            description=data.view.description,
            group_name=f"{data.connection}_marts",
            kinds={data.warehouse_kind, "view"},
            tags={PERSONAL: "yes"} if data.personal else {},
            code_version=data.view.fingerprint,
            owners=list(self.owners),
            freshness_policy=self._freshness(),
            metadata={
                "dagster/column_schema": view_schema(data.view, data.personal),
                "dagster/relation_identifier": data.relation,
                **_places(data.location, data.relation),
                **mart_place(data.view),
            },
        )

    def _freshness(self) -> dg.FreshnessPolicy | None:
        return dg.FreshnessPolicy.time_window(fail_window=self.fresh_within) if self.fresh_within else None


def _places(location: str, relation: str) -> dict[str, Any]:
    """Where a table or view is stored."""
    if not location:
        return {}
    return {"dagster/uri": f"{location if ':' in location else f'file://{location}'}#{relation}"}


def code_version(data: PleoTableData) -> str:
    """Changes when the declaration of the request or of the table changes; not when a description does."""
    stream, table = data.stream, data.table
    declared = [
        [stream.operation, stream.method, stream.path, stream.company_in.value, stream.mode.value, stream.query, stream.body],
        [[field.name, field.storage.value] for field in table.fields],
        table.key,
    ]
    return hashlib.sha256(json.dumps(declared).encode()).hexdigest()[:12]


def _description(data: PleoTableData) -> str:
    table = data.table
    if table.parent is None:
        return table.description
    return f"{table.description}\n\nPart of `{data.stream.name}`: syncing one syncs both."
