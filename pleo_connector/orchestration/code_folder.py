"""The folder of the definitions file: settings and relative paths of definitions belong there, wherever Dagster was started."""

import sys
import sysconfig
from pathlib import Path

from pleo_connector.settings import Settings, load
from pleo_connector.settings_folder import settings_folder, working_directory

_OURS = Path(__file__).parents[1]
_NOBODYS = (_OURS, Path(sysconfig.get_path("stdlib")), Path(sysconfig.get_path("scripts")), Path(sys.executable).parent)


def code_folder() -> Path:
    """The folder of the file whose code is running, past this package and all that is installed; the current one where there is none."""
    frame = sys._getframe()  # noqa: SLF001 - as logging and warnings find who called
    while frame is not None:
        file = Path(frame.f_code.co_filename)
        if file.suffix == ".py" and not _is_library(file.absolute()) and file.is_file():
            return file.absolute().parent
        frame = frame.f_back  # type: ignore[assignment]
    return working_directory()


def settings_of_code() -> Settings:
    """The settings that belong to the definitions file."""
    return load(folder=settings_folder(code_folder()))


def _is_library(file: Path) -> bool:
    return bool({"site-packages", "dist-packages"} & set(file.parts)) or any(file.is_relative_to(folder) for folder in _NOBODYS)
