"""The data spec: which files it names, and how their text is read, gzipped or not."""

from __future__ import annotations

import difflib
import glob
import gzip
import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Literal, Protocol, cast

from icl.core.errors import DataError
from icl.core.types import JSON, Example

__all__ = [
    "DataSpec",
    "Expressions",
    "Quoting",
    "find_encoding",
    "find_file",
    "fill_placeholders",
    "find_path",
    "find_paths",
    "is_expression",
    "note_encoding",
    "read_text_lines",
]


_PLACEHOLDERS = ("locale", "source", "target", "split", "lang")
_EXPRESSION = re.compile(r"\s*\{\{.*\}\}\s*", re.DOTALL)

Quoting = Literal["minimal", "none"]
"""Quoting of cells with double quotes, in the words of Python's ``csv``."""


def is_expression(text: str | None) -> bool:
    """Return whether a text is an expression in ``{{ }}``, and not the name of a column.

    >>> is_expression("{{ answer | trim }}"), is_expression("answer"), is_expression(None)
    (True, False, False)
    """
    return text is not None and _EXPRESSION.fullmatch(text) is not None


class Expressions(Protocol):
    """Interface of an evaluator of a spec's expressions."""

    def find_columns(self, expressions: Sequence[str]) -> list[frozenset[str]]:
        """Return the columns that each expression reads; ``row`` among them means all."""
        ...

    def evaluate(
        self, expressions: Sequence[str], rows: Sequence[tuple[str, Mapping[str, JSON]]]
    ) -> list[list[JSON]]:
        """Return the value of each expression for each row (its place, column -> value)."""
        ...


@dataclass(frozen=True, slots=True)
class DataSpec:
    """The source of rows, and which of their columns is the answer.

    >>> DataSpec("massive", Path("massive"), locale="sw-KE", split="test").encoding
    'utf-8'
    """

    format: str
    """Name of a reader: ``jsonl``, ``parquet``, ``hf`` … or that of a plug-in."""
    path: Path
    """File or folder. ``{locale}``, ``{source}``, ``{target}``, ``{split}`` and, for ``lines``,
    ``{lang}`` are filled in; a ``*`` matches any text, but must match exactly one file. A text file
    may be stored as ``.gz`` instead. For ``hf`` also the id of a data set on the hub."""
    locale: str | None = None
    source: str | None = None
    """For translation: language tag of the source, spelled as in the files."""
    target: str | None = None
    split: str | None = None
    """Fills ``{split}``; otherwise selects rows by their ``split`` or ``partition`` column."""
    lines: tuple[int, int] | None = None
    """First and last row, from 1, both included, in file order: for sets without splits (with a
    split, rows of the split are counted)."""
    fields: Mapping[str, str] = field(default_factory=dict)
    """Template field -> column, ``column.key`` for a key of its objects, or an expression in
    ``{{ }}``; ``{source}`` and its like are filled in. Empty: all columns but id and split,
    under their own names."""
    answer: str | None = None
    """Column, or field of ``fields``, with the right answer, or an expression; a list holds
    several. In a list of chat turns the last one of the assistant is the answer."""
    where: str | None = None
    """Rows to use: an expression, or a column of true and false; all by default."""
    id: str | None = None
    """Column of the ids; default ``id`` where there is one, else the row number from 0. ``row``
    takes the row number, unless a column is called so."""
    gold: tuple[str, ...] = ()
    """Further fields that give the answer away."""
    encoding: str = "utf-8"
    """A byte order mark, and UTF-16 without one, are found whatever this says."""
    delimiter: str | None = None
    """For ``csv`` and ``tsv``: separator of the cells; None: guessed from the first line."""
    quoting: Quoting | None = None
    """For ``csv`` and ``tsv``: ``minimal`` reads quotes around a cell, ``none`` as text of it;
    None: ``minimal`` for ``csv``, guessed for ``tsv``."""
    at: str | None = None
    """For ``json``: the dotted path to the list of rows; None: the file is the list. For ``xlsx``:
    the sheet; None: the first."""
    columns: tuple[str, ...] = ()
    """Names of the columns of a table without a header, and of ``conll``; ``_`` skips one."""
    config: str | None = None
    """For ``hf``: configuration (subset) of the data set."""
    revision: str | None = None
    """For ``hf``: commit, tag or branch on the hub."""
    expressions: Expressions | None = field(default=None, compare=False, repr=False)
    """Evaluator of the expressions; an experiment file sets it."""
    tell: Callable[[str], None] | None = field(default=None, compare=False, repr=False)
    """Called with a line for each guess and for rows left out; None: the lines are dropped."""

    check: Callable[[str, Example], None] | None = field(default=None, compare=False, repr=False)
    """Called with the place of each row, ``FILE:LINE``, and the row, to refuse one whose answer
    does not fit its text; None: nothing is refused."""

    def note(self, text: str) -> None:
        """Report a guess, or rows left out, to the spec's ``tell``."""
        if self.tell is not None:
            self.tell(text)

    @property
    def by_split(self) -> bool:
        """Return whether the split selects the file, so that ids need it to be unique."""
        return "{split}" in str(self.path) or self.format in ("flores", "hf")

    def identity(self, text: str) -> str:
        """Make the id of a row; if every split has its own file, the split is put before it.

        >>> DataSpec("jsonl", Path("{split}.jsonl"), split="test").identity("7")
        'test-7'
        """
        return f"{self.split}-{text}" if self.split and self.by_split else text


def find_path(spec: DataSpec, lang: str | None = None) -> Path:
    """Return a spec's path with its placeholders filled and ``*`` resolved; it need not exist.

    Raises:
        DataError: a placeholder has no value, or several files match.
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
    """List all files of a spec whose ``*`` may match several parts, by name.

    Raises:
        DataError: no file exists, or a placeholder has no value.
    """
    text = _filled(spec, None)
    found = _matches(text) if "*" in text and not Path(text).exists() else []
    return found or [find_file(Path(text))]


def _matches(text: str) -> list[Path]:
    """List the files that a path with ``*`` matches, sorted; no other character is special."""
    return sorted(map(Path, glob.glob(glob.escape(text).replace("[*]", "*"))))


def _filled(spec: DataSpec, lang: str | None) -> str:
    return fill_placeholders(
        str(spec.path.expanduser()), spec, f"the path {str(spec.path)!r}", lang
    )


def fill_placeholders(text: str, spec: DataSpec, what: str, lang: str | None = None) -> str:
    """Return a text with ``{locale}``, ``{source}`` and their like replaced by the spec's values.

    Raises:
        DataError: a placeholder without a value.
    """
    values = {name: getattr(spec, name) for name in _PLACEHOLDERS[:-1]} | {"lang": lang}
    for name in _PLACEHOLDERS:
        if "{" + name + "}" not in text:
            continue
        if values[name] is None:
            hint = {
                "lang": "only lines files have it, in their path",
                "source": "give pair: under rows",
                "target": "give pair: under rows",
            }.get(name, f"give {name}: under rows")
            raise DataError(f"{what} has {{{name}}} but no value: {hint}")
        text = text.replace("{" + name + "}", str(values[name]))
    return text


def find_file(path: Path) -> Path:
    """Return the path if it is a file, else the same path with ``.gz``.

    Raises:
        DataError: it does not exist (the message lists similar names), or is a folder.
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
    """Write an error's end, ``. Did you mean …? In FOLDER there are: …``, similar names first."""
    names = sorted(entry.name for entry in folder.iterdir())
    close = difflib.get_close_matches(name, names, n=3, cutoff=0.5)
    guess = f". Did you mean {close[0]!r}?" if close else "."
    shown = close + [other for other in names if other not in close]
    listed = ", ".join(shown[:10]) + (", …" if len(shown) > 10 else "")
    return f"{guess} In {folder} there are: {listed or 'no files'}"


def read_text_lines(path: Path, encoding: str = "utf-8", newline: str = "\n") -> Iterator[str]:
    """Yield the lines of a text file with their ends, without a byte order mark.

    Only one line is in memory at a time. A file ending in ``.gz`` is unpacked. With
    ``newline=""`` a carriage return ends a line too.

    Raises:
        DataError: the file is missing, the encoding unknown or wrong, or the gzip file broken
            (file:line).
    """
    path = find_file(path)
    name = find_encoding(path, encoding)
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
            f"is not {_plain_name(name)} ({error.reason}); save the file as UTF-8 or give its "
            "encoding: in the data, such as cp1252 for one from Excel"
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


_MARKS = {
    b"\xef\xbb\xbf": "utf-8-sig",
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
}
"""Byte order mark -> Python's name of the encoding that takes it off; longer ones come first."""
_LOOKED_AT = 4096
"""Bytes at the start of a file that show UTF-16 without a byte order mark."""


def find_encoding(path: Path, encoding: str = "utf-8") -> str:
    """Return the encoding of a text file by its name in Python.

    A byte order mark decides; without one, a file that is to be UTF-8 is UTF-16 where every other
    byte of its beginning is zero, as it is in no text of UTF-8.
    """
    utf8 = _plain_name(encoding) == "utf-8"
    try:
        with _binary(find_file(path)) as raw:
            begin = raw.read(_LOOKED_AT)
    except (OSError, EOFError, zlib.error):
        return "utf-8-sig" if utf8 else encoding  # whoever reads the file tells what is wrong
    marked = next((name for mark, name in _MARKS.items() if begin.startswith(mark)), None)
    if marked is not None and (utf8 or encoding.lower().startswith("utf")):
        return marked
    if utf8 and len(begin) >= 4:
        pairs = len(begin) // 2
        for name, zeros in (("utf-16-le", begin[1::2]), ("utf-16-be", begin[0::2])):
            other = begin.count(0) - zeros.count(0)
            if zeros.count(0) > 0.6 * pairs and other < 0.1 * pairs:
                return name
    return "utf-8-sig" if utf8 else encoding


def note_encoding(path: Path, spec: DataSpec) -> None:
    """Report that a file is read in another encoding than its spec says."""
    found = find_encoding(path, spec.encoding)
    if found.startswith(("utf-16", "utf-32")) and not spec.encoding.lower().startswith(found[:6]):
        spec.note(f"{path}: read as {found[:6].upper()}, as its first bytes say")


def _plain_name(encoding: str) -> str:
    name = encoding.lower().replace("_", "-").removesuffix("-sig")
    return "utf-8" if name == "utf8" else name


def _binary(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")
