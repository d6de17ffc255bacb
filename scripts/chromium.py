"""A headless Chromium of our own, driven over the DevTools protocol: for screenshots, and for tests of pages.

Needs `websockets`, and a Chromium on the PATH. The browser starts with an empty profile and ends with its block.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import websockets

_FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)


def installed() -> str | None:
    """Where Chromium is, if it is anywhere."""
    return shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Tab:
    """The one tab."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self._socket = socket
        self._number = 0

    async def call(self, method: str, **params: Any) -> Any:
        """Run one command of the protocol and return its result."""
        self._number += 1
        await self._socket.send(json.dumps({"id": self._number, "method": method, "params": params}))
        while True:
            message = json.loads(await self._socket.recv())
            if message.get("id") == self._number:
                return message.get("result", {})

    async def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page (which itself needs none)."""
        result = await self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return result.get("result", {}).get("value")

    async def size(self, width: int, height: int, *, dark: bool = False) -> None:
        """How large the page is shown, and in which colours."""
        await self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)
        await self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])

    async def open(self, url: str) -> None:
        """Go to an address."""
        await self.call("Page.navigate", url=url)

    async def shows(self, text: str, *, before: str = "document.body.innerText", seconds: float = 90) -> bool:
        """Wait until the page shows a text, and is loaded; `before` is evaluated at each look and gives the page's text."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            seen = await self.run(f"document.readyState === 'complete' && document.body ? String({before}) : ''")
            if text in str(seen or ""):
                return True
            await asyncio.sleep(0.1)
        return False

    async def press(self, selector: str) -> None:
        """Click what a CSS selector finds first, as a person would: the browser's own mouse."""
        where = await self.run(
            f"(() => {{ const found = document.querySelector({json.dumps(selector)}); if (!found) return null; "
            "found.scrollIntoView({block: 'center'}); const box = found.getBoundingClientRect(); "
            "return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        if where is None:
            raise LookupError(f"nothing on the page is {selector}")
        for kind in ("mousePressed", "mouseReleased"):
            await self.call("Input.dispatchMouseEvent", type=kind, x=where[0], y=where[1], button="left", clickCount=1)

    async def type(self, selector: str, text: str) -> None:
        """Write into a field."""
        await self.press(selector)
        await self.call("Input.insertText", text=text)

    async def picture(self, file: Path, *, whole: bool = False) -> None:
        """A PNG of what is seen, or of the whole page."""
        shot = await self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(shot["data"]))


@asynccontextmanager
async def tab_of(port: int) -> AsyncIterator[Tab]:
    """The one tab of the browser at `port`."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
        tab = next(tab for tab in json.load(answer) if tab["type"] == "page")
    async with websockets.connect(tab["webSocketDebuggerUrl"], max_size=None) as socket:
        yield Tab(socket)


@contextmanager
def chromium(*flags: str) -> Iterator[int]:
    """A browser for the block; gives the port of its DevTools."""
    program = installed()
    if program is None:
        raise SystemExit("No Chromium here; install one (Debian: apt-get install chromium).")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        command = [program, *_FLAGS, *flags, f"--user-data-dir={profile}", "about:blank"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            command.insert(1, "--no-sandbox")
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            assert browser.stderr is not None
            line = next(line for line in browser.stderr if "DevTools listening" in line)
            yield int(line.rsplit(":", 1)[1].split("/")[0])
        finally:
            browser.terminate()
            browser.communicate()
