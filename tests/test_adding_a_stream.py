"""docs/add-a-stream.md, followed word for word in a copy of the repository: the stream syncs, and whatever step is left out is named."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECIPE = (ROOT / "docs" / "add-a-stream.md").read_text(encoding="utf-8")

SYNC = """
import sys, duckdb, httpx
from pleo_connector import sync
from pleo_connector.sandbox import API_KEY, SandboxConfig, running
from pleo_connector.warehouses import open_warehouse
with running(SandboxConfig(port=0)) as pleo:
    connection = sync.Connection(pleo.url, httpx.BasicAuth(API_KEY, ""))
    report = sync.run(sync.SyncPlan(("projects",)), connection, open_warehouse(f"duckdb:///{sys.argv[1]}", "pleo"))
    assert not report.failures, report.failures
with duckdb.connect(sys.argv[1]) as shell:
    print(shell.execute("SELECT count(*), count(DISTINCT company_id), min(name), max(code) FROM pleo.projects").fetchall())
"""


@dataclass(frozen=True)
class Step:
    """One edit of the recipe: a new file, lines before or after an anchor, or a script to run."""

    verb: str
    path: str
    where: str = ""
    anchor: str = ""
    text: str = ""

    def __str__(self) -> str:
        return f"{self.verb} {self.path} {self.anchor}".strip()

    def follow(self, root: Path) -> None:
        file = root / self.path
        if self.verb == "Run":
            subprocess.run([sys.executable, file], cwd=root, env={"PYTHONPATH": str(root)}, check=True)
        elif self.verb == "Create":
            file.write_text(self.text, encoding="utf-8")
        else:
            before = file.read_text(encoding="utf-8")
            assert before.count(f"\n{self.anchor}\n") == 1, f"{self.path} has no line {self.anchor!r}"
            lines = f"{self.anchor}\n{self.text}" if self.where == "after" else f"{self.text}{self.anchor}\n"
            file.write_text(before.replace(f"\n{self.anchor}\n", f"\n{lines}"), encoding="utf-8")

    def undo(self, root: Path) -> None:
        """As if this step alone had been left out."""
        file = root / self.path
        if self.path == "scripts/make-sample-data":
            (root / "sample_data" / "projects.jsonl").unlink()
        elif self.verb == "Run":
            page = {"scripts/coverage": "docs/coverage.md", "scripts/data-dictionary": "docs/data-dictionary.md"}[self.path]
            shutil.copy(ROOT / page, root / page)
        elif self.verb == "Create":
            file.unlink()
        else:
            file.write_text(file.read_text(encoding="utf-8").replace(self.text, "", 1), encoding="utf-8")


_EDIT = r"In `(?P<edited>[^`]+)`, (?P<where>before|after) `(?P<anchor>[^`]+)`:\n\n```\w+\n(?P<lines>.*?)```"
_CREATE = r"Create `(?P<created>[^`]+)`:\n\n```\w+\n(?P<content>.*?)```"


def steps() -> list[Step]:
    found = []
    for match in re.finditer(rf"{_EDIT}|{_CREATE}|Run `(?P<script>scripts/[^`]+)`\.", RECIPE, re.DOTALL):
        if match["edited"]:
            found.append(Step("In", match["edited"], match["where"], match["anchor"], match["lines"]))
        elif match["created"]:
            found.append(Step("Create", match["created"], text=match["content"]))
        else:
            found.append(Step("Run", match["script"]))
    return found


STEPS = steps()

NAMES = [
    "no operation searchProjects; add it to contract/pleo-read-contract.yaml",
    "contract/pleo-read-contract.yaml has no 'ProjectResponse'",
    "No module named 'pleo_connector.catalogue.projects'",
    "name 'PROJECTS' is not defined",
    "add PROJECTS to CATALOGUE in pleo_connector/catalogue/registry.py",
    "add it to DEFAULT_SCOPES in pleo_connector/settings.py",
    "add it to pleo_connector/sandbox/consent_page.py",
    "does not filter by codes; add it to OPERATIONS in pleo_connector/sandbox/contract.py",
    "no sample records in sample_data/projects.jsonl; make some in scripts/make-sample-data",
    "no sample records in sample_data/projects.jsonl; make some in scripts/make-sample-data, and run it",
    "docs/coverage.md is not what the catalogue says now; run scripts/coverage",
    "docs/data-dictionary.md is not what the catalogue says now; run scripts/data-dictionary",
]
"""What says that a step was left out, in the order of the recipe."""


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the repository in which every step was done."""
    root = tmp_path_factory.mktemp("copy")
    leave_out = shutil.ignore_patterns("__pycache__", "images", "decisions")
    for folder in ("pleo_connector", "contract", "sample_data", "scripts", "docs"):
        shutil.copytree(ROOT / folder, root / folder, ignore=leave_out)
    (root / "tests").mkdir()
    for name in ("catalogue_contract.py", "stream_needs.py"):
        shutil.copy(ROOT / "tests" / name, root / "tests" / name)
    for step in STEPS:
        step.follow(root)
    return root


def needs(root: Path) -> str:
    """What `python -m tests.stream_needs` prints there, errors too."""
    done = subprocess.run([sys.executable, "-m", "tests.stream_needs"], cwd=root, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_made_up_stream_needs_nothing_more_and_syncs(followed: Path, tmp_path: Path) -> None:
    assert len(STEPS) == len(NAMES)
    assert needs(followed).strip() == ""
    done = subprocess.run(
        [sys.executable, "-c", SYNC, str(tmp_path / "w.duckdb")], cwd=followed, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "[(15, 5, 'Project 0', 'P2')]", done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("number", range(len(NAMES)), ids=[str(step) for step in STEPS])
def test_a_step_that_was_left_out_is_named(followed: Path, tmp_path: Path, number: int) -> None:
    root = tmp_path / "copy"
    shutil.copytree(followed, root, ignore=shutil.ignore_patterns("__pycache__"))
    STEPS[number].undo(root)
    assert NAMES[number] in needs(root)
