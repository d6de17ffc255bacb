"""What the tour shows: the work of a code location in a folder of its own, on a local Pleo that changes in between."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from pleo_connector.cli.demo_place import DemoPlace
from pleo_connector.cli.demo_run import JOB, materialise
from pleo_connector.cli.local_pleo import LocalPleo
from pleo_connector.cli.output import Output

LOCATION, MONTHS_LOCATION = "pleo", "months"
ROUNDS = (9, 31, 4, 17, 24)
"""Entries that are new before each further sync: as uneven as work is."""

_ENDED = {"SUCCESS", "FAILURE", "CANCELED"}
_LONGEST = 180.0

_MONTHS_DEFINITIONS = '''\
"""Accounting entries by month, in a warehouse of their own."""

from pathlib import Path

from pleo_connector.orchestration import build_pleo_definitions
from pleo_connector.settings import load

defs = build_pleo_definitions(
    load(env_file=None).model_copy(update={"warehouse": f"duckdb:///{Path(__file__).with_name('months.duckdb')}", "schema_name": "months"}),
    name="months",
    streams=["companies", "accounting_entries"],
    partitioned=True,
)
'''

_WORKSPACE = """\
load_from:
  - python_file: {relative_path: definitions.py, location_name: pleo}
  - python_file: {relative_path: months.py, location_name: months}
"""


def prepare(place: DemoPlace) -> None:
    """The demo's folder, with a second code location whose entries have partitions."""
    place.prepare()
    (place.root / "months.py").write_text(_MONTHS_DEFINITIONS, encoding="utf-8")
    place.workspace.write_text(_WORKSPACE, encoding="utf-8")


def work(place: DemoPlace, pleo: LocalPleo, output: Output) -> None:
    """The first sync, and one more after each round of changes."""
    materialise(place, pleo.settings, output)
    for number, new in enumerate(ROUNDS):
        output.note(f"Sync {number + 2} of {len(ROUNDS) + 1}, after {new} new entries ...")
        change(pleo, number, new)
        materialise(place, pleo.settings, output)


def change(pleo: LocalPleo, number: int, new: int) -> None:
    """What a company does between two syncs: people spend, bookkeepers correct, and an entry goes away."""
    state = pleo.sandbox.state
    entries = sorted(state.records("accounting_entries"), key=lambda entry: str(entry["performedAt"]))
    now = datetime.now(UTC)
    for index, entry in enumerate(entries[-new:] if new else []):
        moment = (now - timedelta(minutes=index)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        identity = str(uuid.uuid5(uuid.NAMESPACE_URL, f"{number}:{entry['id']}"))
        state.put("accounting_entries", entry | {"id": identity, "performedAt": moment, "createdAt": moment})
    for entry in entries[-60 : -60 + 3 * number + 2]:
        state.put("accounting_entries", entry | {"note": f"Corrected in round {number}"})
    state.remove("accounting_entries", str(entries[-70 - number]["id"]))


def revoke(pleo: LocalPleo) -> None:
    """As if an administrator had removed the connection in Pleo: the next sync cannot log in."""
    pleo.sandbox.state.revoke_grants()


class Ui:
    """Dagster's own API, as its pages use it."""

    def __init__(self, url: str) -> None:
        self.url = url

    def ask(self, query: str, **variables: Any) -> Any:
        """The answer's data; RuntimeError with what Dagster says where it has none."""
        answer = httpx.post(f"{self.url}/graphql", json={"query": query, "variables": variables}, timeout=60.0, trust_env=False).json()
        if answer.get("errors"):
            raise RuntimeError(f"Dagster refuses a query of the tour: {answer['errors'][0]['message']}")
        return answer["data"]

    def sync(self) -> str:
        """Start the sync as the launchpad does; the run's id once it has ended."""
        selector = {"repositoryLocationName": LOCATION, "repositoryName": "__repository__", "jobName": JOB}
        said = self.ask(
            "mutation($p: ExecutionParams!) {launchRun(executionParams: $p) {__typename ... on LaunchRunSuccess {run {id}}"
            " ... on PythonError {message}}}",
            p={"selector": selector, "runConfigData": "{}", "mode": "default"},
        )["launchRun"]
        if "run" not in said:
            raise RuntimeError(f"Dagster did not start the sync: {said}")
        run = str(said["run"]["id"])
        query = "query($i: ID!) {runOrError(runId: $i) {... on Run {status}}}"
        self._until(lambda: self.ask(query, i=run)["runOrError"]["status"] in _ENDED)
        return run

    def backfill(self, months: Sequence[str]) -> str:
        """Read these months as one run; the backfill's id once that has ended."""
        said = self.ask(
            "mutation($p: LaunchBackfillParams!) {launchPartitionBackfill(backfillParams: $p) {__typename"
            " ... on LaunchBackfillSuccess {backfillId} ... on PythonError {message}}}",
            p={
                "assetSelection": [{"path": [MONTHS_LOCATION, table]} for table in self.months_tables()],
                "partitionNames": list(months),
                "title": "Read the year again",
            },
        )["launchPartitionBackfill"]
        if "backfillId" not in said:
            raise RuntimeError(f"Dagster did not start the backfill: {said}")
        backfill = str(said["backfillId"])
        query = "query($i: String!) {partitionBackfillOrError(backfillId: $i) {... on PartitionBackfill {status}}}"
        self._until(lambda: str(self.ask(query, i=backfill)["partitionBackfillOrError"]["status"]).startswith(("COMPLETED", "FAILED")))
        return backfill

    def months_tables(self) -> list[str]:
        """The tables that have months."""
        nodes = self.ask("{assetNodes {assetKey {path} isPartitioned}}")["assetNodes"]
        return [node["assetKey"]["path"][-1] for node in nodes if node["isPartitioned"]]

    def _until(self, ended: Callable[[], bool]) -> None:
        deadline = time.monotonic() + _LONGEST
        while not ended():
            if time.monotonic() > deadline:
                raise RuntimeError(f"Dagster did not end a run of the tour within {_LONGEST:.0f} s.")
            time.sleep(0.5)
