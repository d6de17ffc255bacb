"""From Pleo's answers to columns: an asset for the pages of each stream, and which field each column comes from."""

from collections.abc import Iterator, Sequence

import dagster as dg

from pleo_connector.catalogue import Catalogue, Child, Column, Stream, Table
from pleo_connector.orchestration.code_places import stream_place


def raw_key(connection: str, stream: Stream) -> dg.AssetKey:
    """The asset that stands for a stream's pages as Pleo serves them."""
    return dg.AssetKey([connection, "raw", stream.name])


def raw_specs(connection: str, catalogue: Catalogue, streams: Sequence[str] = ()) -> list[dg.AssetSpec]:
    """The assets of what Pleo serves; nothing materialises them, the tables depend on them."""
    return [
        dg.AssetSpec(
            raw_key(connection, stream),
            description=f"{stream.title} as Pleo serves them: `{stream.method} {stream.path}`.",
            group_name=f"{connection}_raw",
            kinds={"pleo", "json"},
            metadata={
                "dagster/column_schema": dg.TableSchema([dg.TableColumn(path, "json") for path in _paths(stream)]),
                **stream_place(stream),
            },
        )
        for stream in catalogue
        if not streams or stream.name in streams
    ]


def column_lineage(connection: str, stream: Stream, table: Table) -> dg.TableColumnLineage:
    """The fields of Pleo's records that each column is made from; the connector's own columns come from none."""
    key, fields = raw_key(connection, stream), dict(_fields(stream, table.name))
    return dg.TableColumnLineage({name: [dg.TableColumnDep(key, path)] for name, path in fields.items() if name in table.column_names})


def _paths(stream: Stream) -> list[str]:
    """Every declared field of a record; `[]` stands for the elements of a list."""
    return list(dict.fromkeys(path for table in stream.tables() for _, path in _fields(stream, table.name)))


def _fields(stream: Stream, table: str) -> Iterator[tuple[str, str]]:
    """(column, path in the record) of one of the stream's tables."""
    if table == stream.name:
        yield from _columns(stream.columns, "")
        return
    key = next((column.source for column in stream.columns if column.name == stream.key), "")
    if key:
        yield f"{stream.record}_{stream.key}", key
    yield from _of_children(stream.children, table, "")


def _of_children(children: Sequence[Child], table: str, prefix: str) -> Iterator[tuple[str, str]]:
    for child in children:
        path = f"{prefix}{child.source}[]"
        if child.name == table:
            yield "position", path
            yield from _columns(child.columns, f"{path}.")
        yield from _of_children(child.children, table, f"{path}.")


def _columns(columns: Sequence[Column], prefix: str) -> Iterator[tuple[str, str]]:
    for column in columns:
        for field in column.fields():
            yield field.name, f"{prefix}{column.source}".rstrip(".")
