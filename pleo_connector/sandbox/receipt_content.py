"""The bytes of sample receipts: small files of the right format, made when asked for, one of its own for each receipt.

PNG, JPEG, PDF, GIF, PostScript and XML are whole files. HEIC and HEIF are only their container's beginning: an encoder is out of reach here.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

_SIDE = 8
_JPEG_START = bytes.fromhex("ffd8ffe000104a46494600010101004800480000ffdb004300") + b"\x01" * 64
_JPEG_END = bytes.fromhex(
    "ffc0000b080001000101011100"
    "ffc40014000100000000000000000000000000000009"
    "ffc40014100100000000000000000000000000000000"
    "ffda0008010100003f0054dfffd9"
)
"""One grey pixel: frame, two code tables, scan."""


def receipt_content(record: dict[str, Any]) -> tuple[bytes, str]:
    """(the file, its Content-Type) of a receipt; `unknown` formats come as plain bytes."""
    key, kind = str(record["id"]), str(record["mimeType"])
    make = _MAKERS.get(kind)
    return (f"receipt {key}\n".encode(), "application/octet-stream") if make is None else (make(key), kind)


def _png(key: str) -> bytes:
    colour = bytes.fromhex(key.replace("-", "")[:6])
    rows = (b"\0" + colour * _SIDE) * _SIDE
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", _SIDE, _SIDE, 8, 2, 0, 0, 0)),
        (b"tEXt", b"Comment\0receipt " + key.encode()),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    )
    chunks = (struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts)
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _jpeg(key: str) -> bytes:
    told = f"receipt {key}".encode()
    return _JPEG_START + b"\xff\xfe" + struct.pack(">H", len(told) + 2) + told + _JPEG_END


def _gif(key: str) -> bytes:
    colour = bytes.fromhex(key.replace("-", "")[:6])
    told = f"receipt {key}".encode()
    comment = b"!\xfe" + bytes((len(told),)) + told + b"\0"
    return b"GIF89a" + struct.pack("<HHBBB", 1, 1, 0x80, 0, 0) + colour * 2 + comment + b",\0\0\0\0\1\0\1\0\0\2\2\x44\1\0;"


def _pdf(key: str) -> bytes:
    page = f"BT /F1 12 Tf 20 60 Td (Receipt {key}) Tj ET".encode()
    objects = (
        b"<< /Type /Catalog /Pages 2 0 R >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 340 120] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>",
        b"<< /Length " + str(len(page)).encode() + b" >>\nstream\n" + page + b"\nendstream",
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    )
    made, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(made))
        made += str(number).encode() + b" 0 obj\n" + content + b"\nendobj\n"
    table = f"xref\n0 {len(places) + 1}\n0000000000 65535 f \n" + "".join(f"{place:010} 00000 n \n" for place in places)
    return made + table.encode() + f"trailer\n<< /Size {len(places) + 1} /Root 1 0 R >>\nstartxref\n{len(made)}\n%%EOF\n".encode()


def _box(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content) + 8) + name + content


def _heic(key: str) -> bytes:
    return _box(b"ftyp", b"heic\0\0\0\0mif1heic") + _box(b"free", key.encode())


def _postscript(key: str) -> bytes:
    return f"%!PS-Adobe-3.0\n% receipt {key}\nshowpage\n".encode()


def _xml(key: str) -> bytes:
    return f'<?xml version="1.0" encoding="UTF-8"?>\n<receipt id="{key}"/>\n'.encode()


_MAKERS = {
    "image/png": _png,
    "image/jpeg": _jpeg,
    "image/gif": _gif,
    "image/heic": _heic,
    "image/heif": _heic,
    "application/pdf": _pdf,
    "application/postscript": _postscript,
    "application/xml": _xml,
    "text/xml": _xml,
}
