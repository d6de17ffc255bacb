"""Every asset that is materialised carries all that the asset page shows; and code references lead to the declaration."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

import pleo_connector
from pleo_connector.analytics import marts
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.orchestration import build_pleo_definitions
from tests.orchestration.place import environment


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.Definitions]:
    with environment({"PLEO_WAREHOUSE": f"duckdb:///{tmp_path_factory.mktemp('assets')}/w.duckdb"}):
        yield build_pleo_definitions(marts=True)


@pytest.fixture(scope="module")
def specs(definitions: dg.Definitions) -> dict[str, dg.AssetSpec]:
    made = [one for one in definitions.assets or () if isinstance(one, dg.AssetsDefinition)]
    return {spec.key.path[-1]: spec for one in made for spec in one.specs}


def place_of(spec: dg.AssetSpec) -> tuple[Path, int]:
    (place,) = spec.metadata["dagster/code_references"].code_references
    return Path(place.file_path), place.line_number


def test_every_table_and_mart_carries_all_that_the_page_shows(specs: dict[str, dg.AssetSpec]) -> None:
    assert set(specs) == {table.name for table in CATALOGUE.tables()} | {mart.name for mart in marts()}
    for name, spec in specs.items():
        assert spec.description and spec.owners and spec.kinds and spec.code_version and spec.group_name, name
        assert spec.freshness_policy is not None, name
        columns = spec.metadata["dagster/column_schema"].columns
        assert columns and all(column.type and column.description for column in columns), name
        assert spec.metadata["dagster/column_lineage"].deps_by_column, name
        assert spec.metadata["dagster/relation_identifier"] == f"pleo.{name}"
        assert str(spec.metadata["dagster/uri"]).endswith(f"w.duckdb#pleo.{name}")
        assert any(column.tags for column in columns) == ("pleo/personal-data" in spec.tags), name
        assert spec.deps, name
        assert place_of(spec)[0].is_file(), name


def test_code_references_lead_to_the_line_of_the_declaration(specs: dict[str, dg.AssetSpec]) -> None:
    for table in CATALOGUE.tables():
        file, line = place_of(specs[table.name])
        lines = file.read_text("utf-8").splitlines()[line - 1 :]
        assert lines[0].endswith("= Stream(") and f'name="{table.stream}"' in lines[1]
    assert place_of(specs["spend"])[0].name == "spend.sql"


def test_what_pleo_serves_leads_there_too(definitions: dg.Definitions) -> None:
    raw = [spec for spec in definitions.assets or () if isinstance(spec, dg.AssetSpec)]
    assert {spec.key.path[-1] for spec in raw} == {stream.name for stream in CATALOGUE}
    assert all(spec.description and spec.kinds and place_of(spec)[0].is_file() for spec in raw)


def test_code_references_can_be_turned_into_links(definitions: dg.Definitions) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.BetaWarning)  # as Dagster calls what a user asks for here
        mapping = dg.AnchorBasedFilePathMapping(Path(pleo_connector.__file__), "pleo_connector/__init__.py")
        linked: Any = dg.link_code_references_to_git(
            [one for one in definitions.assets or () if isinstance(one, dg.AssetsDefinition)],
            git_url="https://github.com/acme/pleo",
            git_branch="main",
            file_path_mapping=mapping,
        )
    (place,) = linked[0].specs_by_key[dg.AssetKey(["pleo", "vendors"])].metadata["dagster/code_references"].code_references
    assert place.url.startswith("https://github.com/acme/pleo/tree/main/pleo_connector/catalogue/vendors.py#L")
