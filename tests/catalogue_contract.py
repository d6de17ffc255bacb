"""What is wrong with a stream declaration, going by the project's copy of the API contract.

`faults(stream)` gives one sentence for each difference, starting with the stream's name.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from pleo_connector.catalogue import Child, Column, CompanyIn, LogicalType, Paging, Stream

CONTRACT = Path(__file__).parents[1] / "contract" / "pleo-read-contract.yaml"
PERSONAL = {"email", "firstName", "lastName", "phone", "jobTitle", "note", "attendableId"}
"""Field names that always say something about a person, wherever they appear."""

SEEN_LIVE = {
    ("accounting_entries", path): ({"type": "string", **more}, False)
    for path, more in {
        "merchant.name": {},
        "merchant.merchantCategoryCode": {},
        "employee.id": {"format": "uuid"},
        "employee.email": {},
        "employee.firstName": {},
        "employee.lastName": {},
    }.items()
}
"""Fields that callers of the live API report and that no published schema has: their schema, and whether they are required.

`merchant` is in client code and notes of callers of 2026 that name the two fields. Of the inline `employee` only the e-mail address
is reported; its other fields are named as on `/v2/employees`.
"""

Schema = Mapping[str, Any]


@cache
def contract() -> Schema:
    loaded: Schema = yaml.load(CONTRACT.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return loaded


def operations() -> dict[str, tuple[str, str, Schema]]:
    """operationId -> (method, path, operation)."""
    return {
        operation["operationId"]: (method.upper(), path, operation)
        for path, methods in contract()["paths"].items()
        for method, operation in methods.items()
        if method in ("get", "post")
    }


def resolved(node: Schema) -> Schema:
    """The schema or parameter that a reference points at; anything else unchanged."""
    either = [option for option in node.get("anyOf", ()) if option != {"type": "null"}]
    if len(either) == 1:
        return resolved(either[0])
    if "$ref" not in node:
        return node
    target: Any = contract()
    for step in node["$ref"].removeprefix("#/").split("/"):
        target = target[step]
    return resolved(target)


def faults(stream: Stream) -> list[str]:
    """Everything in which the declaration and the contract differ; empty when they agree."""
    if stream.operation not in operations():
        return [f"{stream.name}: the contract has no operation {stream.operation!r}"]
    method, path, operation = operations()[stream.operation]
    found = []
    if (stream.method, stream.path) != (method, path):
        found.append(f"is declared as {stream.method} {stream.path}, the contract says {method} {path}")
    found += _scope_faults(stream, operation)
    found += _request_faults(stream, operation)
    found += _paging_faults(stream, operation)
    found += _record_faults(stream, operation)
    return [f"{stream.name}: {fault}" for fault in found]


def query_parameters(stream: Stream) -> Mapping[str, Schema]:
    """Query parameters of the stream's operation, by name."""
    return _query(operations()[stream.operation][2])


def body_fields(stream: Stream) -> Mapping[str, Schema]:
    """Fields of the body of the stream's operation, by name; empty without a body."""
    operation = operations()[stream.operation][2]
    fields: Mapping[str, Schema] = _content(operation["requestBody"])["properties"] if "requestBody" in operation else {}
    return fields


def _scope_faults(stream: Stream, operation: Schema) -> Iterator[str]:
    if [stream.scope][: bool(stream.scope)] != operation["x-pleo-scopes"]:
        yield f"scope {stream.scope} is not {operation['x-pleo-scopes']}"
    if list(stream.scope_alternatives) != operation.get("x-pleo-scopes-alternatives", []):
        yield f"scope alternatives {stream.scope_alternatives} differ from the contract's"


def _query(operation: Schema) -> dict[str, Schema]:
    parameters = (resolved(parameter) for parameter in operation.get("parameters", ()))
    return {parameter["name"]: parameter for parameter in parameters if parameter["in"] == "query"}


def _content(part: Schema) -> Schema:
    """The schema of a request body's or answer's only media type."""
    (media,) = part["content"].values()
    return resolved(media["schema"])


def _request_faults(stream: Stream, operation: Schema) -> Iterator[str]:
    query = _query(operation)
    sent = {name for name, _ in stream.query}
    yield from _parent_faults(stream, operation)
    if stream.parent is not None:
        sent.add(stream.parent.parameter)
    given = {resolved(parameter)["name"] for parameter in operation.get("parameters", ()) if resolved(parameter)["in"] == "path"}
    sent -= given
    if stream.company_in in (CompanyIn.QUERY, CompanyIn.QUERY_CAMEL):
        sent.add(stream.company_in.value)
    for name in sorted(sent - set(query)):
        yield f"there is no query parameter {name!r}"
    for name, parameter in query.items():
        if parameter.get("required") and name not in sent:
            yield f"query parameter {name!r} is required"
    if stream.company_in is CompanyIn.NOWHERE and {"company_id", "companyId"} & set(query):
        yield "the company is sent nowhere, yet there is a parameter for it"
    for name, value in stream.query:
        if name in query and resolved(query[name]["schema"]) == {"type": "boolean"} and value not in ("true", "false"):
            yield f"query parameter {name!r} is a boolean, not {value!r}"
    yield from _body_faults(stream, operation)


def _parent_faults(stream: Stream, operation: Schema) -> Iterator[str]:
    parent = stream.parent
    places = {resolved(one)["name"]: resolved(one)["in"] for one in operation.get("parameters", ())}
    if parent is not None and places.get(parent.parameter) != ("path" if f"{{{parent.parameter}}}" in stream.path else "query"):
        yield f"there is no parameter {parent.parameter!r} for its parent"


def _body_faults(stream: Stream, operation: Schema) -> Iterator[str]:
    body = _content(operation["requestBody"]) if "requestBody" in operation else {"properties": {}}
    fields = {name: resolved(schema) for name, schema in body["properties"].items()}
    sent = dict(stream.body)
    for name, value in sent.items():
        if name not in fields:
            yield f"there is no body field {name!r}"
        elif isinstance(value, bool) is not ("boolean" in _types(fields[name])):
            yield f"body field {name!r} is {fields[name]['type']}, not {value!r}"
    if stream.company_in is CompanyIn.BODY:
        if "companyId" not in fields:
            yield "there is no body field 'companyId'"
        sent["companyId"] = "given by the sync"
    for name in body.get("required", ()):
        if name not in sent:
            yield f"body field {name!r} is required"
    yield from _window_faults(stream, fields)


def _window_faults(stream: Stream, fields: Mapping[str, Schema]) -> Iterator[str]:
    if stream.window is None:
        return
    for name in (stream.window.start, stream.window.end):
        if fields.get(name, {}).get("format") != "date-time":
            yield f"there is no body field {name!r} that takes a time"
    filtered = {column.name: column.source for column in stream.columns}[stream.window.column]
    if not (stream.window.start == f"{filtered}Start" and stream.window.end == f"{filtered}End"):
        yield f"the window's body fields do not filter on {filtered!r}"


def _paging_faults(stream: Stream, operation: Schema) -> Iterator[str]:
    query = _query(operation)
    by_cursor = operation["x-pagination"] == "cursor" and {"after", "limit"} <= set(query)
    if by_cursor is not (stream.paging is Paging.CURSOR):
        yield f"paging is {operation['x-pagination']} in the contract, not {stream.paging}"
    if stream.limit is not None and "limit" in query:
        bounds = resolved(query["limit"]["schema"])
        # Where no maximum is documented, the largest documented one is as far as we go.
        if not bounds.get("minimum", 1) <= stream.limit <= bounds.get("maximum", 100):
            yield f"limit {stream.limit} is out of bounds"
    if bool(stream.sort) is not ("x-sorting-keys" in operation):
        yield "a stream sorts exactly where sort keys are documented"
    elif stream.sort:
        known = operation["x-sorting-keys"]
        yield from (f"there is no sort key {key!r}" for key, _ in stream.sort if key not in known)
        if stream.sort[-1][0] != "id":
            yield "the sort must end in 'id', or its order is not total"
        orders = resolved({"$ref": "#/components/schemas/PageOrder"})["enum"]
        yield from (f"there is no sort order {order!r}" for _, order in stream.sort if order not in orders)


def _record_faults(stream: Stream, operation: Schema) -> Iterator[str]:
    envelope = _content(operation["responses"]["200"])
    if (stream.paging is Paging.CURSOR) is not ("pagination" in envelope["properties"]):
        yield "the answer's envelope does not fit its paging"
    record = envelope if stream.paging is Paging.ONE else resolved(resolved(envelope["properties"]["data"])["items"])
    yield from _fields_faults(stream, record, stream.columns, stream.children, "")
    known = set(_ignorable(record, ""))
    yield from (f"field {path!r} is in the contract now: take it out of SEEN_LIVE" for path in _seen_live(stream) if path in known)
    for path, reason in stream.ignored:
        if not any(field == path or field.startswith(f"{path}.") for field in known):
            yield f"ignored field {path!r} does not exist"
        if not reason.strip():
            yield f"ignored field {path!r} has no reason"


def _seen_live(stream: Stream) -> dict[str, tuple[Schema, bool]]:
    return {path: schema for (name, path), schema in SEEN_LIVE.items() if name == stream.name}


def _fields_faults(stream: Stream, record: Schema, columns: tuple[Column, ...], children: tuple[Child, ...], prefix: str) -> Iterator[str]:
    # A list of plain values is one nameless field.
    leaves = dict(_leaves(record, "", required=True)) if "properties" in record else {"": (record, True)}
    leaves |= {} if prefix else _seen_live(stream)
    ignored = {path for path, _ in stream.ignored}

    def is_ignored(path: str) -> bool:
        return any(path == dropped or path.startswith(f"{dropped}.") for dropped in ignored)

    declared = {column.source for column in columns} | {child.source for child in children}
    for path in leaves:
        if path not in declared and not is_ignored(prefix + path):
            yield f"field {prefix + path!r} is neither declared nor ignored"
        if path in declared and is_ignored(prefix + path):
            yield f"field {prefix + path!r} is both declared and ignored"
    for column in columns:
        if column.source not in leaves:
            yield f"there is no field {prefix + column.source!r}"
        else:
            yield from _column_faults(column, *leaves[column.source], where=prefix + column.source)
    for child in children:
        schema = leaves.get(child.source, ({}, False))[0]
        if "array" not in _types(schema):
            yield f"child {child.name}: field {prefix + child.source!r} is not a list"
        else:
            if child.sparse is not ("null" in _types(resolved(schema["items"]))):
                yield f"child {child.name}: its elements are {'never' if child.sparse else 'sometimes'} null in the contract"
            yield from _fields_faults(stream, resolved(schema["items"]), child.columns, child.children, f"{prefix}{child.source}.")


def _leaves(record: Schema, prefix: str, *, required: bool) -> Iterator[tuple[str, tuple[Schema, bool]]]:
    """(dotted path, (schema, required)) of each field that is a value, money, a map or a list."""
    for name, node in record["properties"].items():
        schema, needed = resolved(node), required and name in record.get("required", ())
        needed = needed and "null" not in _types(schema)
        if "properties" in schema and not _is_money(schema):
            yield from _leaves(schema, f"{prefix}{name}.", required=needed)
        else:
            yield prefix + name, (schema, needed)


def _ignorable(record: Schema, prefix: str) -> Iterator[str]:
    if "properties" not in record:
        return
    for path, (schema, _) in _leaves(record, prefix, required=True):
        yield path
        if "array" in _types(schema):
            yield from _ignorable(resolved(schema["items"]), f"{path}.")


def _column_faults(column: Column, schema: Schema, required: bool, *, where: str) -> Iterator[str]:  # noqa: FBT001
    if column.type not in _fitting(schema):
        yield f"field {where!r} is declared {column.type}, the contract says {dict(schema)}"
    if column.required is not required:
        yield f"field {where!r} is {'' if required else 'not '}required in the contract"
    listed = () if column.type in (LogicalType.COUNTRY, LogicalType.CURRENCY) else schema.get("enum", schema.get("x-extensible-enum", ()))
    if column.values != tuple(listed):
        yield f"field {where!r}: its values differ from the contract's {list(listed)}"
    if where.rsplit(".", 1)[-1] in PERSONAL and not column.personal:
        yield f"field {where!r} says something about a person and is not marked personal"


def _types(schema: Schema) -> set[str]:
    kinds = schema.get("type", ())
    return {kinds} if isinstance(kinds, str) else set(kinds)


def _is_money(schema: Schema) -> bool:
    return set(schema.get("properties", ())) in ({"currency", "minors"}, {"currency", "value"})


def _money_type(schema: Schema) -> LogicalType:
    return LogicalType.MONEY if "minors" in schema["properties"] else LogicalType.MONEY_TIMES_100


def _fitting(schema: Schema) -> set[LogicalType]:
    """The logical types that may stand for a JSON schema."""
    t = LogicalType
    if schema.get("x-date-pattern") == "YYYY-MM-DD":
        return {t.DATE}
    if "array" in _types(schema) and "properties" not in resolved(schema["items"]):
        return {t.JSON}
    (kind,) = _types(schema) - {"null"}
    if kind == "string":
        if "UNDEFINED" in schema.get("enum", ()):
            return {t.COUNTRY, t.CURRENCY}
        by_format = {"uuid": {t.UUID, t.UUID_OR_UNKNOWN}, "date-time": {t.TIMESTAMP}, "date": {t.DATE}}
        return by_format.get(schema.get("format", ""), {t.TEXT, t.COUNTRY, t.CURRENCY})
    if kind == "object":
        return {_money_type(schema)} if _is_money(schema) else {t.JSON}
    return {"boolean": {t.BOOLEAN}, "integer": {t.INTEGER}, "number": {t.RATE}}.get(kind, set())
