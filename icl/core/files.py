"""Files of runs, opened without following links; the folder of cached files; what ships.

Files are written whole and synced, or appended to by one writer that notices when somebody else
has changed them.
"""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from icl.core.errors import StoreError

__all__ = [
    "find_shipped_folder",
    "GrowingFile",
    "append_lines",
    "find_cache_dir",
    "check_folders",
    "check_plain",
    "open_to_append",
    "read_plain",
    "replace_file",
    "stamp",
    "make_write_error",
]


def find_shipped_folder(name: str) -> Path:
    """Return a folder that ships with the package: ``prompts`` or ``samples``.

    In a checkout it lies beside the package; in an installed wheel, inside of it.
    """
    package = Path(str(files("icl")))
    shipped = package / "_shipped" / name
    return shipped if shipped.is_dir() else package.resolve().parent / name


def find_cache_dir() -> Path:
    """Where models and data are kept: ``$ICL_CACHE``, else ``~/.cache/icl-workbench``."""
    chosen = os.environ.get("ICL_CACHE")
    return Path(chosen).expanduser() if chosen else Path.home() / ".cache" / "icl-workbench"


_AS_IT_STANDS = (
    getattr(os, "O_NOFOLLOW", 0)  # Windows has neither flag: there the check before must do
    | getattr(os, "O_NONBLOCK", 0)  # a pipe that took the file's place must not hang the run
    | getattr(os, "O_BINARY", 0)
)
_KINDS = (
    (stat.S_ISLNK, "a link"),
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
)

MOST_FOLDERS = 200
"""In one another; Python makes and deletes them by recursion."""

Stamp = tuple[int, int, int]
"""Device, inode and size of a file: other ones tell that it was replaced or cut."""


def _is_link(found: os.stat_result) -> bool:
    """Whether it leads elsewhere; a junction of Windows does, though it looks like a folder."""
    junction = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)
    return stat.S_ISLNK(found.st_mode) or (
        junction is not None and getattr(found, "st_reparse_tag", 0) == junction
    )


def check_folders(folder: Path, within: Path) -> None:
    """Refuse a folder that is reached through a link, or through what is no folder.

    Args:
        folder: need not be there yet.
        within: a folder above it that may be a link itself, as may all that are above that one.

    Raises:
        StoreError: names the link.
    """
    for place in reversed([folder, *folder.parents]):
        if within not in place.parents:
            continue
        try:
            found = os.lstat(place)
        except FileNotFoundError:
            return
        except OSError as error:
            raise make_write_error(place, error) from error
        if _is_link(found) or not stat.S_ISDIR(found.st_mode):
            what = "a link" if _is_link(found) else "no folder"
            raise StoreError(
                f"{place} is {what}, and below {within} everything is written into plain folders "
                "alone; move it away, or put the folder itself in its place, and run the same "
                f"command again ({within} itself may be a link)"
            )


def check_plain(path: Path) -> os.stat_result | None:
    """Refuse what is no plain file; None where nothing is there.

    Raises:
        StoreError: a link, a folder, a pipe or a device has that name.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return None
    _refuse_other(path, found)
    return found


def _refuse_other(path: Path, found: os.stat_result) -> None:
    if stat.S_ISREG(found.st_mode) and not _is_link(found):
        return
    kind = next((name for test, name in _KINDS if test(found.st_mode)), "a device")
    raise StoreError(
        f"{path} is {kind}, and only a plain file is read or written there; move it away, put the "
        "file itself in its place, or name another, and run the same command again"
    )


def _open_plain(path: Path, flags: int) -> int:
    check_plain(path)  # names what it is, where the flags alone would give an error number
    handle = os.open(path, flags | _AS_IT_STANDS, 0o644)
    try:
        _refuse_other(path, os.fstat(handle))
    except StoreError:
        os.close(handle)
        raise
    return handle


def read_plain(path: Path) -> bytes | None:
    """All of a file; None where nothing is there.

    Raises:
        StoreError: it is no plain file, or cannot be read.
    """
    try:
        with os.fdopen(_open_plain(path, os.O_RDONLY), "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(
            f"{path} cannot be read: {error.strerror or error}; repair it and run the same "
            "command again"
        ) from error


def replace_file(path: Path, text: str, within: Path | None = None) -> None:
    """Write a file so that a reader, or a crash, sees the old text or the new one, whole.

    Args:
        path: of the file; its folder is made if it is missing.
        text: all of it.
        within: folder of all runs, below which no folder may be a link; None where the whole path
            was named by the user.

    Raises:
        StoreError: something else than a plain file is there, no room, or the folder cannot be
            written; the old file is intact.
    """
    if within is not None:
        check_folders(path.parent, within)
    _replace(path, text.encode("utf-8", "surrogatepass"))


def _replace(path: Path, data: bytes) -> None:
    try:
        check_plain(path)  # first: `/` has no name of its own that another could be made of
    except OSError as error:
        raise make_write_error(path, error) from error
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        _make_folder(path.parent)
        temporary.unlink(missing_ok=True)  # of a killed process of the same number, or planted
        alone = os.O_WRONLY | os.O_CREAT | os.O_EXCL  # made here, so never behind a link
        with os.fdopen(os.open(temporary, alone | _AS_IT_STANDS, 0o666), "wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise make_write_error(path, error) from error


def _make_folder(folder: Path) -> None:
    """Make a folder and those that it lies in.

    Raises:
        OSError: it cannot be made, or lies so deep that no other program could delete it.
    """
    if len(folder.parts) > MOST_FOLDERS:
        told = f"more than {MOST_FOLDERS} folders in one another"
        raise OSError(errno.ENAMETOOLONG, told, str(folder))
    folder.mkdir(parents=True, exist_ok=True)


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def append_lines(path: Path, lines: Sequence[str]) -> None:
    """Append lines to a file, all of them synced or none.

    Raises:
        StoreError: it is no plain file, no room, or it cannot be written; what was there stays.
    """
    text = "".join(f"{line}\n" for line in lines)
    try:
        _make_folder(path.parent)
        handle = _open_plain(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            _write(handle, os.fstat(handle).st_size, text.encode("utf-8", "surrogatepass"))
        finally:
            os.close(handle)
    except OSError as error:
        raise make_write_error(path, error) from error


def open_to_append(path: Path) -> int:
    """Open a file of a run to be read and appended to; one with a second name is copied first.

    Raises:
        StoreError: it is no plain file, or its copy cannot be written.
        OSError: it cannot be opened.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
    handle = _open_plain(path, flags)
    if os.fstat(handle).st_nlink > 1:
        os.close(handle)
        _replace(path, read_plain(path) or b"")
        handle = _open_plain(path, flags)
    return handle


def _write(handle: int, size: int, data: bytes) -> None:
    """Append whole and synced, or leave the file at ``size`` bytes as it was."""
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(handle, view) :]
        os.fsync(handle)
    except OSError:
        with contextlib.suppress(OSError):
            os.ftruncate(handle, size)
        raise


def stamp(path: Path) -> Stamp | None:
    """What tells a file from another of the same name; None where nothing is there."""
    try:
        return _stamp(os.lstat(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise make_write_error(path, error) from error


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_dev, found.st_ino, found.st_size


class GrowingFile:
    """A file that one writer appends to, and that must stay as the writer left it.

    Somebody may delete, cut or replace it meanwhile: that is seen before anything is appended,
    so that no row is lost without a word.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._left: Stamp | None = None

    def take(self, keep: int | None = None) -> None:
        """Take the file up as it is, or cut to its first ``keep`` bytes.

        Raises:
            StoreError: it is no plain file, or cannot be cut.
        """
        self._left = stamp(self.path)
        if self._left is None:
            return
        try:
            check_plain(self.path)
            if keep is not None and keep < self._left[2]:
                handle = open_to_append(self.path)
                try:
                    os.ftruncate(handle, keep)
                    self._left = _stamp(os.fstat(handle))
                finally:
                    os.close(handle)
        except OSError as error:
            raise make_write_error(self.path, error) from error

    def append(self, data: bytes) -> None:
        """Append whole and synced, or leave the file as it was.

        Raises:
            StoreError: it is not as it was left, no room, or it cannot be written.
        """
        self.check()
        try:
            handle = open_to_append(self.path)
            try:
                device, inode, size = self._left = _stamp(os.fstat(handle))
                _write(handle, size, data)
                self._left = device, inode, size + len(data)
            finally:
                os.close(handle)
        except OSError as error:
            raise make_write_error(self.path, error) from error

    def check(self, may_grow: bool = False) -> None:
        """Refuse to go on with a file that is not as it was left.

        Args:
            may_grow: another run may have appended since, as it may once this one writes no more.

        Raises:
            StoreError: says what became of the file, and how to go on.
        """
        now, left = stamp(self.path), self._left
        if now == left or (left is None and may_grow):
            return
        check_plain(self.path)
        again = "run the same command again, and what is missing is computed again"
        if left is None or (now is not None and now[:2] == left[:2] and now[2] > left[2]):
            if may_grow:
                return
            what = "was written to by another program"
            again = f"stop that program, and {again}"
        elif now is None:
            what = f"was deleted, with the {left[2]:,} bytes that were in it"
        elif now[:2] != left[:2]:
            what = "was replaced by another file"
        else:
            what = f"was cut from {left[2]:,} bytes to {now[2]:,}"
        raise StoreError(
            f"{self.path} {what} while this run was at work; what is there stays as it is: {again}"
        )


def make_write_error(path: Path, error: OSError) -> StoreError:
    """The error that says what could not be written, and how to go on."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            f"no room on disk for {path}; everything committed so far is safe: free some room and "
            "run the same command again"
        )
    return StoreError(
        f"cannot write {path}: {error.strerror or error}; everything committed so far is safe: "
        "repair it and run the same command again"
    )
