"""The files and models that a page may use; a browser may name others, and those are refused.

A draft reads files under the experiment's folder, the samples, and the data of the experiment that
the app was started with, unchanged; it loads models that are here, or that this experiment names.
Links are followed before anything is compared, so that one inside the folder leads nowhere else.
"""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from icl.core.errors import ConfigError
from icl.core.strict_yaml import load_yaml
from icl.core.types import canonicalize
from icl.data import DataSpec
from icl.engines.hf.weights.find import is_here
from icl.experiment.entries import DataEntry, LexiconEntry
from icl.experiment.grid import Experiment, Point, list_own_data, list_points
from icl.experiment.samples import find_samples
from icl.metrics import VerdictMetric, asks_judge, make_metric

__all__ = ["Bounds", "judges_of"]


_PLACEHOLDER = re.compile(r"\{(?:locale|source|target|split|lang)\}")
_WORD = re.compile(r"[^./\\\x00*][^/\\\x00*]*")
"""A language or split as a part of a path; it cannot lead to another folder."""
_DEEP = 3
"""Levels of folders below a data set's path in which readers open files."""


class Bounds:
    """The files and models that the page may use.

    Args:
        base: the experiment's folder.
        private: folder of this process, with uploaded files and rows typed by hand.
        models: name -> entry of the models that the app was started with.
        given: the experiment that the app was started with.
    """

    def __init__(
        self,
        base: Path,
        private: Path,
        models: Mapping[str, Mapping[str, Any]],
        given: Experiment | None,
    ) -> None:
        self.base, self.private, self.models, self.given = base, private, models, given

    # ---- what the app was started with

    @cached_property
    def _points(self) -> list[Point]:
        return list_points(self.given) if self.given else []

    @cached_property
    def _data(self) -> list[DataEntry]:
        """Data entries that a draft may use as they are; none if its paths start elsewhere."""
        given = self.given
        if given is None or given.base.resolve() != self.base.resolve():
            return []
        return list(list_own_data(given).values())

    @cached_property
    def _files(self) -> set[Path]:
        """Shot files and files of human verdicts that the experiment names."""
        files = [point.shots.file for point in self._points]
        files += [judge.human for judge in judges_of(self._points)]
        files += own_files(self.given.raw) if self.given else []
        return {self._absolute(file) for file in files if file}

    @cached_property
    def entries(self) -> set[str]:
        """Model entries of the experiment and of the command line, as canonical JSON."""
        found = [*self.models.values(), *(point.model for point in self._points)]
        return {canonicalize(dict(entry)) for entry in found}

    @cached_property
    def sources(self) -> frozenset[str]:
        """Models that the app was started with; only these may be downloaded."""
        named = [*self.models.values(), *(point.model for point in self._points)]
        found = [entry.get("source") for entry in named]
        found += [(point.shots.model_extra or {}).get("encoder") for point in self._points]
        return frozenset(one for one in found if isinstance(one, str))

    # ---- a draft

    def check_text(self, text: str) -> None:
        """Refuse files that parsing an experiment's text would open; call it before parsing.

        Raises:
            ConfigError: the base is another folder, or a citation file is outside.
        """
        try:
            raw = load_yaml(text)
        except yaml.YAMLError:
            return  # parsing tells it, and opens nothing
        if not isinstance(raw, dict):
            return
        if isinstance(base := raw.get("base"), str):
            self._check_file(self._absolute(base), f"base: {base}")
        for file in own_files(raw):
            self._check_file(self._absolute(file), f"words or labels: {file}")
        data = raw.get("data")
        for name, entry in data.items() if isinstance(data, dict) else ():
            self._check_listed(str(name), entry, raw.get("base"))
            cite = entry.get("cite") if isinstance(entry, dict) else None
            if isinstance(cite, str) and cite.endswith(".bib") and not self._is_given(entry):
                self._check_file(self._absolute(cite), f"data {name}: cite: {cite}")

    def _check_listed(self, name: str, entry: Any, base: Any) -> None:
        """Refuse a data set outside, since parsing lists its files if locales are a pattern."""
        try:
            made = DataEntry.model_validate(entry)
        except ValidationError:
            return  # parsing tells it, and lists nothing
        self._check_data(name, made, self._absolute(base) if isinstance(base, str) else self.base)

    def check(self, made: Experiment, found: Sequence[Point]) -> None:
        """Refuse an experiment that reads files or loads models which the page may not use.

        Raises:
            ConfigError: names the first of them, and what is accepted.
        """
        for name, entry in list_own_data(made).items():
            self._check_data(name, entry, made.base)
        for point in found:
            for word in _words(point):
                _check_word(word)
            for name in point.task.data_sets:
                self._check_data(name, point.data[name], made.base)
            for name, lexicon in point.lexicons.items():
                self._check_lexicon(name, lexicon, made.base)
            if file := point.shots.file:
                self._check_file(self._absolute(file, made.base), f"shots: file: {file}")
            if isinstance(encoder := (point.shots.model_extra or {}).get("encoder"), str):
                self.check_model({"source": encoder}, made.base)
            self.check_model(point.model, made.base)
        for entry in made.raw["models"].values():
            self.check_model(entry, made.base)
        for judge in judges_of(found):
            if judge.human:
                path = self._absolute(judge.human, made.base)
                self._check_file(path, f"metrics: human: {judge.human}")

    def _check_lexicon(self, name: str, entry: LexiconEntry, base: Path) -> None:
        given = (self.given.raw.get("lexicons") or {}) if self.given and self._data else {}
        same = any(LexiconEntry.model_validate(one) == entry for one in given.values())
        if same and base.resolve() == self.base.resolve():
            return
        for file in filter(None, (entry.path, entry.inflections)):
            self._check_file(self._absolute(file, base), f"lexicons {name}: {file}")

    def _check_data(self, name: str, entry: DataEntry, base: Path) -> None:
        if entry in self._data and base.resolve() == self.base.resolve():
            return
        path = entry.spec(base).path
        if entry.format == "hf":
            raise _refusal(f"data {name}: {entry.path} of the format hf")
        if self._outside(path, [self.base, find_samples()]) is not None:
            raise _refusal(f"data {name}: {entry.path}")

    def _check_file(self, path: Path, what: str) -> None:
        if path not in self._files and self._outside(path, [self.base]) is not None:
            raise _refusal(what)

    def check_model(self, entry: Mapping[str, Any], base: Path | None = None) -> None:
        """Refuse a model that is neither here nor named when the app was started.

        Raises:
            ConfigError: with what is accepted.
        """
        source = entry.get("source")
        if not isinstance(source, str) or source in self.sources:
            return  # an engine without files is known by its whole entry; or the engine says why
        path = self._absolute(source, base)
        if source.startswith((".", "~", "/")) or path.exists():
            here = self._outside(path, [self.base]) is None
        else:
            revision = entry.get("revision")
            here = is_here(source, revision if isinstance(revision, str) else None)
        if not here:
            raise ConfigError(
                f"model {source!r} is not here, and this page fetches none; accepted: models that "
                "icl models lists, folders and .gguf files under the experiment's folder, and "
                "those it was started with: icl app --model SOURCE, or icl app FILE"
            )

    # ---- whatever is read

    def check_spec(self, spec: DataSpec) -> None:
        """Refuse to read rows from a path outside; called last before any file is opened.

        Raises:
            ConfigError: a path out of reach, or a language or split that leads to another folder.
        """
        for word in (spec.locale, spec.source, spec.target, spec.split):
            _check_word(word)
        if any(spec.path == entry.spec(self.base).path for entry in self._data):
            return
        outside = self._outside(spec.path, [self.base, find_samples(), self.private])
        if spec.format == "hf" or outside is not None:
            raise _refusal(f"data: {spec.path}")

    # ---- paths

    def _absolute(self, name: str, base: Path | None = None) -> Path:
        return ((base or self.base) / Path(name).expanduser()).expanduser()

    def _is_given(self, entry: Mapping[str, Any]) -> bool:
        given = (self.given.raw.get("data") or {}) if self.given and self._data else {}
        return any(entry == one for one in given.values())

    def _outside(self, path: Path, roots: Iterable[Path]) -> Path | None:
        """Return the first file that a path may lead to and that is in none of the roots."""
        real = [root.resolve() for root in roots]
        for one in _paths_of(path):
            try:
                inside = any(one.resolve().is_relative_to(root) for root in real)
            except (OSError, RuntimeError, ValueError):  # a loop of links, or no path at all
                inside = False
            if not inside:
                return one
        return None


def own_files(raw: Mapping[str, Any]) -> list[str]:
    """Return the files under ``words:`` and ``labels:`` of an experiment."""
    found = [raw.get("words"), raw.get("labels")]
    listed = [list(one.values()) if isinstance(one, dict) else [one] for one in found]
    return [one for several in listed for one in several if isinstance(one, str)]


def judges_of(found: Iterable[Point]) -> Iterator[VerdictMetric]:
    """Yield the judges that points name under their metrics."""
    for point in found:
        for entry in point.task.metrics or ():
            _, metric = make_metric(entry)
            if asks_judge(metric):
                yield metric


def _paths_of(path: Path) -> Iterator[Path]:
    """Yield the files and folders that a data path may lead to, and the folder they share."""
    text = _PLACEHOLDER.sub("*", str(path))
    if "*" not in text:
        found = [path, Path(f"{text}.gz")]
    else:
        yield Path(text.partition("*")[0] + "x").parent
        yield Path(os.path.normpath(text))  # what stands there may bring folders to go up from
        pattern = glob.escape(text).replace("[*]", "*")
        found = [Path(one) for end in ("", ".gz") for one in glob.glob(pattern + end)]
    for one in found:
        yield one
        yield from _links(one)


def _links(folder: Path) -> Iterator[Path]:
    """Yield the links in a folder and in the levels that a reader opens; no hidden ones."""
    top = len(folder.parts)
    for place, folders, files in os.walk(folder):
        here = Path(place)
        folders[:] = [name for name in folders if not name.startswith(".")]
        yield from (here / name for name in [*folders, *files] if (here / name).is_symlink())
        if len(here.parts) - top >= _DEEP:
            folders.clear()


def _words(point: Point) -> Iterator[str | None]:
    """Yield the words of a point that may be parts of a path."""
    yield from (point.locale, point.pool_locale, *(point.pair or ()), point.task.rows.split)
    pool = point.task.pool
    if pool is not None:
        yield pool.split
        if pool.without is not None:
            yield pool.without.split


def _check_word(word: str | None) -> None:
    if word is not None and not _WORD.fullmatch(word):
        raise ConfigError(
            f"{word!r} is no language or split: it may not begin with a point or hold / or *; "
            "accepted: words such as sw-KE, deu_Latn, test"
        )


def _refusal(what: str) -> ConfigError:
    return ConfigError(
        f"{what} is not read by this page; accepted: files under the experiment's folder, the "
        "samples, and the data of the experiment that it was started with, unchanged: icl app FILE"
    )
