"""The pictures of the tour: where each is taken, and what must be seen on it."""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from chromium import Tab

WIDTH, HEIGHT = 1400, 850
LARGEST = 250_000
"""Bytes of a picture; they are in the repository."""

_CLOSE_DIALOG = (
    "[...document.querySelectorAll('button')].filter(b => /^(skip|no thanks|dismiss)/i.test(b.innerText.trim())).forEach(b => b.click())"
)
_TEXT = f"({_CLOSE_DIALOG}, document.body.innerText)"
_PLOTS = (
    "(() => { const tab = [...document.querySelectorAll('button')].find(b => b.innerText.trim() === 'Plots');"
    " if (!tab) return false; tab.click(); tab.scrollIntoView(); return true; })()"
)
_IN_CONFIG = (
    "(() => { const found = document.querySelector('.CodeMirror'); if (!found || !found.CodeMirror) return false;"
    " const editor = found.CodeMirror; const line = editor.getValue().split('\\n').findIndex(text => text.includes('mode:'));"
    " if (line < 0) return false; editor.focus(); editor.setCursor({line: line, ch: 8}); return true; })()"
)


@dataclass(frozen=True, slots=True)
class Picture:
    """One page of Dagster's UI.

    path      below the UI's address
    wanted    a text that must be there before the picture is taken
    script    run once the text is there; true when it could do its work
    then      a text that must be there after the script
    """

    name: str
    path: str
    wanted: str
    script: str = ""
    then: str = ""


ENTRIES = "/assets/pleo/accounting_entries"

PICTURES = (
    Picture("asset-graph", "/locations/pleo/asset-groups/pleo/lineage", "Materialized"),
    Picture("asset-page", ENTRIES, "Owning company."),
    Picture("asset-checks", f"{ENTRIES}?view=checks&checkDetail=references_exist", "employee_id_unknown"),
    Picture("asset-plots", ENTRIES, "Owning company.", _PLOTS, "budget_used_percent"),
    Picture("asset-lineage", f"{ENTRIES}?view=lineage", "unsettled_entries"),
    Picture("mart-page", "/assets/pleo/spend_by_month", "First day of the month"),
    Picture("launchpad", "/locations/pleo/jobs/pleo_sync/playground", "allow_mass_delete", _IN_CONFIG, "Companies to read"),
)
"""Taken while all is well."""


def backfill(identity: str) -> Picture:
    """The runs of a backfill."""
    return Picture("backfill", f"/runs/b/{identity}?tab=runs", "Partition selection", then="Success")


def failed_run(identity: str) -> Picture:
    """The step failure in a run's log."""
    return Picture("failed-run", f"/runs/{identity}?logs=type%3ASTEP_FAILURE", "remedy")


async def take(tab: Tab, url: str, picture: Picture, into: Path, folder: Path) -> None:
    """Take one picture; RuntimeError when the page does not show what it should."""
    await tab.size(WIDTH, HEIGHT)
    await tab.open(f"{url}{picture.path}")
    await _shown(tab, picture, picture.wanted)
    if picture.script and not await tab.run(picture.script):
        raise RuntimeError(f"{picture.name}: the page is not built as the tour expects; Dagster has changed it.")
    if picture.then:
        await _shown(tab, picture, picture.then)
    await _settled(tab)
    await tab.run(_without_folders(folder))
    file = into / f"{picture.name}.png"
    await tab.picture(file)
    if file.stat().st_size > LARGEST:
        raise RuntimeError(f"{file.name} has {file.stat().st_size:,} bytes; at most {LARGEST:,} may be in the repository.")
    print(f"{file} ({file.stat().st_size / 1000:.0f} kB)", flush=True)


async def _shown(tab: Tab, picture: Picture, text: str) -> None:
    if not await tab.shows(text, before=_TEXT, seconds=60):
        seen = " ".join(str(await tab.run(_TEXT)).split())
        raise RuntimeError(f"{picture.name}: {picture.path} never showed {text!r}; it shows: {seen[:400]}")


async def _settled(tab: Tab) -> None:
    """Until nothing is loading and the text stays the same for three seconds; at most half a minute."""
    script = f"({_TEXT}) + document.querySelectorAll('[class*=pinner]').length"
    until, seen, since = time.monotonic() + 30, None, time.monotonic()
    while time.monotonic() < until and time.monotonic() - since < 3:
        now = await tab.run(script)
        if now != seen:
            seen, since = now, time.monotonic()
        await asyncio.sleep(0.25)


def _without_folders(folder: Path) -> str:
    """Folders of the machine that the tour runs on say nothing to a reader: the tour's own is called /pleo."""
    names = {str(folder): "/pleo", sys.prefix: ".venv"}
    return (
        "(() => { const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);"
        f" const names = {json.dumps(names)}; while (walk.nextNode()) for (const [path, name] of Object.entries(names))"
        " if (walk.currentNode.data.includes(path)) walk.currentNode.data = walk.currentNode.data.replaceAll(path, name); })()"
    )
