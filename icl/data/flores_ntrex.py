"""Readers of the FLORES and NTREX folders of parallel text, with any spelling of a language.

FLORES-200: NLLB Team, 2022, https://arxiv.org/abs/2207.04672. NTREX-128: Federmann et al., 2022,
https://aclanthology.org/2022.sumeval-1.4.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import repeat
from pathlib import Path

from icl.core.errors import DataError
from icl.core.languages import find_language
from icl.core.registry import did_you_mean, register
from icl.core.types import Example
from icl.data.parallel import align_lines, read_plain_lines, refuse_columns
from icl.data.spec import DataSpec, find_file, find_path

__all__ = ["list_folder_languages", "pick_language", "read_flores", "read_ntrex"]


@register("format", "flores")
def read_flores(spec: DataSpec) -> Iterator[Example]:
    """Read sentence pairs of a FLORES folder.

    Yields fields ``source`` and ``target`` of one split. ``path`` is the folder with
    ``devtest/LANG.devtest`` (and ``dev/LANG.dev``). Languages may be spelled in any way:
    ``sw``, ``swh``, ``swh_Latn``. If ``metadata_SPLIT.tsv`` exists, its domain and topic
    are added to the meta of each row.

    Raises:
        DataError: no such folder, split or language, or files that are not aligned.
    """
    folder = _folder(spec)
    splits = _flores_splits(folder)
    if spec.split not in splits and (spec.split is not None or len(splits) > 1):
        asked = "flores needs a split" if spec.split is None else f"no split {spec.split!r}"
        raise DataError(f"{asked} in {folder}{did_you_mean(spec.split or '', splits)}")
    split = spec.split or next(iter(splits))
    metadata = folder / f"metadata_{split}.tsv"
    source, target = _pair(spec, splits[split], folder / split)
    notes = _flores_notes(metadata, target or source) if metadata.is_file() else repeat({})
    yield from align_lines(replace(spec, split=split), source, target, notes)


@register("format", "ntrex")
def read_ntrex(spec: DataSpec) -> Iterator[Example]:
    """Read sentence pairs of an NTREX-128 folder.

    Yields fields ``source`` and ``target``. ``path`` is the folder with
    ``NTREX-128/newstest2019-ref.LANG.txt``, or that inner folder. Languages may be spelled in
    any way: ``zh``, ``zho-CN``, ``zh-Hant``. If ``DOCUMENT_IDS.tsv`` exists, the document of each
    line is added to its meta.

    Raises:
        DataError: no such folder or language, or files that are not aligned.
    """
    folder = _folder(spec)
    if spec.split is not None:
        raise DataError(f"NTREX has no splits: leave out split: {spec.split!r}, or give lines:")
    source, target = _pair(spec, _ntrex_files(folder), folder)
    documents = next(
        (
            place / "DOCUMENT_IDS.tsv"
            for place in (folder, folder.parent)
            if (place / "DOCUMENT_IDS.tsv").is_file()
        ),
        None,
    )
    notes = repeat({}) if documents is None else _ntrex_notes(documents, target or source)
    yield from align_lines(spec, source, target, notes)


def list_folder_languages(spec: DataSpec) -> dict[str, list[str]]:
    """List the language tags of a folder in either format, by split (empty for NTREX)."""
    folder = _there(spec)
    if spec.format == "ntrex":
        return {"": list(_ntrex_files(folder))}
    return {split: list(files) for split, files in _flores_splits(folder).items()}


def _flores_splits(folder: Path) -> dict[str, dict[str, Path]]:
    splits = {
        inner.name: files
        for inner in sorted(folder.iterdir())
        if inner.is_dir() and (files := _languages(inner, f"*.{inner.name}"))
    }
    if not splits:
        raise DataError(f"no FLORES in {folder}: devtest/LANG.devtest or dev/LANG.dev is needed")
    return splits


def _ntrex_files(folder: Path) -> dict[str, Path]:
    inner = folder / "NTREX-128" if (folder / "NTREX-128").is_dir() else folder
    files = _languages(inner, "newstest2019-*.txt")
    if not files:
        raise DataError(f"no NTREX in {inner}: newstest2019-ref.LANG.txt is needed")
    return files


def _folder(spec: DataSpec) -> Path:
    refuse_columns(spec)
    folder = _there(spec)
    if spec.source is None:
        raise DataError(f"{spec.format} is parallel text: give pair: {{from: LANG, to: LANG}}")
    return folder


def _there(spec: DataSpec) -> Path:
    folder = find_path(spec)
    if not folder.is_dir():
        path = find_file(folder)
        raise DataError(f"{path} is a file; give the folder of the data set")
    return folder


def _languages(folder: Path, pattern: str) -> dict[str, Path]:
    """Find tag -> file among ``TAG.devtest`` and ``newstest2019-ref.TAG.txt``, gzipped or not."""
    found: dict[str, Path] = {}
    for path in sorted([*folder.glob(pattern), *folder.glob(pattern + ".gz")]):
        parts = path.name.removesuffix(".gz").split(".")
        found.setdefault(parts[-2], path)
    return found


def _pair(spec: DataSpec, paths: Mapping[str, Path], folder: Path) -> tuple[Path, Path | None]:
    source = paths[pick_language(str(spec.source), list(paths), folder)]
    if spec.target is None:
        return source, None
    return source, paths[pick_language(spec.target, list(paths), folder)]


def pick_language(tag: str, tags: list[str], place: Path | str = "the data") -> str:
    """Pick the one of ``tags`` that names the language ``tag``, in any spelling.

    If a language has several scripts, the script decides; among regions, the requested one is
    preferred, then the one without a region.

    >>> pick_language("sw", ["swh_Latn", "swc_Latn"]), pick_language("zh-TW", ["zho-CN", "zho-TW"])
    ('swh_Latn', 'zho-TW')

    Raises:
        DataError: none of them is that language, or several are.
    """
    if tag in tags:
        return tag
    asked = find_language(tag)
    same = [
        other
        for other in tags
        if find_language(other).code == asked.code and find_language(other).script == asked.script
    ]
    for region in dict.fromkeys([_region(tag), None]):
        found = [other for other in same if _region(other) == region]
        if len(found) == 1:
            return found[0]
    if len(same) == 1:
        return same[0]
    if same:
        raise DataError(f"{place} has {len(same)} files of {tag!r}: write {' or '.join(same)}")
    near = sorted(other for other in tags if find_language(other).code == asked.code)
    hint = f"; there is {' and '.join(near)}" if near else did_you_mean(tag, tags)
    raise DataError(f"no language {tag!r} in {place}{hint}")


def _region(tag: str) -> str | None:
    import langcodes

    region: str | None = langcodes.Language.get(tag).territory
    return region


def _flores_notes(path: Path, beside: Path) -> Iterator[dict[str, str]]:
    lines = csv.DictReader(
        read_plain_lines(path, "utf-8"), dialect="excel-tab", quoting=csv.QUOTE_NONE
    )
    for row in lines:
        yield {name: row[name] for name in ("domain", "topic") if row.get(name)}
    raise _unaligned(path, beside)


def _ntrex_notes(path: Path, beside: Path) -> Iterator[dict[str, str]]:
    for line in read_plain_lines(path, "utf-8"):
        yield {"document": line.strip()}
    raise _unaligned(path, beside)


def _unaligned(path: Path, beside: Path) -> DataError:
    return DataError(f"{path} has fewer rows than {beside}; get both of the same release")
