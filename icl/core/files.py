"""Safe reading and writing of run files, the cache folder, and the folders that ship with icl.

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
    "find_shipped_file",
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

    In a checkout it is next to the package; in an installed wheel, inside of it.
    """
    package = Path(str(files("icl")))
    shipped = package / "_shipped" / name
    return shipped if shipped.is_dir() else package.resolve().parent / name


def find_shipped_file(path: str | Path) -> Path:
    """Return the file at ``path``, or the one of that name that ships with the package.

    Where there is no such file, ``experiments/quickstart.yaml`` and ``samples/…`` are looked up in
    the package, so that the commands of the documents work outside a checkout too.

    >>> find_shipped_file("experiments/quickstart.yaml").is_file()
    True
    """
    file = Path(path)
    if file.exists() or file.is_absolute() or ".." in file.parts or len(file.parts) < 2:
        return file
    if file.parts[0] not in ("experiments", "samples"):
        return file
    shipped = find_shipped_folder(file.parts[0]).joinpath(*file.parts[1:])
    return shipped if shipped.is_file() else file


def find_cache_dir() -> Path:
    """Return the folder of downloads: ``$ICL_CACHE``, or else ``~/.cache/icl-workbench``."""
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
"""Most folders inside one another; Python makes and deletes them by recursion."""

Stamp = tuple[int, int, int]
"""Device, inode and size of a file; a change shows that the file was replaced or cut."""


def _is_link(found: os.stat_result) -> bool:
    """Return whether a path leads elsewhere: a symbolic link, or a junction on Windows."""
    junction = getattr(stat, "IO_REPARSE_TAG_MOUNT_POINT", None)
    return stat.S_ISLNK(found.st_mode) or (
        junction is not None and getattr(found, "st_reparse_tag", 0) == junction
    )


def check_folders(folder: Path, within: Path) -> None:
    """Refuse a folder whose path goes through a link or through something that is not a folder.

    Args:
        folder: the folder to check; it need not exist yet.
        within: a folder above it; this one and all folders above it may be links.

    Raises:
        StoreError: a folder below ``within`` is a link or not a folder; the message names it.
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
                f"{place} is {what}, and below {within} files are written into plain folders "
                "only; move it away, or put the folder itself in its place, and run the same "
                f"command again ({within} itself may be a link)"
            )


def check_plain(path: Path) -> os.stat_result | None:
    """Return the status of a plain file, or None if the path does not exist; refuse anything else.

    Raises:
        StoreError: the path is a link, a folder, a pipe or a device.
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
    """Return the whole content of a plain file, or None if it does not exist.

    Raises:
        StoreError: it is not a plain file, or cannot be read.
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
    """Replace a file at once: after a crash it holds either all of the old or all of the new text.

    Args:
        path: the file; its folder is created if missing.
        text: the new content.
        within: folder of all runs, below which no folder may be a link; None if the user named
            the whole path.

    Raises:
        StoreError: the path is not a plain file, the disk is full, or the folder is not writable;
            the old file is intact.
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
    """Append lines to a file and sync it; on an error none of them is written.

    Raises:
        StoreError: the path is not a plain file, the disk is full, or the file is not writable;
            its old content is intact.
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
    """Open a file for reading and appending; if it is a hard link, replace it by a copy first.

    Returns:
        The file descriptor, which the caller closes.

    Raises:
        StoreError: it is not a plain file, or its copy cannot be written.
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
    """Append all of ``data`` and sync; on an error cut the file back to ``size`` bytes."""
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
    """Return the device, inode and size of a path, or None if it does not exist.

    Raises:
        StoreError: the path cannot be examined.
    """
    try:
        return _stamp(os.lstat(path))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise make_write_error(path, error) from error


def _stamp(found: os.stat_result) -> Stamp:
    return found.st_dev, found.st_ino, found.st_size


class GrowingFile:
    """A file that one writer appends to, and that nobody else may change meanwhile.

    If somebody deletes, cuts or replaces it, the next append or check raises an error, so that no
    row is lost unnoticed.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._left: Stamp | None = None

    def take(self, keep: int | None = None) -> None:
        """Remember the file as it is now, after cutting it to ``keep`` bytes if that is given.

        Raises:
            StoreError: it is not a plain file, or cannot be cut.
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
        """Append all of ``data`` and sync; on an error nothing is added.

        Raises:
            StoreError: somebody else changed the file, the disk is full, or it is not writable.
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
        """Raise an error if somebody else changed the file since it was last written to.

        Args:
            may_grow: accept a longer file: another run may append once this one has finished.

        Raises:
            StoreError: says what happened to the file, and how to go on.
        """
        now, left = stamp(self.path), self._left
        if now == left or (left is None and may_grow):
            return
        check_plain(self.path)
        again = "run the same command again, and what is missing is computed again"
        if left is None or (now is not None and now[:2] == left[:2] and now[2] > left[2]):
            if may_grow:
                return
            what = "was changed by another program"
            again = f"stop that program, and {again}"
        elif now is None:
            what = f"was deleted, with the {left[2]:,} bytes that were in it"
        elif now[:2] != left[:2]:
            what = "was replaced by another file"
        else:
            what = f"was cut from {left[2]:,} bytes to {now[2]:,}"
        raise StoreError(
            f"{self.path} {what} during this run; its content is left unchanged: {again}"
        )


def make_write_error(path: Path, error: OSError) -> StoreError:
    """Make the error for a path that could not be written, with the repair."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            f"no room on disk for {path}; everything committed so far is safe: free some room and "
            "run the same command again"
        )
    return StoreError(
        f"cannot write {path}: {error.strerror or error}; everything committed so far is safe: "
        "repair it and run the same command again"
    )
