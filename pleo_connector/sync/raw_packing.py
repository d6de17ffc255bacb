"""A page as it is stored: compressed, and named by its content."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import pyarrow as pa

_CODEC = pa.Codec("zstd", compression_level=3)


@dataclass(frozen=True, slots=True)
class PackedPage:
    """A page on its way to the landing, compressed before the warehouse is held."""

    content: str
    size: int
    packed: bytes


def packed(body: bytes) -> PackedPage:
    """The page by content, compressed."""
    return PackedPage(hashlib.sha256(body).hexdigest(), len(body), _CODEC.compress(body, asbytes=True))


def unpacked(page: bytes, size: int) -> bytes:
    """The uncompressed page."""
    body: bytes = _CODEC.decompress(page, decompressed_size=size, asbytes=True) if size else b""
    return body
