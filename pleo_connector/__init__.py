"""Brings a company's spend out of Pleo into tables people can query.

Public names are imported when they are first used, so that `import pleo_connector` costs nothing
and needs neither Dagster nor pandas.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # the same names as in _HOME, for type checkers and editors
    from pleo_connector.catalogue import CATALOGUE as CATALOGUE
    from pleo_connector.catalogue import Stream as Stream
    from pleo_connector.errors import PleoError as PleoError
    from pleo_connector.file_options import ReceiptFiles as ReceiptFiles
    from pleo_connector.orchestration import PleoResource as PleoResource
    from pleo_connector.orchestration import PleoSync as PleoSync
    from pleo_connector.orchestration import PleoSyncConfig as PleoSyncConfig
    from pleo_connector.orchestration import PleoTableData as PleoTableData
    from pleo_connector.orchestration import PleoTranslator as PleoTranslator
    from pleo_connector.orchestration import WarehouseResource as WarehouseResource
    from pleo_connector.orchestration import build_pleo_assets as build_pleo_assets
    from pleo_connector.orchestration import build_pleo_connections_definitions as build_pleo_connections_definitions
    from pleo_connector.orchestration import build_pleo_definitions as build_pleo_definitions
    from pleo_connector.orchestration import get_asset_key_for_table as get_asset_key_for_table
    from pleo_connector.orchestration import load_pleo_asset_specs as load_pleo_asset_specs
    from pleo_connector.orchestration import pleo_assets as pleo_assets
    from pleo_connector.orchestration.component import PleoComponent as PleoComponent
    from pleo_connector.settings import Settings as Settings
    from pleo_connector.stream_options import StreamOptions as StreamOptions
    from pleo_connector.stream_options import SweepPolicy as SweepPolicy

    __version__: str

_HOME = {
    "CATALOGUE": "pleo_connector.catalogue",
    "PleoComponent": "pleo_connector.orchestration.component",
    "PleoError": "pleo_connector.errors",
    "PleoResource": "pleo_connector.orchestration",
    "PleoSync": "pleo_connector.orchestration",
    "PleoSyncConfig": "pleo_connector.orchestration",
    "PleoTableData": "pleo_connector.orchestration",
    "PleoTranslator": "pleo_connector.orchestration",
    "ReceiptFiles": "pleo_connector.file_options",
    "Settings": "pleo_connector.settings",
    "Stream": "pleo_connector.catalogue",
    "StreamOptions": "pleo_connector.stream_options",
    "SweepPolicy": "pleo_connector.stream_options",
    "WarehouseResource": "pleo_connector.orchestration",
    "build_pleo_assets": "pleo_connector.orchestration",
    "build_pleo_connections_definitions": "pleo_connector.orchestration",
    "build_pleo_definitions": "pleo_connector.orchestration",
    "get_asset_key_for_table": "pleo_connector.orchestration",
    "load_pleo_asset_specs": "pleo_connector.orchestration",
    "pleo_assets": "pleo_connector.orchestration",
}
"""Public name -> the module it comes from. A new public name is one line here, and one above."""

__all__ = ["__version__", *_HOME]  # noqa: PLE0604 - the names of a literal dict


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version  # noqa: PLC0415 - asked for rarely, and slow to import

        value: Any = version("pleo-connector")
    elif name in _HOME:
        value = getattr(import_module(_HOME[name]), name)
    else:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value  # found without this function from now on
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
