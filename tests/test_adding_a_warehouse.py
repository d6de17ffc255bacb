"""docs/add-a-warehouse.md, followed word for word: the warehouse passes the contract, and whatever step is left out is named."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RECIPE = (ROOT / "docs" / "add-a-warehouse.md").read_text(encoding="utf-8")
MODULE, ENTRY_POINT, LINE, READER = re.findall(r":\n\n```(?:python|toml|text)\n(.*?)```", RECIPE, re.DOTALL)
CONFTEST = ("conftest.py", "URLS: dict[str, Callable[[Path], str]] = {\n")
DESCRIPTIONS = ("descriptions.py", "_READERS: dict[str, Callable[[Warehouse, str, Table], Descriptions]] = {\n")

SOME = "quack and not million"


def follow(root: Path, *, module: str = MODULE, entry_point: str = ENTRY_POINT, line: str = LINE, reader: str = READER) -> None:
    """A copy of the contract suite, and the package beside it as pip would install it."""
    shutil.copytree(ROOT / "tests", root / "tests", ignore=shutil.ignore_patterns("__pycache__", "fixtures"))
    for (name, anchor), lines in ((CONFTEST, line), (DESCRIPTIONS, reader)):
        file = root / "tests" / "warehouses" / name
        text = file.read_text(encoding="utf-8")
        assert text.count(anchor) == 1
        file.write_text(text.replace(anchor, f"{anchor}{lines}"), encoding="utf-8")
    shutil.copy(ROOT / "pyproject.toml", root / "pyproject.toml")
    (root / "site").mkdir()
    if module:
        (root / "site" / "pleo_quack.py").write_text(module, encoding="utf-8")
    installed = root / "site" / "pleo_quack-1.0.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: pleo-quack\nVersion: 1.0\n", encoding="utf-8")
    groups = tomllib.loads(entry_point).get("project", {}).get("entry-points", {})
    sections = [f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items()) for group, points in groups.items()]
    (installed / "entry_points.txt").write_text("".join(sections), encoding="utf-8")


def run(root: Path, *command: str) -> tuple[int, str]:
    environ = os.environ | {"PYTHONPATH": os.pathsep.join([str(root / "site"), str(root)])}
    done = subprocess.run([sys.executable, *command], cwd=root, env=environ, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def contract(root: Path, chosen: str = SOME) -> tuple[int, str]:
    return run(
        root,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "tests/warehouses/test_what_every_warehouse_does.py",
        "tests/warehouses/test_deletions_and_state_in_every_warehouse.py",
        "-k",
        chosen,
    )


def command(root: Path) -> str:
    """What a user meets."""
    open_it = "from pleo_connector.warehouses import open_warehouse; open_warehouse('quack:///spend.duckdb', 'pleo')"
    return run(root, "-c", open_it)[1]


@pytest.mark.slow
def test_the_made_up_warehouse_passes_the_contract(tmp_path: Path) -> None:
    follow(tmp_path)
    code, out = contract(tmp_path)
    assert code == 0, out
    assert int(re.search(r"(\d+) passed", out)[1]) >= 8  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("left_out", "sentence"),
    [
        ({"module": ""}, "The warehouse plug-in for quack: URLs (pleo_quack:build) cannot be imported: No module named 'pleo_quack'."),
        ({"entry_point": ""}, "PLEO_WAREHOUSE starts with quack:, which is no known warehouse"),
    ],
    ids=["the classes", "the entry point"],
)
def test_a_step_that_was_left_out_is_named(tmp_path: Path, left_out: dict[str, str], sentence: str) -> None:
    follow(tmp_path, **left_out)
    assert sentence in command(tmp_path)


@pytest.mark.slow
def test_a_warehouse_whose_comments_nobody_reads_is_named(tmp_path: Path) -> None:
    follow(tmp_path, reader="")
    code, out = contract(tmp_path, "quack and say_what_they_hold")
    assert code == 1 and "descriptions.py does not say how comments of quack are read: add it to _READERS" in out


@pytest.mark.slow
def test_a_warehouse_that_is_not_in_the_suite_is_not_tested(tmp_path: Path) -> None:
    follow(tmp_path, line="")
    code, out = contract(tmp_path)
    assert code == 5 and "deselected" in out, "pytest says that it ran nothing"
