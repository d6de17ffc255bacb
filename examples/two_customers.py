"""Two Pleo customers side by side: each with its own credential, keys, group, budget and warehouse.

Their API keys are in ACME_PLEO_KEY and GLOBEX_PLEO_KEY. With an OAuth client, leave `api_key` out, give each a `connection_label`,
and connect each once: `pleo-connector connect --connection acme`. The tables are in `warehouses/` beside this file, or beside the nearest
`.env` or `pleo.toml` above it.
"""

import dagster as dg

from pleo_connector import PleoResource, WarehouseResource, build_pleo_definitions


def customer(name: str, requests_per_minute: int) -> dg.Definitions:
    """Everything of one customer; its name starts the keys of its assets and the names of its jobs, schedules and resources."""
    return build_pleo_definitions(
        name=name,
        pleo=PleoResource(
            api_key=dg.EnvVar(f"{name.upper()}_PLEO_KEY"),
            connection_label=name,
            requests_per_minute=requests_per_minute,
            budget_scope="process",
        ),
        warehouse=WarehouseResource(warehouse=f"duckdb:///warehouses/{name}.duckdb", schema_name=name),
        marts=False,
    )


defs = dg.Definitions.merge(customer("acme", 400), customer("globex", 100))
