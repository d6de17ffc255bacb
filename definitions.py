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


@dg.definitions
def defs() -> dg.Definitions:
    """The Pleo connection of the environment, with whatever was scaffolded into `pleo_connector/defs`."""
    scaffolded = dg.load_from_defs_folder(path_within_project=Path(__file__).parent)
    return dg.Definitions.merge(build_pleo_definitions(), scaffolded)
