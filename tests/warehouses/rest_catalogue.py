"""An Iceberg REST catalogue on loopback, as the specification's protocol has it: what it stores, PyIceberg's SQL catalogue keeps.

One server for the tests of a process; each warehouse that a client asks for, a folder, is a catalogue of its own.
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from functools import cache
from pathlib import Path
from typing import Any

import uvicorn
from pyiceberg.catalog.rest import CreateTableRequest
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import (
    CommitFailedException,
    NamespaceAlreadyExistsError,
    NoSuchNamespaceError,
    NoSuchTableError,
    TableAlreadyExistsError,
)
from pyiceberg.table import CommitTableRequest, StagedTable, Table
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

_CODES: dict[type[Exception], int] = {
    NoSuchNamespaceError: 404,
    NoSuchTableError: 404,
    NamespaceAlreadyExistsError: 409,
    TableAlreadyExistsError: 409,
    CommitFailedException: 409,
}
_ONE_AT_A_TIME = threading.Lock()
_PREFIXES: dict[str, str] = {}


def named_catalogue(folder: Path) -> str:
    """The URL of a warehouse in a new catalogue, which PyIceberg finds by the environment; so do processes started later."""
    name = f"rest{uuid.uuid4().hex[:12]}"
    for key, value in {"TYPE": "rest", "URI": _server(), "WAREHOUSE": str(folder)}.items():
        os.environ[f"PYICEBERG_CATALOG__{name.upper()}__{key}"] = value
    return f"iceberg://{name}"


@cache
def _server() -> str:
    """Start it; it ends with the process."""
    routes = [
        Route("/v1/config", _config),
        Route("/v1/{prefix}/namespaces", _namespaces, methods=["GET", "POST"]),
        Route("/v1/{prefix}/namespaces/{namespace}", _namespace, methods=["GET", "HEAD"]),
        Route("/v1/{prefix}/namespaces/{namespace}/tables", _tables, methods=["GET", "POST"]),
        Route("/v1/{prefix}/namespaces/{namespace}/tables/{table}", _table, methods=["GET", "HEAD", "POST"]),
    ]
    server = uvicorn.Server(uvicorn.Config(Starlette(routes=routes), host="127.0.0.1", port=0, ws="none", log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"


async def _config(request: Request) -> Response:
    folder = request.query_params["warehouse"]
    prefix = _PREFIXES.setdefault(folder, uuid.uuid4().hex)
    return JSONResponse({"defaults": {}, "overrides": {"prefix": prefix}})


def _catalogue(prefix: str) -> SqlCatalog:
    folder = next(place for place, known in _PREFIXES.items() if known == prefix)
    Path(folder).mkdir(exist_ok=True)
    return SqlCatalog(prefix, uri=f"sqlite:///{folder}/rest.db", warehouse=f"file://{folder}")


async def _answer(request: Request, do: Any) -> Response:
    body = await request.body()

    def work() -> Response:
        with _ONE_AT_A_TIME:
            try:
                with _catalogue(request.path_params["prefix"]) as catalogue:
                    found = do(catalogue, body)
            except tuple(_CODES) as error:
                code = _CODES[type(error)]
                return JSONResponse({"error": {"message": str(error), "type": type(error).__name__, "code": code}}, code)
        return JSONResponse(found) if found is not None else Response(status_code=204)

    return await run_in_threadpool(work)


async def _namespaces(request: Request) -> Response:
    def do(catalogue: SqlCatalog, body: bytes) -> Any:
        if request.method == "GET":
            return {"namespaces": [list(one) for one in catalogue.list_namespaces()]}
        named = json.loads(body)["namespace"]
        catalogue.create_namespace(tuple(named))
        return {"namespace": named, "properties": {}}

    return await _answer(request, do)


async def _namespace(request: Request) -> Response:
    named = (request.path_params["namespace"],)

    def do(catalogue: SqlCatalog, _: bytes) -> Any:
        properties = catalogue.load_namespace_properties(named)
        return {"namespace": list(named), "properties": properties} if request.method == "GET" else None

    return await _answer(request, do)


async def _tables(request: Request) -> Response:
    named = (request.path_params["namespace"],)

    def do(catalogue: SqlCatalog, body: bytes) -> Any:
        if request.method == "GET":
            return {"identifiers": [{"namespace": list(named), "name": one[-1]} for one in catalogue.list_tables(named)]}
        sent = CreateTableRequest.model_validate({"location": None} | json.loads(body))
        assert sent.stage_create
        parts = {"partition_spec": sent.partition_spec, "sort_order": sent.write_order, "properties": sent.properties}
        given = {key: value for key, value in parts.items() if value is not None}
        return _shown(catalogue._create_staged_table((*named, sent.name), sent.table_schema, sent.location, **given))  # type: ignore[arg-type]

    return await _answer(request, do)


async def _table(request: Request) -> Response:
    name = (request.path_params["namespace"], request.path_params["table"])

    def do(catalogue: SqlCatalog, body: bytes) -> Any:
        if request.method != "POST":
            table = catalogue.load_table(name)
            return _shown(table) if request.method == "GET" else None
        sent = CommitTableRequest.model_validate_json(body)
        try:
            known = catalogue.load_table(name)
        except NoSuchTableError:
            known = StagedTable(name, None, "", catalogue._load_file_io(), catalogue)  # type: ignore[arg-type]
        catalogue.commit_table(known, sent.requirements, sent.updates)
        return _shown(catalogue.load_table(name))

    return await _answer(request, do)


def _shown(table: Table) -> dict[str, Any]:
    metadata = table.metadata.model_dump(mode="json", by_alias=True, exclude_none=True)
    return {"metadata-location": table.metadata_location, "metadata": metadata, "config": {}}
