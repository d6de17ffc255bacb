"""Private files: who may touch them, and which file systems can keep a lock."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Callable, Iterable
from itertools import takewhile
from pathlib import Path

from pleo_connector.errors import ConfigurationError, TokenStoreUnavailable

_SHARES = "nfs nfs4 cifs smb smb2 smb3 smbfs afpfs afs coda ncpfs webdav davfs 9p drvfs virtiofs prl_fs vboxsf vmhgfs"
_CLUSTERS = "acfs beegfs ceph cvfs fhgfs gfs gfs2 glusterfs gpfs lustre ocfs2 orangefs panfs pvfs2 wekafs"
_FUSE = "fuse fusefs macfuse osxfuse"
_NETWORK = frozenset(f"{_SHARES} {_CLUSTERS} {_FUSE} remote".split())
"""Types as Linux and macOS name them; `remote` is what `_listed` calls a drive of another host on Windows."""


Mounts = Iterable[tuple[Path, str]]
"""Mount points, and the types of what is there."""


def _listed() -> Mounts:
    """As macOS and Windows tell them."""
    import psutil  # noqa: PLC0415 - Linux needs it not

    try:
        found = psutil.disk_partitions(all=True)
    except OSError:
        return []
    return [(Path(each.mountpoint), "remote" if "remote" in each.opts.split(",") else each.fstype.lower()) for each in found]


def file_system_of(path: Path, mounts: Path = Path("/proc/self/mountinfo"), listed: Callable[[], Mounts] = _listed) -> str:
    """The type of the file system that holds a path, such as `ext4`; empty where the system does not tell. `listed` is asked where `mounts` is not there."""
    try:
        found: Mounts = _mounted(mounts.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        found = listed()
    there = path.resolve()
    best, kind = -1, ""
    for point, each in found:
        if there.is_relative_to(point) and len(point.parts) >= best:
            best, kind = len(point.parts), each
    return kind


def _mounted(mountinfo: str) -> Mounts:
    for line in mountinfo.splitlines():
        head, _, tail = line.partition(" - ")
        fields, after = head.split(), tail.split()
        if len(fields) >= 5 and after:  # noqa: PLR2004 - the mount point is the fifth field, see proc(5)
            yield Path(fields[4].encode().decode("unicode_escape")), after[0]


def refuse_network_file_system(path: Path, kind: str) -> None:
    """ConfigurationError when locks on this file system cannot be trusted."""
    if kind in _NETWORK or kind.startswith("fuse."):
        raise ConfigurationError(
            f"The token store {path} is on a network or FUSE file system ({kind}), where file locks cannot be trusted; "
            "set PLEO_TOKEN_STORE to a file on a local disk."
        )


def make_private_folder(folder: Path) -> None:
    """Create the folder, and those above it that are missing, each with mode 0700; refuse one that anybody may write to."""
    try:
        # Not `parents=True`: that leaves the folders above to the umask, and who may write there may put another folder in place.
        for each in reversed([*takewhile(lambda one: not one.exists(), (folder, *folder.parents))]):
            with contextlib.suppress(FileExistsError):  # another process was first
                each.mkdir(mode=0o700)
                each.chmod(0o700)  # mkdir applies the umask
    except OSError as error:
        raise ConfigurationError(
            f"The token store's folder {folder} cannot be made: {error.strerror}; set PLEO_TOKEN_STORE elsewhere."
        ) from None
    check_folder(folder)


def existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    return next((each for each in (folder, *folder.parents) if each.exists()), folder)


def prove_room(folder: Path, store: Path, size: int) -> None:
    """TokenStoreUnavailable when the folder takes no file of `size` bytes; leaves nothing."""
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(bytes(size))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise TokenStoreUnavailable(
            f"The token store {store} cannot be created: {folder} takes no new file ({error.strerror}); check the disk, its space and permissions."
        ) from None


def check_folder(folder: Path) -> None:
    """ConfigurationError when the folder is none, or world-writable, or another user's."""
    try:
        found = folder.stat()
    except OSError as error:
        raise ConfigurationError(f"The token store's folder {folder} cannot be read: {error.strerror}.") from None
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigurationError(f"The token store's folder {folder} is not a folder; set PLEO_TOKEN_STORE to a file in a folder.")
    if _has_owners():
        if found.st_mode & stat.S_IWOTH:
            raise ConfigurationError(
                f"The token store's folder {folder} can be written by everybody; run `chmod o-w {folder}` or set PLEO_TOKEN_STORE elsewhere."
            )
        if found.st_uid not in (os.geteuid(), 0):
            raise ConfigurationError(
                f"The token store's folder {folder} belongs to another user; set PLEO_TOKEN_STORE to a folder of your own."
            )


def check_private_file(path: Path, what: str) -> bool:
    """True when the file is there and only ours; False when missing; ConfigurationError for anything else."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigurationError(f"The {what} {path} cannot be read: {error.strerror}.") from None
    if stat.S_ISLNK(found.st_mode):
        raise ConfigurationError(f"The {what} {path} is a symbolic link; use the real path.")
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError(f"The {what} {path} is not a regular file.")
    if _has_owners():
        if found.st_uid != os.geteuid():
            raise ConfigurationError(f"The {what} {path} belongs to another user; run as that user, or use a file of your own.")
        if found.st_mode & 0o077:
            raise ConfigurationError(f"The {what} {path} can be read or written by others; run `chmod 600 {path}`.")
    return True


def write_private_file(path: Path, content: bytes) -> None:
    """Write a new 0600 file at once and durably; FileExistsError when there is one already."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{os.urandom(4).hex()}")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(temporary, path)  # link, not rename: it never replaces a file
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the folder's entries durable, where the system can."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _has_owners() -> bool:
    return hasattr(os, "geteuid")
