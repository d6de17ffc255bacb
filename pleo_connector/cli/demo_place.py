"""`.demo/`: the one folder that the demo writes to, and the environment that points everything into it."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pleo_connector.errors import ConfigurationError, PleoError
from pleo_connector.settings import PREFIX, SANDBOX_CLIENT_ID, SANDBOX_CLIENT_SECRET, VARIABLES, Settings
from pleo_connector.settings_folder import OPTIONS_FILE

FOLDER = ".demo"
SCHEMA = "pleo"

DAGSTER_YAML = """\
# Written by `pleo-connector demo`.
telemetry:
  enabled: false
"""

DEFINITIONS = '''\
"""Written by `pleo-connector demo`: what `pleo-connector ui` shows."""

from pleo_connector.orchestration import build_pleo_definitions

defs = build_pleo_definitions()
'''

OPTIONS = """\
# Written by `pleo-connector demo`. With this file, settings of the folders above are not the demo's.
"""

WORKSPACE = """\
# Written by `pleo-connector demo`.
load_from:
  - python_file:
      relative_path: definitions.py
      location_name: pleo
"""


@dataclass(frozen=True, slots=True)
class DemoPlace:
    """The demo's folder and the files in it."""

    root: Path

    @property
    def warehouse(self) -> Path:
        """The DuckDB file."""
        return self.root / "warehouse.duckdb"

    @property
    def dagster_home(self) -> Path:
        """Runs, events and logs of Dagster."""
        return self.root / "dagster"

    @property
    def workspace(self) -> Path:
        """The file that tells Dagster's UI what to load."""
        return self.root / "workspace.yaml"

    @property
    def note(self) -> Path:
        """How the last run was started, so that the UI's sandbox serves the same data."""
        return self.root / "demo.json"

    def prepare(self) -> None:
        """Make the folder and what Dagster needs in it; ConfigurationError when that is not possible."""
        try:
            self.dagster_home.mkdir(parents=True, exist_ok=True)
            _write(self.root / ".gitignore", "*\n")
            _write(self.dagster_home / "dagster.yaml", DAGSTER_YAML)
            _write(self.root / "definitions.py", DEFINITIONS)
            _write(self.root / OPTIONS_FILE, OPTIONS)
            _write(self.workspace, WORKSPACE)
        except OSError as error:
            raise ConfigurationError(
                f"The demo cannot write its folder {self.root} ({error.strerror}); run it in a folder of your own, such as an empty new one."
            ) from None

    def remember(self, rows: int | None) -> None:
        """Note how many rows the sandbox was started with."""
        _write(self.note, json.dumps({"rows": rows}) + "\n")

    def remembered_rows(self) -> int | None:
        """The rows of the last run; None for the sample (or when no note can be read)."""
        try:
            rows = json.loads(self.note.read_text(encoding="utf-8"))["rows"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return rows if isinstance(rows, int) else None

    def environment(self, url: str, redirect_uri: str) -> dict[str, str]:
        """Every PLEO_* variable, so that neither the person's own nor a `.env` file reaches the demo."""
        return dict.fromkeys(VARIABLES, "") | {
            "PLEO_ENVIRONMENT": "sandbox",
            "PLEO_API_URL": url,
            "PLEO_AUTH_URL": url,
            "PLEO_CLIENT_ID": SANDBOX_CLIENT_ID,
            "PLEO_CLIENT_SECRET": SANDBOX_CLIENT_SECRET,
            "PLEO_REDIRECT_URI": redirect_uri,
            "PLEO_TOKEN_STORE": str(self.root / "tokens.sqlite"),
            "PLEO_HOST_MARKS": str(self.root / "host-marks"),
            "PLEO_WAREHOUSE": f"duckdb:///{self.warehouse}",
            "PLEO_SCHEMA": SCHEMA,
            "PLEO_REQUESTS_PER_MINUTE": "100000",
            "DAGSTER_HOME": str(self.dagster_home),
            "DAGSTER_DISABLE_TELEMETRY": "1",
        }


def place(folder: Path | None = None) -> DemoPlace:
    """The demo's place in a folder (default: the current one)."""
    try:
        return DemoPlace((folder or Path.cwd()).resolve() / FOLDER)
    except OSError as error:
        raise PleoError(f"The current folder cannot be used ({error.strerror}); change to another and run again.") from None


def enter(environment: Mapping[str, str]) -> None:
    """Make this the environment of this process and its children; PLEO_* names it does not have are taken out."""
    for name in [name for name in os.environ if name.startswith(PREFIX) and name not in environment and name != "PLEO_DEBUG"]:
        del os.environ[name]
    os.environ.update(environment)


def free_port(wanted: int) -> int:
    """The wanted port of 127.0.0.1, or a free one when it is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found: int = probe.getsockname()[1]
            return found
    raise PleoError("No port of 127.0.0.1 is free for the demo; stop something and run it again.")


def redirect_uri() -> str:
    """The connector's own redirect URI, on another port when that one is taken."""
    wanted = Settings().redirect_uri
    port = int(wanted.rsplit(":", 1)[1].split("/")[0])
    return wanted.replace(f":{port}/", f":{free_port(port)}/")


def _write(file: Path, text: str) -> None:
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8")
