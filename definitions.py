"""The Dagster code location of this project: `dg dev` and `dg check defs` load `defs`.

In a project of your own, this is all you need (plus your own assets):

    import dagster as dg
    from pleo_connector.orchestration import build_pleo_definitions

    defs = build_pleo_definitions()

What is read from where, and written where, is in the `PLEO_*` environment variables or in `.env`.
"""

from pathlib import Path

import dagster as dg

from pleo_connector.orchestration import build_pleo_definitions

HERE = Path(__file__).parent


@dg.definitions
def defs() -> dg.Definitions:
    """The Pleo connection of the environment, with whatever was scaffolded into `pleo_connector/defs`."""
    ours = build_pleo_definitions()
    scaffolded = {one.name for one in (HERE / "pleo_connector" / "defs").iterdir()} - {"__init__.py", "__pycache__"}
    if not scaffolded:  # Dagster looks through every component that is installed before it finds that a folder is empty
        return ours
    return dg.Definitions.merge(ours, dg.load_from_defs_folder(path_within_project=HERE))
