"""Assets of a user's own, downstream of ours, that Dagster's automation conditions start."""

from __future__ import annotations

from copy import deepcopy

import dagster as dg
import pytest

from pleo_connector.orchestration import build_pleo_definitions
from pleo_connector.sandbox import RunningSandbox
from tests.orchestration.place import Place, environment

VENDORS = dg.AssetKey(["pleo", "vendors"])
# As docs/dagster.md shows it.
ROWS_CHANGED = (
    dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed()).since_last_handled()
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
)


@dg.asset(deps=[VENDORS], automation_condition=dg.AutomationCondition.eager())
def after_each_sync() -> None: ...


@dg.asset(deps=[VENDORS], automation_condition=ROWS_CHANGED)
def after_changes() -> None: ...


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Parameter `include_sources`:dagster.BetaWarning")  # Dagster's own, of a function that is not beta
def test_a_mart_follows_each_sync_or_only_what_changed(place: Place, sandbox: RunningSandbox) -> None:
    ours = [after_each_sync, after_changes]
    with environment(place.environment):
        definitions = dg.Definitions.merge(build_pleo_definitions(streams=["companies", "vendors"]), dg.Definitions(assets=ours))
    with dg.DagsterInstance.ephemeral() as instance:
        looks: list[dg.EvaluateAutomationConditionsResult] = []

        def started() -> set[str]:
            """What a look starts; it is materialised at once, as the daemon would."""
            looks.append(dg.evaluate_automation_conditions(definitions, instance, cursor=looks[-1].cursor if looks else None))
            found = [one for one in ours if looks[-1].get_num_requested(one.key)]
            if found:
                dg.materialize([*found, dg.AssetSpec(VENDORS)], selection=found, instance=instance)
            return {one.key.to_user_string() for one in found}

        def sync() -> None:
            assert place.run(["vendors"], instance=instance).success

        assert started() == set(), "there is no table yet"
        sync()
        assert started() == {"after_each_sync", "after_changes"}
        assert started() == set()
        sync()
        assert started() == {"after_each_sync"}, "no row has changed"
        assert started() == set()
        vendor = deepcopy(sandbox.state.records("vendors")[0])
        sandbox.state.put("vendors", vendor | {"name": "Renamed by a test"})
        try:
            sync()
        finally:
            sandbox.state.start_over()
        assert started() == {"after_each_sync", "after_changes"}
