from __future__ import annotations

import ast
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import pleo_connector

ROOT = Path(__file__).parents[1]
LOCKS = ("requirements.lock", "requirements-oldest.lock")


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def asked_for() -> list[Requirement]:
    """Everything that pyproject.toml names: dependencies, extras, and the developers' tools."""
    table = project()
    lines = [*table["project"]["dependencies"], *table["dependency-groups"]["dev"]]
    lines += [line for extra in table["project"]["optional-dependencies"].values() for line in extra]
    return [Requirement(line) for line in lines]


def pins(lock: str) -> list[tuple[Requirement, list[str]]]:
    """(`name==version ; marker`, hashes) of each entry in a lock file."""
    entries = re.sub(r"\\\n\s*", " ", (ROOT / lock).read_text(encoding="utf-8")).splitlines()
    parts = [entry.split(" --hash=") for entry in entries if entry and not entry.startswith("#")]
    return [(Requirement(first.strip()), [value.strip() for value in hashes]) for first, *hashes in parts]


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_pins_everything_with_hashes(lock: str) -> None:
    entries = pins(lock)
    assert len(entries) > 50
    for requirement, hashes in entries:
        assert re.fullmatch(r"==[^,*]+", str(requirement.specifier)), requirement
        assert requirement.url is None
        assert hashes, f"{requirement} has no hash"
        assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", value) for value in hashes), requirement


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_names_no_index_and_no_path(lock: str) -> None:
    text = (ROOT / lock).read_text(encoding="utf-8")
    assert re.findall(r"://|--(?!hash=)\S+|^-\S+", text, flags=re.MULTILINE) == []


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_holds_all_that_the_project_asks_for(lock: str) -> None:
    locked: dict[str, list[Version]] = {}
    for requirement, _ in pins(lock):
        (specifier,) = requirement.specifier
        locked.setdefault(canonicalize_name(requirement.name), []).append(Version(specifier.version))
    for wanted in asked_for():
        versions = locked.get(canonicalize_name(wanted.name), [])
        assert versions, f"{wanted.name} is not in {lock}: run scripts/lock"
        assert all(version in wanted.specifier for version in versions), f"{wanted} is not what {lock} pins: run scripts/lock"


def test_the_oldest_lock_pins_the_lowest_versions_that_the_project_allows() -> None:
    locked = {canonicalize_name(requirement.name): str(requirement.specifier)[2:] for requirement, _ in pins("requirements-oldest.lock")}
    for wanted in asked_for():
        (lowest,) = [part.version for part in wanted.specifier if part.operator == ">="]
        pinned = locked[canonicalize_name(wanted.name)]
        assert Version(pinned).release[: len(Version(lowest).release)] == Version(lowest).release, f"{wanted} is pinned to {pinned}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=100)
    assert done.returncode == 0, done.stderr
    return target


def test_the_wheel_holds_the_package_its_types_and_the_sample_data(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "pleo_connector").rglob("*.py")}
    assert ours <= names
    assert "pleo_connector/py.typed" in names
    sample = {path.name for path in (ROOT / "sample_data").iterdir() if path.is_file()}
    assert sample, "there is no sample data"
    assert {f"pleo_connector/sandbox/sample_data/{name}" for name in sample} <= names
    assert {name.split("/")[0].split("-")[0] for name in names} == {"pleo_connector"}, "nothing but the package is installed"
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert any(name.endswith("entry_points.txt") for name in names)


def test_the_readme_installs_the_wheel_that_is_built(built: Path) -> None:
    (wheel,) = built.glob("*.whl")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert f"pip install 'dist/{wheel.name}[ui]'" in readme
    assert "pip install 'pleo-connector[ui] @ git+https://" in readme
    assert "pip install 'pleo-connector[ui]'" not in readme


def test_the_source_distribution_holds_what_is_needed_to_test_it(built: Path) -> None:
    (source,) = built.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.split("/", 1)[1] for name in archive.getnames()}
    expected = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", "Makefile", "requirements.lock"}
    assert expected | {"contract/pleo-read-contract.yaml", "tests/conftest.py", "pleo_connector/py.typed"} <= names
    assert not [name for name in names if name.startswith((".venv", ".git/", ".demo")) or name.endswith((".duckdb", ".env"))]


def test_importing_the_package_imports_nothing_heavy() -> None:
    program = (
        "import sys, pleo_connector\n"
        "heavy = {'dagster', 'pandas', 'pyarrow', 'duckdb', 'httpx', 'pydantic', 'numpy'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "pleo_connector.CATALOGUE, pleo_connector.Stream, pleo_connector.PleoError\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "pleo_connector.Settings\n"
        "assert not (heavy - {'pydantic'}) & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def test_every_public_name_is_there_and_an_unknown_one_is_not() -> None:
    for name in pleo_connector.__all__:
        assert getattr(pleo_connector, name) is getattr(pleo_connector, name)
        assert name in dir(pleo_connector)
    with pytest.raises(AttributeError, match="module 'pleo_connector' has no attribute 'Pleo'"):
        _ = pleo_connector.Pleo


def test_the_version_is_the_project_s() -> None:
    assert pleo_connector.__version__ == project()["project"]["version"]


def test_type_checkers_see_the_same_public_names() -> None:
    tree = ast.parse((ROOT / "pleo_connector" / "__init__.py").read_text(encoding="utf-8"))
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    seen = {alias.asname for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen | {"__version__"} == set(pleo_connector.__all__)
