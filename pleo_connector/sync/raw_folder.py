"""Raw pages in a folder: one file for each, named by its content, so that no file ever changes."""

from __future__ import annotations

from pathlib import Path

from pleo_connector.errors import ConfigurationError
from pleo_connector.sync.whole_file import write_whole


class RawFolder:
    """`<folder>/ab/abcdef….json.zst`; files are complete or absent."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path(self, content: str) -> Path:
        """Where a page is."""
        return self._folder / content[:2] / f"{content}.json.zst"

    def keep(self, content: str, page: bytes) -> None:
        """Write a page, unless it is there; ConfigurationError when that cannot be done."""
        path = self.path(content)
        try:
            if path.is_file():
                return
            write_whole(path, page)
        except OSError as error:
            raise ConfigurationError(
                f"The folder for raw pages (PLEO_RAW) cannot be written: {error.strerror} in {self._folder}; free space there, "
                "give this user write access, or set PLEO_RAW=warehouse."
            ) from error

    def read(self, content: str) -> bytes:
        """A page; ConfigurationError when it is not there."""
        try:
            return self.path(content).read_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"The raw page {content[:12]}… cannot be read from {self._folder} ({error.strerror}); set PLEO_RAW to the folder "
                "that holds the pages."
            ) from error

    def forget(self, content: str) -> None:
        """Remove a page; one that is gone already is fine."""
        self.path(content).unlink(missing_ok=True)
