"""A local Pleo for demos and tests: real OAuth, paging, limits and faults over invented data, on loopback only.

with running(SandboxConfig(port=0)) as sandbox:
    ...  # talk HTTP to sandbox.url, look at sandbox.counters(), change sandbox.state
"""

from pleo_connector.sandbox.browser import consent
from pleo_connector.sandbox.config import API_KEY, CLIENT_ID, CLIENT_SECRET, DEFAULT_PORT, PUBLIC_CLIENT_ID, SandboxConfig
from pleo_connector.sandbox.faults import Fault
from pleo_connector.sandbox.query import WindowBounds
from pleo_connector.sandbox.server import RunningSandbox, running, serve
from pleo_connector.sandbox.state import SandboxState

__all__ = [
    "API_KEY",
    "CLIENT_ID",
    "CLIENT_SECRET",
    "DEFAULT_PORT",
    "PUBLIC_CLIENT_ID",
    "Fault",
    "RunningSandbox",
    "SandboxConfig",
    "SandboxState",
    "WindowBounds",
    "consent",
    "running",
    "serve",
]
