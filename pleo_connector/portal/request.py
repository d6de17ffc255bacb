"""One request as handlers see it: small, complete, and with nothing believed that anybody may write."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.requests import ClientDisconnect, Request

from pleo_connector.auth.redirect import single

LARGEST_BODY = 8 * 1024
BODY_SECONDS = 10.0
_FORM = "application/x-www-form-urlencoded"
_MOST_FIELDS = 32

Networks = Sequence[ipaddress.IPv4Network | ipaddress.IPv6Network]


@dataclass(frozen=True, slots=True)
class Asked:
    """A request; `form` holds the fields that came exactly once."""

    query: str
    cookies: Mapping[str, str]
    form: Mapping[str, str]
    address: str

    def parameter(self, name: str) -> str:
        """A parameter of the query; empty when absent or repeated."""
        return single(self.query, name)

    def field(self, name: str) -> str:
        """A field of the form; empty when absent or repeated."""
        return self.form.get(name, "")


class Refused(Exception):  # an answer of the protocol, not a failure
    """A request that no handler sees, with the status that it gets."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


async def read(request: Request, proxies: Networks) -> Asked:
    """The request with its body; Refused when that is too large, too slow, or no form."""
    return Asked(
        query=request.scope["query_string"].decode("latin-1"),
        cookies=request.cookies,
        form=await _form(request) if request.method == "POST" else {},
        address=address_of(request.client.host if request.client else "", request.headers.getlist("x-forwarded-for"), proxies),
    )


async def _form(request: Request) -> Mapping[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise Refused(415)
    try:
        body = await asyncio.wait_for(_body(request), BODY_SECONDS)
    except (TimeoutError, ClientDisconnect):
        raise Refused(408) from None
    try:
        fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=_MOST_FIELDS)
    except ValueError:
        raise Refused(400) from None
    return {name: values[0] for name, values in fields.items() if len(values) == 1}


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LARGEST_BODY:
            raise Refused(413)
    return bytes(body)


def networks_of(setting: str) -> Networks:
    """The networks of PLEO_PORTAL_PROXIES."""
    return [ipaddress.ip_network(part) for part in setting.split()]


def address_of(peer: str, forwarded: Sequence[str], proxies: Networks) -> str:
    """Who asks: the peer, or, while that is a trusted proxy, the last address that it says it heard from."""
    address = peer
    hops = [hop.strip() for line in forwarded for hop in line.split(",")]
    while hops and _within(address, proxies):
        hop = hops.pop()
        if not _is_address(hop):
            break
        address = hop
    return address


def _within(address: str, networks: Networks) -> bool:
    return _is_address(address) and any(ipaddress.ip_address(address) in network for network in networks)


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
