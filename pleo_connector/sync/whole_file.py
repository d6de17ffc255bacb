"""Writing a file so that it is whole or absent, whatever happens meanwhile, and durable once it is there."""

from __future__ import annotations

import os
import re
import time
import uuid
from pathlib import Path

_DRAFT = re.compile(r"\.[0-9a-f]{32}")
_ABANDONED = 3_600.0
"""Seconds after which a draft counts as abandoned."""


def write_whole(path: Path, content: bytes) -> None:
    """Write a 0600 file in place of one that may be there, making 0700 folders above it; OSError when that cannot be done."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{uuid.uuid4().hex}")
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
    except OSError:
        draft.unlink(missing_ok=True)
        raise


def is_abandoned_draft(file: os.DirEntry[str]) -> bool:
    """Whether a file is what a killed process left half written."""
    return _DRAFT.fullmatch(file.name) is not None and time.time() - file.stat().st_mtime > _ABANDONED
