"""The candidates of a search: variants of the file's first condition."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from icl.core.errors import ConfigError, DataError
from icl.core.files import replace_file
from icl.core.registry import construct, did_you_mean, lookup, names
from icl.core.types import Example
from icl.experiment.condition import Condition, build, check_answers, teach_rows
from icl.experiment.entries import SAME, SearchEntry, ShotsEntry, validate
from icl.experiment.grid import Experiment, Point, list_points
from icl.experiment.loader import Loader

__all__ = ["Candidate", "CandidateSet", "collect_candidates", "read_search_entry"]


SHOT_KEYS = ("shot_set", "k", "select", "order")


@dataclass(frozen=True)
class Candidate:
    """One combination of the settings that the search varies."""

    name: str
    """Its name in tables: the settings that vary."""
    shots: Any
    """The value under ``shots`` in an experiment file; a set of shots is a file."""
    point: Point
    test: Condition
    """The condition on the test rows."""
    dev: Condition
    """The condition on the development rows."""
    drawn: Path | None = None
    """The file with its sampled shot set, if there is one."""


@dataclass(frozen=True)
class CandidateSet:
    """All candidates, the baseline, and notes about the rows for the reader."""

    candidates: Sequence[Candidate]
    baseline: Condition
    """The file's first condition on the test rows, without development rows in its pool."""
    notes: Sequence[str] = ()
    same: int = 0
    """Number of combinations that equal an earlier one."""


@dataclass(frozen=True)
class _Variant:
    """A combination of settings before its condition is built."""

    prompt: str
    language: str
    shots: Any
    name: tuple[str, ...] = ()
    """Prompt, language, shots, order and set as words; tables show those that vary."""
    file: Path | None = None


@dataclass
class _Maker:
    """Builds grid points from the file's first point by changing some of its settings."""

    experiment: Experiment
    search: SearchEntry
    loader: Loader
    first: Point = field(init=False)

    def __post_init__(self) -> None:
        self.first = list_points(self.experiment)[0]

    def point(self, prompt: str, language: str, shots: Any) -> Point:
        """Build the first point with these settings, and without development rows in its pool."""
        raw = pin_candidate(self.experiment, self.first, self.search, prompt, language, shots)
        return list_points(replace(self.experiment, raw=raw), self.experiment.name)[0]

    def own(self) -> Point:
        """Build the file's first point with its own settings."""
        return self.point(self.first.prompt, self.first.prompt_language, read_own_shots(self.first))

    def on_dev(self, test: Condition) -> Condition:
        """Return the same condition on the development rows.

        Raises:
            DataError: all development rows are also test rows, or one cannot be answered.
        """
        dev, task = self.search.dev, test.point.task
        assert dev is not None  # field_of checks it
        known = self.loader.test(test.point, test.template)
        rows, left_out = self.loader.pool(test.point, dev, test.point.locale, test.template, known)
        if not rows:
            raise DataError(
                f"search: no development rows: all {left_out} rows of `dev` are also test rows; "
                "name another split, such as `dev: {split: train, n: 100}`"
            )
        name = dev.data or task.rows.data
        asked = task.rows.model_copy(
            update={
                "data": name,
                "split": dev.split,
                "lines": dev.lines,
                "n": dev.n,
                "seed": dev.seed,
            }
        )
        point = replace(test.point, task=task.model_copy(update={"rows": asked}))
        rows, untaught = teach_rows(test.template, rows)
        made = replace(test, point=point, examples=rows, available=len(rows), untaught=untaught)
        check_answers(made)
        return made


def read_search_entry(experiment: Experiment) -> SearchEntry:
    """Read and check the ``search:`` block of an experiment file.

    Raises:
        ConfigError: the block or its ``dev`` is missing, or it varies nothing.
    """
    given = experiment.raw.get("search")
    if given is None:
        raise ConfigError(
            f"{experiment.name}: nothing to search; add `search: {{over: {{shot_set: 8}}, dev: "
            "{split: dev, n: 100}}`"
        )
    made: SearchEntry = validate(SearchEntry, given, f"{experiment.name}: search")
    if made.dev is None:
        raise ConfigError(
            f"{experiment.name}: search: no development rows; add `dev: {{split: dev, n: 100}}`, "
            "rows to choose by that are neither test nor pool"
        )
    if not any(value is not None for value in made.over.model_dump().values()):
        raise ConfigError(
            f"{experiment.name}: search: `over` is empty; name at least one of "
            f"{', '.join(type(made.over).model_fields)}"
        )
    return made


def read_own_shots(point: Point) -> Any:
    """Return the shots of a point in the form of an experiment file."""
    return point.shots.model_dump(exclude_unset=True, exclude={"seeds"}) | {
        "seed": point.shots.seed
    }


def pin_candidate(
    experiment: Experiment,
    point: Point,
    search: SearchEntry,
    prompt: str,
    language: str,
    shots: Any,
) -> dict[str, Any]:
    """Build the experiment of one condition: the point with this prompt, language and shots."""
    task = point.task.model_dump(mode="json", by_alias=True, exclude_unset=True)
    task["prompt"] = prompt
    if [language] != point.task.prompt_language or "prompt_language" in task:
        task["prompt_language"] = language
    if point.locale is not None:
        task["rows"]["locale"] = point.locale
    if point.pair is not None:
        task["rows"]["pair"] = {"from": point.pair[0], "to": point.pair[1]}
    if "layouts" in task:
        task["layouts"] = [point.form]
    if "locale" in task.get("pool", {}):
        task["pool"]["locale"] = SAME if point.pool_locale == point.locale else point.pool_locale
    if "pool" in task and search.dev is not None:
        task["pool"]["without"] = search.dev.model_dump(mode="json", exclude_unset=True)
    kept = {
        key: experiment.raw[key]
        for key in ("data", "lexicons", "plugins", "batch_size")
        if key in experiment.raw
    }
    return {
        **kept,
        "models": {point.model_name: dict(point.model)},
        "tasks": [task],
        "grid": {"shots": [shots]},
    }


def collect_candidates(experiment: Experiment, loader: Loader, folder: Path) -> CandidateSet:
    """Build and check everything that a search compares; write the drawn sets of shots to files.

    Args:
        experiment: an experiment with a ``search:`` block.
        loader: loader of the experiment.
        folder: where the sets of shots are written.

    Raises:
        ConfigError: there are fewer than two candidates.
        DataError: no development rows are left besides the test rows.
    """
    search = read_search_entry(experiment)
    maker = _Maker(experiment, search, loader)
    baseline = build(maker.own(), loader)
    found: dict[str, Candidate] = {}
    variants = list(_variants(maker, folder))
    for variant in variants:
        point = maker.point(variant.prompt, variant.language, variant.shots)
        test = build(point, loader)
        if test.fingerprint not in found:
            dev = maker.on_dev(test)
            dev.request(dev.examples[0])
            name = " · ".join(_varying(variant, variants)) or "the only one"
            found[test.fingerprint] = Candidate(name, variant.shots, point, test, dev, variant.file)
    if len(found) < 2:
        raise ConfigError(
            f"{experiment.name}: search: one candidate only ({next(iter(found.values())).name}); "
            "name more values under `over`"
        )
    same = len(variants) - len(found)
    candidates = list(found.values())
    return CandidateSet(candidates, baseline, tuple(_notes(maker, candidates[0], same)), same)


def _varying(variant: _Variant, variants: Sequence[_Variant]) -> Iterator[str]:
    """Yield the parts of a variant's name in which the variants differ."""
    for place, part in enumerate(variant.name):
        if part and len({other.name[place] for other in variants} - {""}) > 1:
            yield part


def _notes(maker: _Maker, candidate: Candidate, same: int) -> Iterator[str]:
    """Yield notes: what was left out, where rows are fewer than requested, what does not vary."""
    axes = {
        name: {p.axes.get(name) for p in list_points(maker.experiment)} - {None, ""}
        for name in maker.first.axes
    }
    several = [
        f"{len(values)} values of {name}"
        for name, values in axes.items()
        if len(values) > 1 and name not in ("prompt", "shots", "language")
    ]
    if several:
        yield f"the search uses the file's first condition; the file has {', '.join(several)}"
    if same:
        yield f"{same} combinations have the same prompts as others and are left out"
    dev = maker.search.dev
    assert dev is not None
    point, template = candidate.test.point, candidate.test.template
    known = maker.loader.test(point, template)
    _, left_out = maker.loader.pool(point, dev, point.locale, template, known)
    if left_out:
        yield f"{left_out} rows of `dev` are also test rows and are left out"
    rows = len(candidate.dev.examples)
    if dev.n and rows < dev.n:
        yield f"{dev.n} development rows were requested, {rows} are available"
    pool = point.task.pool
    if pool is not None:
        whole = point.task.model_copy(update={"pool": pool.model_copy(update={"without": None})})
        none = replace(point, task=whole, shots=ShotsEntry(k=0))
        held = len(build(none, maker.loader).pool) - len(candidate.test.pool)
        if held:
            yield f"{held} pool rows are development rows and are not used as shots"


def _variants(maker: _Maker, folder: Path) -> Iterator[_Variant]:
    """Yield every combination in the order of the file, after drawing its set of shots."""
    over, first = maker.search.over, maker.first
    made = list(_shots(maker, folder))
    for prompt, language, shots in itertools.product(
        over.prompt or [first.prompt], over.prompt_language or [first.prompt_language], made
    ):
        yield _Variant(prompt, language, shots.value, (prompt, language, *shots.name), shots.file)


@dataclass(frozen=True)
class _Shots:
    """One value of ``shots``, with its name in tables."""

    value: Any
    name: tuple[str, str, str]
    """Number and selector, order, set."""
    file: Path | None = None


def _shots(maker: _Maker, folder: Path) -> Iterator[_Shots]:
    """Yield every value of ``shots`` that the search varies."""
    over = maker.search.over
    if all(getattr(over, key) is None for key in SHOT_KEYS):
        yield _Shots(read_own_shots(maker.first), (maker.first.axes["shots"], "", ""))
        return
    given = next(
        (
            point
            for point in list_points(maker.experiment)
            if point.shots.k and not point.shots.file
        ),
        None,
    )
    if over.k is None and given is None:
        raise ConfigError(
            f"{maker.experiment.name}: search: over how many shots? no condition of the file has "
            "any; add `k: [4, 8]` under `over`"
        )
    usual = read_own_shots(given) if given else {"seed": 0}
    options = dict(given.shots.model_extra or {}) if given else {}
    selects: list[Any] = [{"select": usual.get("select", "random"), **options}]
    if over.select is not None:
        selects = [{"select": s} if isinstance(s, str) else dict(s) for s in over.select]
    kept = {key: v for key, v in usual.items() if key not in (*options, "select", "k", "order")}
    sizes: list[Any] = over.k or [usual.get("k")]
    orders = over.order or [given.settings["order"] if given else "selected"]
    for place, k, order in itertools.product(range(len(selects)), sizes, orders):
        if not k:
            yield _Shots(0, ("0", "", ""))
            continue
        common = kept | ({} if order == "selected" else {"order": order})
        value = {**common, **selects[place], "k": k}
        name = _name(selects[place], k, over.shot_set is not None)
        if not _draws(maker, selects[place]):
            yield _Shots(value, (name, order, ""))
            continue
        stem = f"{selects[place]['select']}{place + 1 if place else ''}-k{k}"
        for number, file in enumerate(_drawn(maker, value, folder / stem), 1):
            yield _Shots({**common, "file": str(file)}, (name, order, f"set {number}"), file)


def _name(select: Mapping[str, Any], k: int, sets: bool) -> str:
    """Return the table name of a shots value, e.g. ``8 bm25 char``; for sets without the scope."""
    left_out = ("select", "seed", "scope") if sets else ("select", "seed")
    options = [str(value) for key, value in select.items() if key not in left_out]
    return " ".join([str(k), str(select["select"]), *options])


def _draws(maker: _Maker, select: Mapping[str, Any]) -> bool:
    """Return whether sets are requested and the selector can draw one set for all queries.

    Raises:
        ConfigError: the selector is unknown.
    """
    kind = select.get("select")
    if not isinstance(kind, str) or kind not in names("selector"):
        raise ConfigError(
            f"{maker.experiment.name}: search: unknown selector {kind!r}"
            f"{did_you_mean(str(kind), names('selector'))}"
        )
    made = lookup("selector", kind)
    scoped = made.seeded and "scope" in {spec.name for spec in fields(made)}
    return scoped and maker.search.over.shot_set is not None


def _drawn(maker: _Maker, shots: dict[str, Any], stem: Path) -> Iterator[Path]:
    """Draw the shot sets and write one file each, in drawn order; ``order`` applies later."""
    point = maker.point(maker.first.prompt, maker.first.prompt_language, shots)
    pool, sets = build(point, maker.loader).pool, maker.search.over.shot_set or 0
    if len(pool) < shots["k"]:
        raise DataError(f"search: {shots['k']} shots of a pool of {len(pool)} rows; lower `k`")
    options = dict(point.shots.model_extra or {})
    for number in range(sets):
        options |= {"scope": "run", "seed": maker.search.seed * sets + number}
        selector = construct("selector", point.shots.select, options, "search: over: select")
        selector.fit(pool)
        rows = [shot.example.id for shot in selector.select(Example("", {}), shots["k"])]
        file = stem.parent.resolve() / f"{stem.name}-{number + 1}.jsonl"
        lines = [json.dumps({"id": name}, ensure_ascii=False) + "\n" for name in rows]
        replace_file(file, "".join(lines))
        yield file
