"""`pleo-connector portal serve` as a process of its own, behind TLS and under a path prefix, with every log on."""

from __future__ import annotations

import base64
import re
import signal
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, quote_plus, urlsplit

import pytest

from pleo_connector.auth import build_manager
from pleo_connector.sandbox import Fault, RunningSandbox, SandboxConfig, consent, running
from pleo_connector.settings import load
from tests.cli.local import command, start
from tests.portal.harness import PASSWORD, SECRET, Browser, environment, state_of
from tests.tls_proxy import TLSProxy

CLIENT_SECRET = "client-secret/with+odd=chars"


@contextmanager
def processes(folder: Path) -> Iterator[tuple[RunningSandbox, TLSProxy, dict[str, str], list[subprocess.Popen[str]]]]:
    """A sandbox, a TLS proxy, and two portal processes; the proxy passes on to the first."""
    with TLSProxy(folder) as proxy:
        url = f"{proxy.url}/connect/pleo"
        config = SandboxConfig(port=0, requests_per_minute=0, client_secret=CLIENT_SECRET, redirect_uris=(f"{url}/callback",))
        with running(config) as sandbox:
            environ = environment(sandbox.url, url, folder) | {"PLEO_CLIENT_SECRET": CLIENT_SECRET, "PLEO_DEBUG": "1"}
            portals = [start("portal", "serve", "--port", "0", pleo=environ, cwd=folder) for _ in range(2)]
            try:
                yield sandbox, proxy, environ, portals
            finally:
                for portal in portals:
                    portal.kill()
                    portal.communicate(timeout=20)


def port_of(portal: subprocess.Popen[str]) -> tuple[int, str]:
    assert portal.stdout is not None
    line = portal.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:(\d+) ", line)
    assert found is not None, line
    return int(found[1]), line


def test_two_processes_serve_one_portal_and_no_log_holds_a_secret(tmp_path: Path) -> None:
    with processes(tmp_path) as (sandbox, proxy, environ, portals):
        first, second = (port_of(portal) for portal in portals)
        proxy.behind = first[0]
        browser = Browser(environ["PLEO_PORTAL_URL"], verify=ssl.create_default_context(cafile=str(proxy.certificate)))
        invited = command("portal", "invite", "acme", pleo=environ, cwd=tmp_path)
        link = invited.out.strip()
        assert link.startswith(f"{environ['PLEO_PORTAL_URL']}/invitation?token=")
        page = browser.get(link)
        assert page.response.headers["strict-transport-security"] == "max-age=31536000"
        cookie = page.response.headers["set-cookie"]
        assert cookie.startswith("__Host-pleo-visitor=") and {"Secure", "HttpOnly", "Path=/", "SameSite=lax"} <= set(cookie.split("; "))
        assert "Domain" not in cookie
        visitors = [browser.http.cookies["__Host-pleo-visitor"]]
        onward = browser.post("/start", page.form("/start")).onward
        # The redirect arrives at another process than the one that began; and the first try is lost on the way.
        proxy.behind = second[0]
        sandbox.state.set_faults(Fault("truncated", path="/oauth/token", times=1))
        browser.http.close()
        again = Browser(browser.url, verify=ssl.create_default_context(cafile=str(proxy.certificate)), cookies=browser.http.cookies)
        callbacks = [consent(onward)]
        assert again.get(callbacks[0]).status == 303
        failed = again.get("/done")
        assert "Not connected" in failed.text
        retried = again.post("/again", failed.form("/again")).onward
        callbacks.append(consent(retried))
        again.get(callbacks[1])
        assert "Connected" in again.get("/done").text
        visitors.append(again.http.cookies["__Host-pleo-visitor"])
        assert again.log_in("a wrong password of the operator").status == 403
        session = again.log_in().response
        assert session.headers["location"] == "/connect/pleo/operator"
        assert any(
            line.startswith("__Host-pleo-operator=") and "SameSite=strict" in line and "Secure" in line and "HttpOnly" in line
            for line in session.headers.get_list("set-cookie")
        )
        assert "acme" in again.get("/operator").text
        operator = again.http.cookies["__Host-pleo-operator"]
        again.get(f"/nothing/{parse_qs(urlsplit(link).query)['token'][0]}")
        again.http.close()
        tokens = build_manager(load(environ, None).labelled("acme")).tokens()
        for portal in portals:
            portal.send_signal(signal.SIGTERM)
        logs = [portal.communicate(timeout=30) for portal in portals]
        assert [portal.returncode for portal in portals] == [0, 0], logs
    text = "".join(out + err for out, err in logs) + first[1] + second[1] + invited.err
    assert text.count("POST /start 200") == 1 and "GET /callback 303" in text and "Connected as sandbox/sandbox-client/acme" in text
    assert "httpcore" in text, "everything was logged"
    secrets = {
        SECRET,
        PASSWORD,
        CLIENT_SECRET,
        tokens.access.reveal(),
        tokens.refresh.reveal(),
        *visitors,
        operator,
        operator.partition(".")[0],
    }
    secrets |= {parse_qs(urlsplit(link).query)["token"][0], *(state_of(url) for url in (onward, retried))}
    secrets |= {parse_qs(urlsplit(callback).query)["code"][0] for callback in callbacks}
    secrets |= {"a wrong password of the operator", next((tmp_path / "state").glob("*.key")).read_text().strip()}
    assert len(secrets) == 16
    stored = "".join(path.read_bytes().decode("latin-1") for path in (tmp_path / "state").iterdir() if path.suffix != ".key")
    basic = base64.b64encode(f"sandbox-client:{CLIENT_SECRET}".encode()).decode()
    leaks = [form for secret in {*secrets, basic} for form in (secret, quote_plus(secret)) if form in text or form in stored]
    assert leaks == []
    assert "code_verifier" not in text and "pleo-visitor" not in text


@pytest.mark.parametrize("change", ["PLEO_PORTAL_SECRET", "PLEO_PORTAL_PASSWORD", "PLEO_PORTAL_URL"])
def test_a_portal_that_is_not_set_up_does_not_start(tmp_path: Path, change: str) -> None:
    environ = environment("http://127.0.0.1:1", "https://connect.example.com", tmp_path)
    ended = command("portal", "serve", pleo={name: value for name, value in environ.items() if name != change}, cwd=tmp_path)
    assert ended.code == 2 and len(ended.errors) == 1 and f"The portal needs {change}" in ended.err
