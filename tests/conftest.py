"""What all tests share: nothing of the developer's own settings, and repeatable examples in CI."""

from __future__ import annotations

import os

from hypothesis import settings

for name in [
    name
    for name in os.environ
    if name.startswith(("PLEO_", "DAGSTER_")) and not name.startswith(("PLEO_TEST_", "PLEO_PROOF_", "PLEO_SOAK_"))
]:
    del os.environ[name]
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
