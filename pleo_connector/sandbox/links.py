"""Links to receipt files, as a file store makes them: signed, good for a day, and refused when a credential comes with them."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pleo_connector.sandbox.receipt_content import receipt_content

if TYPE_CHECKING:
    from pleo_connector.sandbox.state import SandboxState

FILES = "/files/receipts/"
_EXPIRES, _SIGNATURE = "X-Sandbox-Expires", "X-Sandbox-Signature"
_SAMPLE = re.compile(rb'"url":"https://files\.pleo-sandbox\.example/receipts/([0-9a-f-]+)[^"]*"')
"""What the samples hold in place of a link; a record that a test put there with another link keeps that."""


class ReceiptLinks:
    """Makes links and answers them."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state
        self._key = hashlib.blake2b(f"links {state.config.seed}".encode(), digest_size=32).digest()

    def routes(self) -> list[Route]:
        """Where the files are."""
        return [Route(f"{FILES}{{id}}", self._file, methods=["GET"])]

    def linked(self, body: bytes) -> bytes:
        """A receipt's JSON with a link that works from now on."""
        return _SAMPLE.sub(lambda match: b'"url":"' + self._link(match[1].decode()).encode() + b'"', body)

    def _link(self, key: str) -> str:
        expires = f"{self._state.clock() + self._state.config.link_lifetime:.3f}"
        return f"{self._state.url}{FILES}{key}?{_EXPIRES}={expires}&{_SIGNATURE}={self._signature(key, expires)}"

    def _signature(self, key: str, expires: str) -> str:
        return hmac.new(self._key, f"{key} {expires}".encode(), hashlib.sha256).hexdigest()

    async def _file(self, request: Request) -> Response:
        key, expires = str(request.path_params["id"]), request.query_params.get(_EXPIRES, "")
        with self._state.lock:
            if "authorization" in request.headers:
                return _refusal(400, "InvalidArgument", "Only one auth mechanism allowed")
            if not hmac.compare_digest(request.query_params.get(_SIGNATURE, ""), self._signature(key, expires)):
                return _refusal(403, "SignatureDoesNotMatch", "The signature does not match")
            if float(expires) <= self._state.clock():
                return _refusal(403, "AccessDenied", "Request has expired")
            record = self._state.store.get("receipts", key)
        if record is None:
            return _refusal(404, "NoSuchKey", "The file does not exist")
        content, kind = receipt_content(record)
        return Response(content, 200, {"Content-Type": kind})


def _refusal(status: int, code: str, message: str) -> Response:
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{code}</Code><Message>{message}</Message></Error>'
    return Response(text, status, media_type="application/xml")
