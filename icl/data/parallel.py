"""Parallel text: two plain text files whose lines are translations of each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import repeat, zip_longest
from pathlib import Path

from icl.core.errors import DataError
from icl.core.registry import register
from icl.core.types import Example
from icl.data.spec import DataSpec, find_file, find_path, read_text_lines

__all__ = ["align_lines", "refuse_columns", "read_plain_lines", "read_lines"]


@register("format", "lines")
def read_lines(spec: DataSpec) -> Iterator[Example]:
    """Read plain text files whose lines translate each other.

    Yields one example per line: field ``source`` and, if a target is given, ``target``. The path
    contains ``{lang}``, which is replaced by each language. Without a target, one file is read and
    rows have no gold; ``locale`` is then the language to translate into. Ids are line numbers
    from 0, so aligned files share them.

    Raises:
        DataError: files of different length, or a path that does not name two files.
    """
    _check(spec)
    target = None if spec.target is None else find_path(spec, spec.target)
    yield from align_lines(spec, find_path(spec, spec.source), target)


def align_lines(
    spec: DataSpec,
    source_path: Path,
    target_path: Path | None,
    notes: Iterable[Mapping[str, str]] = repeat({}),  # noqa: B008 - never consumed, never ends
) -> Iterator[Example]:
    """Yield one example for each line of both files; ``notes`` adds to the meta of each line.

    Raises:
        DataError: files of different length, found at the end of the shorter one.
    """
    if target_path == source_path:
        raise DataError(f"source and target are the same file {source_path}; name two languages")
    tag = spec.target or spec.locale
    meta = {"source": spec.source, "target": tag, "locale": tag, "split": spec.split}
    known = {name: value for name, value in meta.items() if value is not None}
    noted = iter(notes)
    if target_path is None:
        for number, source in enumerate(read_plain_lines(source_path, spec.encoding)):
            own = known | dict(next(noted))
            yield Example(spec.identity(str(number)), {"source": source}, (), own, ("target",))
        return
    pairs = zip_longest(
        *(read_plain_lines(path, spec.encoding) for path in (source_path, target_path))
    )
    for number, (source, target) in enumerate(pairs):
        if source is None or target is None:
            counts = [number, number + 1 + sum(1 for _ in pairs)]
            left, right = counts if source is None else reversed(counts)
            raise DataError(
                f"lines are not aligned: {source_path} has {left}, "
                f"{target_path} has {right}; give two files with as many lines"
            )
        fields = {"source": source, "target": target}
        own = known | dict(next(noted))
        yield Example(spec.identity(str(number)), fields, (target,), own, ("target",))


def refuse_columns(spec: DataSpec) -> None:
    """Raise an error if a spec has options that plain lines do not support.

    Raises:
        DataError: it names columns, an answer, an id or gold fields.
    """
    columns = {"fields": spec.fields, "answer": spec.answer, "id": spec.id, "gold": spec.gold}
    given = [name for name, value in columns.items() if value]
    if given:
        raise DataError(
            f"plain lines have no columns: leave out {', '.join(given)}; "
            "templates read 'source' and 'target'"
        )


def _check(spec: DataSpec) -> None:
    """Raise an error if the path cannot name both files."""
    refuse_columns(spec)
    has_lang = "{lang}" in str(spec.path)
    if has_lang and spec.source is None:
        raise DataError(f"the path {str(spec.path)!r} has {{lang}}: give source:")
    if spec.target is not None and not has_lang:
        raise DataError(
            f"the path {str(spec.path)!r} names one file: write {{lang}} where the names of the "
            "two files differ, or leave out target: for rows without gold"
        )


def read_plain_lines(path: Path, encoding: str) -> Iterator[str]:
    r"""Yield the lines of a file without their end; only ``\n`` and ``\r\n`` end one."""
    for line in read_text_lines(find_file(path), encoding):
        yield line.removesuffix("\n").removesuffix("\r")
