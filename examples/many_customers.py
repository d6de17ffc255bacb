"""Hundreds of Pleo customers of one OAuth client: each is a partition, synced into a file of its own.

The files are in `warehouses/` beside this file, or beside the nearest `.env` or `pleo.toml` above it.

Customers connect by `pleo-connector portal serve`, or by `pleo-connector connect --connection <label>`. Start the sensor
`pleo_connections` once: whoever connects gets a partition within a minute, a first sync, and one every two hours from then on.
"""

from datetime import timedelta

from pleo_connector import WarehouseResource, build_pleo_connections_definitions

defs = build_pleo_connections_definitions(
    warehouse=WarehouseResource(warehouse="duckdb:///warehouses/{connection}.duckdb"),
    every=timedelta(hours=2),
    at_once=6,
    marts=False,
)
