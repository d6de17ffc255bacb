"""docs/settings.md lists every variable, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from pleo_connector.settings import PREFIX, Settings

PAGE = Path(__file__).parents[1] / "docs" / "settings.md"
OTHERWISE = {"schema_name": "PLEO_SCHEMA", "connection_label": "PLEO_CONNECTION"}


def test_every_variable_is_on_the_page() -> None:
    listed = set(
        re.findall(r"`(PLEO_[A-Z_]+)`", "".join(line.split("|")[1] for line in PAGE.read_text().splitlines() if line.startswith("| `")))
    )
    assert listed == {OTHERWISE.get(name, PREFIX + name.upper()) for name in Settings.model_fields}
