"""What a data spec says, which files it names, and the lines of their text, gzip or not."""

from __future__ import annotations

import difflib
import glob
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, cast

from icl.core.errors import DataError

__all__ = ["DataSpec", "find_file", "find_path", "find_paths", "read_text_lines"]


_PLACEHOLDERS = ("locale", "source", "target", "split", "lang")


@dataclass(frozen=True, slots=True)
class DataSpec:
    """Where rows come from and what of them is the answer.

    >>> DataSpec("massive", Path("massive"), locale="sw-KE", split="test").encoding
    'utf-8'
    """

    format: str
    """A reader's name: ``jsonl``, ``parquet``, ``hf`` … or that of a plug-in."""
    path: Path
    """File or folder. ``{locale}``, ``{source}``, ``{target}``, ``{split}`` and, for ``lines``,
    ``{lang}`` are filled in; a ``*`` stands for what exactly one file has there. A text file may
    lie as ``.gz`` beside its name. For ``hf`` also the id of a data set on the hub."""
    locale: str | None = None
    source: str | None = None
    """For translation: language tag of the source, as the files spell it."""
    target: str | None = None
    split: str | None = None
    """Fills ``{split}``, else keeps the rows whose column ``split`` or ``partition`` is this."""
    lines: tuple[int, int] | None = None
    """First and last row, from 1, both included, in file order: for sets without splits (with a
    split, its own rows are counted)."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Template field -> column, or ``column.key`` for a key of its objects; empty: all columns
    but id and split, under their own names."""
    answer: str | None = None
    """Column, or field of ``fields``, with the right answer; a list holds several."""
    id: str | None = None
    """Column of the ids; default ``id`` where there is one, else the row number from 0."""
    gold: tuple[str, ...] = ()
    """Fields beside the answer that give it away."""
    encoding: str = "utf-8"
    columns: tuple[str, ...] = ()
    """Names of the columns of a table without a header, and of ``conll``; ``_`` skips one."""
    config: str | None = None
    """For ``hf``: configuration (subset) of the data set."""
    revision: str | None = None
    """For ``hf``: commit, tag or branch on the hub."""

    @property
    def by_split(self) -> bool:
        """Whether the split picks the file, so that ids need it to be unique."""
        return "{split}" in str(self.path) or self.format in ("flores", "hf")

    def identity(self, text: str) -> str:
        """An id of one row: where every split has a file of its own, with the split before it.

        >>> DataSpec("jsonl", Path("{split}.jsonl"), split="test").identity("7")
        'test-7'
        """
        return f"{self.split}-{text}" if self.split and self.by_split else text


def find_path(spec: DataSpec, lang: str | None = None) -> Path:
    """The path of a spec with its placeholders filled and ``*`` resolved; it need not exist.

    Raises:
        DataError: a placeholder without a value, or several files that match.
    """
    text = _filled(spec, lang)
    if "*" not in text or Path(text).exists():
        return Path(text)
    found = _matches(text)
    if len(found) > 1:
        shown = ", ".join(map(str, found[:5])) + (", …" if len(found) > 5 else "")
        raise DataError(f"{text!r} matches {len(found)} files, one is needed: {shown}")
    return found[0] if found else Path(text)


def find_paths(spec: DataSpec) -> list[Path]:
    """All files of a spec whose ``*`` may stand for several parts, by name.

    Raises:
        DataError: none is there, or a placeholder has no value.
    """
    text = _filled(spec, None)
    found = _matches(text) if "*" in text and not Path(text).exists() else []
    return found or [find_file(Path(text))]


def _matches(text: str) -> list[Path]:
    """The files that a path with ``*`` matches, sorted; nothing but ``*`` is special."""
    return sorted(map(Path, glob.glob(glob.escape(text).replace("[*]", "*"))))


def _filled(spec: DataSpec, lang: str | None) -> str:
    text = str(spec.path.expanduser())
    values = {name: getattr(spec, name) for name in _PLACEHOLDERS[:-1]} | {"lang": lang}
    for name in _PLACEHOLDERS:
        if "{" + name + "}" not in text:
            continue
        if values[name] is None:
            hint = "only lines files have it" if name == "lang" else f"give {name}: in the data"
            raise DataError(f"the path {str(spec.path)!r} has {{{name}}} but no value: {hint}")
        text = text.replace("{" + name + "}", str(values[name]))
    return text


def find_file(path: Path) -> Path:
    """The path itself if it is a file, else the same with ``.gz`` behind it.

    Raises:
        DataError: there is no such file, with similar names beside it, or it is a folder.
    """
    if path.is_file():
        return path
    packed = path.with_name(path.name + ".gz") if path.name else path
    if packed.is_file():
        return packed
    if path.is_dir():
        raise DataError(f"{path} is a folder, a file is needed{_beside(path, '')}")
    there = path.parent
    while not there.is_dir():
        there = there.parent
    missing = path.relative_to(there).parts[0] if path != there else path.name
    raise DataError(f"no such file or folder: {path}{_beside(there, missing)}")


def _beside(folder: Path, name: str) -> str:
    """``. Did you mean …? In FOLDER there are: …``, the names most like ``name`` first."""
    names = sorted(entry.name for entry in folder.iterdir())
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    guess = f". Did you mean {close[0]!r}?" if close else "."
    shown = close + [other for other in names if other not in close]
    listed = ", ".join(shown[:10]) + (", …" if len(shown) > 10 else "")
    return f"{guess} In {folder} there are: {listed or 'no files'}"


def read_text_lines(path: Path, encoding: str = "utf-8", newline: str = "\n") -> Iterator[str]:
    """Yield the lines of a text file with their ends, without a byte order mark.

    Only one line is in memory at a time. A name in ``.gz`` is unpacked on the way. With
    ``newline=""`` a carriage return ends a line too.

    Raises:
        DataError: no such file, an unknown encoding, bytes that are not of it, or a broken gzip
            (file:line).
    """
    path = find_file(path)
    name = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    number = 0
    try:
        with _binary(path) as raw, io.TextIOWrapper(raw, name, newline=newline) as text:
            for line in text:
                number += 1
                yield line
    except UnicodeDecodeError as error:
        # What is before the byte in the decoder's chunk has not been given out as lines yet.
        before = bytes(error.object[: error.start]).decode(name, errors="replace")
        raise DataError(
            f"{path}:{number + 1 + before.count(chr(10))}: byte 0x{error.object[error.start]:02x} "
            f"is not {encoding} ({error.reason}); save the file as UTF-8 or give its encoding:"
        ) from None
    except (LookupError, ValueError) as error:
        raise DataError(f"{path}: {error}; write encoding: utf-8, latin-1, cp1252 …") from None
    except EOFError:
        raise DataError(
            f"{path}:{number + 1}: the gzip file ends too early; get or pack it again"
        ) from None
    except (gzip.BadGzipFile, zlib.error) as error:
        raise DataError(
            f"{path}:{number + 1}: broken gzip ({error}); get or pack it again, or take .gz off "
            "the name of a file that is not packed"
        ) from None
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from None


def _binary(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
