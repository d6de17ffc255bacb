"""What a stream of the catalogue needs beside its declaration: one sentence for each thing that is missing, with the file to edit.

`docs/add-a-stream.md` is the recipe; `python -m tests.stream_needs` prints what it still lacks.
"""

from __future__ import annotations

import runpy
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

from pleo_connector import catalogue
from pleo_connector.catalogue import CATALOGUE, CompanyIn, Stream
from pleo_connector.sandbox.consent_page import WHAT_SCOPES_ALLOW
from pleo_connector.sandbox.contract import Archived, operation
from pleo_connector.settings import DEFAULT_SCOPES
from tests.catalogue_contract import body_fields, faults, operations, query_parameters

ROOT = Path(__file__).parents[1]

PAGES = {"docs/coverage.md": ("scripts/coverage", "coverage"), "docs/data-dictionary.md": ("scripts/data-dictionary", "dictionary")}
"""Pages that are written from the catalogue: the script, and its function that returns the page."""

_PAGING = {"before", "after", "offset", "limit", "sorting_keys", "sorting_order", "organization_id", "include_archived"}
_FLAGS = {"includeDeleted", "includeArchived", "archived"}

NOT_FILTERED = {
    "tag_groups": {"include_tags_count"},
    "tags": {"textSearch"},
    "accounting_entries": {"hasAccount", "hasBookkeepingDate", "hasNote", "settled", "tagGroupIdsUnset"},
    "receipts": {"employeeIds", "partner_id"},
    "subscriptions": {"event_types"},
}
"""By stream: parameters that the sandbox leaves unread; no sync sends them."""


def missing() -> list[str]:
    """One sentence for each thing that is missing, pages last; empty when the catalogue is complete."""
    found = [*_unlisted(), *(sentence for stream in CATALOGUE for sentence in _of(stream))]
    return found or list(_stale_pages())


def _unlisted() -> Iterator[str]:
    for module in iter_modules(catalogue.__path__):
        declared = vars(import_module(f"pleo_connector.catalogue.{module.name}")).items()
        for name, value in declared:
            if isinstance(value, Stream) and value not in CATALOGUE:
                yield (
                    f"{value.name}: declared in pleo_connector/catalogue/{module.name}.py and not listed; "
                    f"add {name} to CATALOGUE in pleo_connector/catalogue/registry.py"
                )


def _of(stream: Stream) -> Iterator[str]:
    if stream.operation not in operations():
        yield f"{stream.name}: the contract has no operation {stream.operation}; add it to contract/pleo-read-contract.yaml"
        return
    try:
        yield from faults(stream)
    except KeyError as error:
        yield f"{stream.name}: contract/pleo-read-contract.yaml has no {error}, which the operation {stream.operation} refers to; add it"
        return
    if stream.scope and stream.scope not in DEFAULT_SCOPES.split():
        yield f"{stream.name}: a login does not ask for the scope {stream.scope}; add it to DEFAULT_SCOPES in pleo_connector/settings.py"
    if stream.scope and stream.scope not in WHAT_SCOPES_ALLOW:
        yield f"{stream.name}: the consent page does not say what {stream.scope} allows; add it to pleo_connector/sandbox/consent_page.py"
    sample = ROOT / "sample_data" / f"{stream.name}.jsonl"
    if not sample.is_file() or not sample.read_bytes().strip():
        yield (
            f"{stream.name}: there are no sample records in sample_data/{stream.name}.jsonl; "
            "make some in scripts/make-sample-data, and run it"
        )
    for name in sorted(_documented_filters(stream) - _filters_of_the_sandbox(stream)):
        if name not in NOT_FILTERED.get(stream.name, ()):
            yield f"{stream.name}: the sandbox does not filter by {name}; add it to OPERATIONS in pleo_connector/sandbox/contract.py"


def _documented_filters(stream: Stream) -> set[str]:
    """Parameters and body fields of the operation that choose records."""
    company = {member.value for member in CompanyIn}
    return (set(query_parameters(stream)) | set(body_fields(stream))) - _PAGING - _FLAGS - company - {"companyId", "company_id"}


def _filters_of_the_sandbox(stream: Stream) -> set[str]:
    rules = operation(stream.operation)
    names = {name for name, _ in (*rules.any_of, *rules.equals, *rules.required_body)}
    names |= {f"{field}{side}" for field in rules.windows for side in ("Start", "End")}
    names |= {stream.parent.parameter} if stream.parent is not None else set()
    return names | ({"include_archived"} if rules.archived is Archived.QUERY_FLAG else set())


def _stale_pages() -> Iterator[str]:
    for page, (script, function) in PAGES.items():
        if (ROOT / page).read_text(encoding="utf-8") != runpy.run_path(str(ROOT / script))[function]():
            yield f"{page} is not what the catalogue says now; run {script}"


if __name__ == "__main__":
    sys.stdout.writelines(f"{sentence}\n" for sentence in missing())
