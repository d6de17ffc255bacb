"""What the UI, the daemon and every worker load.

Settings are the containers' variables. A `pleo.toml` with options for streams would lie beside this file.
"""

from dagster_celery import celery_executor

from pleo_connector import build_pleo_definitions

defs = build_pleo_definitions(step_per_table=True, executor=celery_executor)
