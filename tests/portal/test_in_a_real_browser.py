"""The whole way in headless Chromium, over TLS and under a path prefix, with JavaScript switched off in the pages.

With PLEO_TEST_SCREENSHOTS=1 it also makes the pictures of docs/images again: that is the command for them.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from pleo_connector.auth.stores import State
from pleo_connector.portal.parts import parts_of
from pleo_connector.sandbox import SandboxConfig, running
from pleo_connector.settings import load
from scripts.chromium import Tab, chromium, installed, tab_of
from tests.auth.harness import free_port
from tests.portal.harness import PASSWORD, Hosted, environment, serving
from tests.tls_proxy import TLSProxy

IMAGES = Path(__file__).parents[2] / "docs" / "images"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(installed() is None, reason="no Chromium here (Debian: apt-get install chromium)"),
]


@contextmanager
def behind_tls(folder: Path) -> Iterator[tuple[Hosted, str]]:
    """The portal at an https address, and the flag that makes a browser trust its certificate, and no other."""
    with TLSProxy(folder) as proxy:
        url = f"{proxy.url}/pleo"
        config = SandboxConfig(port=0, requests_per_minute=0, redirect_uris=(f"{url}/callback",), withheld_scopes=("export-items:read",))
        with running(config) as sandbox:
            environ = environment(sandbox.url, url, folder)
            parts = parts_of(load(environ, None))
            proxy.behind = free_port()
            with serving(parts, proxy.behind):
                key = x509.load_pem_x509_certificate(proxy.certificate.read_bytes()).public_key()
                spki = hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()
                made = Hosted(sandbox, environ, parts)
                try:
                    yield made, f"--ignore-certificate-errors-spki-list={base64.b64encode(spki).decode()}"
                finally:
                    for browser in made.browsers:
                        browser.http.close()


async def picture(tab: Tab, name: str, folder: Path, *, height: int = 900, width: int = 1100, dark: bool = False) -> None:
    """A picture of the page; among the docs' own only when asked for."""
    target = IMAGES if os.environ.get("PLEO_TEST_SCREENSHOTS") else folder
    await tab.size(width, height, dark=dark)
    await tab.picture(target / f"portal-{name}.png")
    assert (target / f"portal-{name}.png").stat().st_size > 5000
    await tab.size(1100, 900)


async def the_whole_way(port: int, portal: Hosted, folder: Path) -> None:
    async with tab_of(port) as tab:
        await tab.call("Emulation.setScriptExecutionDisabled", value=True)
        await tab.call("Page.enable")
        await tab.size(1100, 900)
        # The operator logs in and makes a link.
        await tab.open(f"{portal.url}/operator")
        assert await tab.shows("Operator's page")
        await tab.type("#password", PASSWORD)
        await picture(tab, "login", folder, height=520)
        await tab.press("main button")
        assert await tab.shows("Nobody is connected yet"), await tab.run("document.body.innerText")
        await tab.type("#label", "acme")
        await tab.press("form.inline button")
        assert await tab.shows("Invitation of acme")
        link = str(await tab.run("document.querySelector('.link').innerText"))
        await picture(tab, "link", folder, height=560)
        # The customer opens it, says no first, and then yes.
        await tab.open(link)
        assert await tab.shows("Northwind Data asks to read your Pleo data")
        await picture(tab, "invitation", folder, height=1000)
        await picture(tab, "invitation-phone", folder, width=390, height=844, dark=True)
        await tab.press("main button")
        assert await tab.shows("would be able to"), await tab.run("location.href + document.body.innerText")
        await tab.press("button[value=deny]")
        assert await tab.shows("You did not agree"), await tab.run("location.href + document.body.innerText")
        assert await tab.run("location.search") == ""
        await picture(tab, "refused", folder, height=620)
        await tab.press("main button")
        assert await tab.shows("would be able to")
        await tab.press("button[value=allow]")
        assert await tab.shows("What can be read"), await tab.run("location.href + document.body.innerText")
        assert await tab.run("location.href") == f"{portal.url}/done", "the code is not in the address any more"
        assert "code=" not in str(await tab.run("document.referrer"))
        await picture(tab, "connected", folder, height=1000)
        # The used link, and the operator's list.
        await tab.open(link)
        assert await tab.shows("This link was used already")
        await picture(tab, "used", folder, height=480)
        portal.link("harbour-cafe", 7 * 86400)
        portal.browser(verify=ssl.create_default_context(cafile=str(folder / "certificate.pem"))).connect(portal.link("old-mill"))
        reason = "Pleo no longer accepts the refresh token (invalid_grant)"
        portal.parts.opened.store.mark("sandbox/sandbox-client/old-mill", 1, State.REAUTH_REQUIRED, reason)
        await tab.open(f"{portal.url}/operator")
        assert await tab.shows("harbour-cafe")
        await picture(tab, "operator", folder, width=1300, height=900)
        await picture(tab, "operator-phone", folder, width=390, height=844)
        await tab.press("header button")
        assert await tab.shows("Operator's page")
        await tab.open(f"{portal.url}/operator")
        assert await tab.shows("Password"), "logged out"


def test_the_whole_way_without_javascript(tmp_path: Path) -> None:
    with behind_tls(tmp_path) as (portal, trust), chromium(trust) as port:
        asyncio.run(the_whole_way(port, portal, tmp_path))
        assert portal.status().state == "active"
        counters = portal.sandbox.counters()
        assert (counters["logins"], counters["token_requests"]) == (2, 2)
