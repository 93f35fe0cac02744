"""Data sets of the Hugging Face hub at a fixed revision, and local folders in the same forms."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from icl.core.errors import DataError
from icl.core.files import find_cache_dir
from icl.core.registry import did_you_mean, register
from icl.core.types import Example
from icl.data.parquet import BATCH_ROWS, need, plain_row
from icl.data.rows import Row, RowTable, find_wanted_columns, read_examples
from icl.data.spec import DataSpec, find_path

__all__ = ["find_download", "pin_commit", "read_hf", "read_split_sizes"]


_HUB_ID = re.compile(r"[\w.-]+(/[\w.-]+)?")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_OFFLINE = (
    "to go on offline, name a revision that is in the cache, or give path: a folder that "
    "`save_to_disk` or `hf download --repo-type dataset` wrote"
)


@register("format", "hf")
def read_hf(spec: DataSpec) -> Iterator[Example]:
    """Read a Hugging Face data set, from the hub or a local folder.

    Yields one example per row of one split. ``path`` is a folder (saved by ``save_to_disk``, or
    with
    data files) or an id of the hub, whose ``revision`` is looked up if none is given. Class
    labels are read as their names, an unknown label as none; code of a data set is never run. Rows
    are read from disk as needed.

    Raises:
        DataError: no such data set, configuration, split or column, or the hub is unreachable.
    """
    need("datasets", "datasets")
    spec = pin_commit(spec)
    place, splits = _splits(spec)
    split = spec.split or (next(iter(splits)) if len(splits) == 1 else None)
    if split is None or split not in splits:
        asked = "give split:" if split is None else f"no split {split!r}"
        raise DataError(f"{place}: {asked}{did_you_mean(split or '', splits)}")
    data = splits[split]
    columns = find_wanted_columns(spec, data.column_names, f"{place}, split {split}")
    chosen = data if columns is None else data.select_columns(columns)
    names = {name: name_of for name, kind in chosen.features.items() if (name_of := _names(kind))}

    def rows() -> Iterator[Row]:
        number = 0
        for batch in chosen.with_format("arrow").iter(BATCH_ROWS):
            for row in batch.to_pylist():
                number += 1
                where = f"{place}, split {split}: row {number}"
                named = {name: name_of(row[name]) for name, name_of in names.items()}
                yield where, plain_row({**row, **named}, where)

    yield from read_examples(
        RowTable(place, rows, split_is_chosen=True), replace(spec, split=split)
    )


def pin_commit(spec: DataSpec) -> DataSpec:
    """Return the spec with its revision on the hub replaced by the commit; others are unchanged.

    Raises:
        DataError: no such data set or revision, or the hub is unreachable.
    """
    if spec.format != "hf" or find_path(spec).exists():
        return spec
    if spec.revision is not None and _COMMIT.fullmatch(spec.revision):
        return spec
    return replace(spec, revision=_commit(_hub_id(spec), spec.revision))


def read_split_sizes(spec: DataSpec) -> dict[str, int]:
    """Count the rows of each split, of a local folder or of a downloaded data set."""
    need("datasets", "datasets")
    return {name: len(rows) for name, rows in _splits(spec)[1].items()}


def _hub_id(spec: DataSpec) -> str:
    name = str(spec.path)
    if not _HUB_ID.fullmatch(name):
        raise DataError(
            f"no such folder: {name}; give a folder, or an id of the hub like 'org/name'"
        )
    return name


@lru_cache(maxsize=64)
def _commit(name: str, revision: str | None) -> str:
    need("datasets", "datasets")
    from huggingface_hub import HfApi

    with _reached(name, revision):
        return str(HfApi().dataset_info(name, revision=revision, timeout=30).sha)


@contextmanager
def _reached(name: str, revision: str | None) -> Iterator[None]:
    """Turn errors of the hub's libraries into one line that says how to continue."""
    from huggingface_hub import errors

    called = f"data set {name!r}" + (f" at revision {revision!r}" if revision else "")
    try:
        yield
    except (errors.RevisionNotFoundError, errors.RepositoryNotFoundError) as error:
        kind = "revision" if isinstance(error, errors.RevisionNotFoundError) else "data set"
        raise DataError(
            f"the hub has no such {kind}: {called}; check its spelling, or log in with "
            "`hf auth login` if it is private, or give path: a folder"
        ) from error
    except (OSError, errors.HTTPError) as error:  # type: ignore[attr-defined]  # of its client
        kept = sorted(path.parent.name for path in find_download(name).glob("*/*"))
        there = f" (there: {', '.join(kept)})" if kept else " (of this one it has none)"
        reason = type(error).__name__
        raise DataError(
            f"the hub cannot be reached for the {called} ({reason}); {_OFFLINE}{there}"
        ) from error


def find_download(name: str) -> Path:
    """Return the folder of a downloaded data set; below it, ``COMMIT/CONFIG`` as saved to disk.

    The cache of ``datasets`` itself would do, but without the hub it uses whatever commit it has.
    """
    return find_cache_dir() / "datasets" / name.replace("/", "--")


def _splits(spec: DataSpec) -> tuple[str, Mapping[str, Any]]:
    """Return the data set's name for messages, and its splits by name."""
    import datasets

    folder = find_path(spec)
    if not folder.exists():
        name = _hub_id(spec)
        place = f"{name}@{str(spec.revision)[:8]}"
        return place, _fetched(name, spec.config, str(spec.revision))
    place = str(folder)
    if not folder.is_dir():
        raise DataError(f"{place} is a file; give its folder, or the format of the file")
    if (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file():
        if spec.config is not None:
            raise DataError(f"{place}: the folder of save_to_disk has no config {spec.config!r}")
        with _translate_errors(place):
            saved = datasets.load_from_disk(str(folder))
        return place, saved if isinstance(saved, dict) else {str(saved.split or "all"): saved}
    kept = str(find_cache_dir() / "datasets" / "folders")
    return place, _load(place, str(folder), spec.config, cache_dir=kept)


def _fetched(name: str, config: str | None, commit: str) -> Mapping[str, Any]:
    """Load one configuration at a commit; download it once, then read it without the hub."""
    import datasets

    place, kept = f"{name}@{commit[:8]}", find_download(name) / commit / (config or "default")
    if not kept.is_dir():
        kept.parent.mkdir(parents=True, exist_ok=True)
        with (
            TemporaryDirectory(dir=find_cache_dir() / "datasets") as scratch,
            _translate_errors(place),
        ):
            with _reached(name, commit):
                loaded = _load(place, name, config, revision=commit, cache_dir=f"{scratch}/cache")
            loaded.save_to_disk(f"{scratch}/saved")
            with suppress(FileExistsError):  # another process was first
                Path(scratch, "saved").rename(kept)
    with _translate_errors(place):
        saved: Mapping[str, Any] = datasets.load_from_disk(str(kept))
    return saved


def _load(place: str, path: str, config: str | None, **options: Any) -> Any:
    """Load all splits of one configuration.

    Raises:
        DataError: no such configuration, several and none given, or broken files.
    """
    import datasets

    with _translate_errors(place):
        try:
            return datasets.load_dataset(path, config, **options)
        except ValueError:
            options.pop("cache_dir")
            configs = datasets.get_dataset_config_names(path, **options)
            if config in configs or (config is None and len(configs) == 1):
                raise
            asked = "give config:" if config is None else f"no config {config!r}"
            raise DataError(f"{place}: {asked}{did_you_mean(config or '', configs)}") from None


@contextmanager
def _translate_errors(place: str) -> Iterator[None]:
    """Silence the library's progress bars and logs; turn its errors into one line."""
    import datasets
    import pyarrow as pa

    level = datasets.utils.logging.get_verbosity()
    bars = datasets.are_progress_bars_disabled()
    datasets.utils.logging.set_verbosity_error()
    datasets.disable_progress_bars()
    try:
        yield
    except (
        datasets.exceptions.DatasetsError,
        FileNotFoundError,
        ValueError,
        pa.ArrowException,
        NotImplementedError,
    ) as error:
        cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
        fault = " ".join(str(cause).split()) or type(cause).__name__
        raise DataError(f"{place}: the data set cannot be read: {fault}") from error
    finally:
        datasets.utils.logging.set_verbosity(level)
        if not bars:
            datasets.enable_progress_bars()


def _names(kind: Any) -> Callable[[Any], Any] | None:
    """Return a function from class labels to their names, also inside lists; None without any."""
    import datasets

    if isinstance(kind, datasets.ClassLabel):
        labels = list(kind.names)
        return lambda value: None if value is None or value < 0 else labels[value]
    if isinstance(kind, datasets.List | datasets.LargeList):
        inner = _names(kind.feature)
        return inner and (lambda values: values and [inner(one) for one in values])
    if isinstance(kind, dict):
        named = {name: made for name, part in kind.items() if (made := _names(part))}
        return (
            (lambda row: row and {**row, **{n: f(row[n]) for n, f in named.items()}})
            if named
            else None
        )
    return None
