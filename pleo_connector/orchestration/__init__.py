"""Floor 4: Pleo's tables as Dagster assets. Start reading at `definitions.py`; one run is `step.py`."""

from pleo_connector.orchestration.asset_decorator import PleoSync, pleo_assets
from pleo_connector.orchestration.assets import get_asset_key_for_table
from pleo_connector.orchestration.connections import build_pleo_connections_definitions
from pleo_connector.orchestration.definitions import build_pleo_definitions, load_pleo_asset_specs
from pleo_connector.orchestration.launchpad import PleoSyncConfig
from pleo_connector.orchestration.resources import PleoResource, WarehouseResource
from pleo_connector.orchestration.steps import build_pleo_assets
from pleo_connector.orchestration.translator import PleoMartData, PleoTableData, PleoTranslator

__all__ = [
    "PleoMartData",
    "PleoResource",
    "PleoSync",
    "PleoSyncConfig",
    "PleoTableData",
    "PleoTranslator",
    "WarehouseResource",
    "build_pleo_assets",
    "build_pleo_connections_definitions",
    "build_pleo_definitions",
    "get_asset_key_for_table",
    "load_pleo_asset_specs",
    "pleo_assets",
]
