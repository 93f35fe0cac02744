"""The experiment type, and the expansion of its grid into points.

pydantic checks the file here, and nowhere else. Axes are the keys of ``grid`` and the lists under
``prompt``, ``locale`` and ``pair``; nothing else expands.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from icl.calibrators import make_calibrators
from icl.core.errors import ConfigError
from icl.core.registry import did_you_mean, lookup, names
from icl.core.types import canonicalize
from icl.data.citations import find_citations
from icl.engines.hf.weights.widths import WIDTHS
from icl.experiment.constraint import find_form_kind
from icl.experiment.differences import find_differences, is_own_axis
from icl.experiment.entries import (
    SAME,
    DataEntry,
    ExperimentEntry,
    HintsEntry,
    LexiconEntry,
    ShotsEntry,
    ShotsHolder,
    TaskEntry,
    validate,
)
from icl.experiment.renamed import check_keys
from icl.experiment.row_locales import LocaleFinder
from icl.experiment.samples import list_built_in_data
from icl.experiment.shots import expand_shots, list_shot_settings, name_shots, name_shots_apart
from icl.experiment.user_config import UserConfig
from icl.metrics import make_metric
from icl.metrics.command import check_command_name
from icl.tasks.patterns import make_parser

__all__ = ["Experiment", "Point", "list_own_data", "list_points"]


@dataclass(frozen=True)
class Experiment:
    """A checked experiment file, with its text and folder."""

    name: str
    raw: Mapping[str, Any] = field(repr=False)
    text: str = field(repr=False)
    base: Path
    """Folder that relative paths start from."""
    batch_size: int | None = None
    """None lets the free memory decide."""
    plugins: tuple[str, ...] = ()
    config: UserConfig = UserConfig()
    """Settings of the user's own file, for what this file leaves open; they change no answer."""

    def with_batch_size(self, rows: int | None) -> Experiment:
        """Return the experiment with another batch size; None leaves it."""
        return self if rows is None else replace(self, batch_size=rows)


@dataclass(frozen=True)
class Point:
    """One point of the grid, before anything is loaded."""

    model_name: str
    model: Mapping[str, Any]
    task: TaskEntry
    prompt: str
    locale: str | None
    pair: tuple[str, str] | None
    prompt_language: str
    shots: ShotsEntry
    data: Mapping[str, DataEntry]
    axes: Mapping[str, str]
    """The point's value on every axis, as tables print it."""
    pool_locale: str | None = None
    """Locale of the shots; None if rows have no locale."""

    @property
    def order(self) -> str:
        """The order of the shots, from :func:`icl.experiment.shot_order.expand_orders`."""
        return self.shots.order[0]

    @property
    def row_language(self) -> str | None:
        """The language of the rows: their locale, or the one translated into; None for neither."""
        return self.locale or (self.pair[1] if self.pair else None)

    form: str = "f0"
    """Layout of the template: see :mod:`icl.prompts.layouts`."""
    lexicons: Mapping[str, LexiconEntry] = field(default_factory=dict)
    """The dictionaries of the experiment, by name."""

    @property
    def settings(self) -> dict[str, str]:
        """Return a word for every setting to group conditions by; those without effect are absent.

        The axes, ``layout``, ``method``, and the parts of the one word ``shots`` of the axes:
        ``k``, ``select``, ``order``, ``shown_labels``, ``seed`` and the selector's options.
        """
        shots = self.shots
        made = {axis: value for axis, value in self.axes.items() if value}
        made["k"] = "all" if shots.k is None else str(shots.k)
        made["layout"] = self.form
        made["method"] = self.task.method or lookup("task", self.task.task).methods[0]
        if shots.k == 0:
            return made
        if self.pool_locale and self.pool_locale != self.locale:
            made["pool"] = self.pool_locale
        return made | list_shot_settings(shots)

    @property
    def engine_key(self) -> str:
        """Key that is equal for points which the same loaded engine can answer."""
        return canonicalize([self.model_name, dict(self.model)])


def list_own_data(experiment: Experiment) -> dict[str, DataEntry]:
    """Return the data sets that an experiment file defines itself, by name."""
    given = experiment.raw.get("data") or {}
    return {name: DataEntry.model_validate(entry) for name, entry in given.items()}


def _declare_file(name: str, base: Path) -> str:
    """Return how a file is declared under ``data:``; nothing where the name is no file."""
    if not name.strip() or not (base / name).is_file():
        return ""
    return (
        f": that is a file, and a task names a data set. Declare it under `data:`, as in "
        f"`data: {{mine: {{path: {name}}}}}`, then write `data: mine`"
    )


def list_points(experiment: Experiment, where: str = "") -> list[Point]:
    """List every point of the grid, in the file's order.

    Raises:
        ConfigError: an axis that matches nothing, or an unknown name.
    """
    where = where or experiment.name
    raw = dict(experiment.raw)
    grid = dict(raw.get("grid") or {})
    grid.setdefault("model", list(raw["models"]))
    grid.setdefault("shots", [0])
    _check_widths(grid, raw["models"], where)
    found: list[Point] = []
    finder = LocaleFinder(experiment.base, {})
    for values in itertools.product(*grid.values()):
        chosen = dict(zip(grid, values, strict=True))
        entry = validate(ExperimentEntry, _apply(raw, chosen, where), where)
        model = str(chosen["model"])
        if model not in entry.models:
            raise ConfigError(
                f"{where}: grid.model: unknown {model!r}{did_you_mean(model, entry.models)}"
            )
        options = {axis: str(v) for axis, v in chosen.items() if axis not in ("model", "shots")}
        shots = validate(ShotsHolder, {"shots": chosen["shots"]}, f"{where}: grid").shots
        data = {**list_built_in_data(), **entry.data}
        finder.data = data
        for task in entry.tasks:
            _check_names(task, shots, where)
            for spec in task.data_sets:
                if spec not in data:
                    hint = _declare_file(spec, experiment.base) or did_you_mean(spec, data)
                    raise ConfigError(f"{where}: unknown data {spec!r}{hint}")
            for name in (*task.lexicons, *list_pivots(task, entry.lexicons)):
                if name not in entry.lexicons:
                    hint = did_you_mean(name, entry.lexicons)
                    raise ConfigError(
                        f"{where}: unknown dictionary {name!r}{hint}; declare it under "
                        f"`lexicons:`, as in `lexicons: {{{name}: {{path: {name}.tsv}}}}`"
                    )
            find_citations(task.data_sets, data, experiment.base)
            for point in _expand(model, entry.models[model], _spell_out(task, finder), shots, data):
                own = {
                    a: v
                    for a, v in options.items()
                    if not a.endswith((".method", ".constrain", ".hints"))
                    and _touches(a, task, model, entry.models[model])
                }
                axes = {**point.axes, **own}
                found.append(replace(point, axes=axes, lexicons=entry.lexicons))
    unique: dict[str, Point] = {}
    for point in found:
        unique.setdefault(repr((point.axes, point.model_name, point.task, point.shots)), point)
    return _name_hints(_name_constraints(tell_apart(list(unique.values()))))


def list_pivots(task: TaskEntry, lexicons: Mapping[str, LexiconEntry]) -> list[str]:
    """List the dictionaries through which those of a task go on, each once.

    Raises:
        ConfigError: one of them leads back to itself.
    """
    found: dict[str, None] = {}
    for name in task.lexicons:
        path = [name]
        while path[-1] in lexicons and (further := lexicons[path[-1]].through):
            if further in path:
                raise ConfigError(
                    f"lexicons.{further}: through: leads back to itself "
                    f"({' → '.join([*path, further])}); remove one of them"
                )
            path.append(further)
        found.update(dict.fromkeys(path[1:]))
    return list(found)


def _name_constraints(points: Sequence[Point]) -> list[Point]:
    """Give points an axis ``constrain`` if any of them holds its answers to a form.

    Its word is the kind of form, numbered where several forms are of one kind, and ``free``.
    """
    words = [
        None if point.task.constrain is None else find_form_kind(point.task.constrain)
        for point in points
    ]
    return _name_block(points, "constrain", words, "free")


def _name_hints(points: Sequence[Point]) -> list[Point]:
    """Give points an axis ``hints`` if any of them has dictionary hints, and ``none``.

    Its word is the style with the control, numbered where several hints have the same.
    """
    words = [None if one.task.hints is None else name_hints(one.task.hints) for one in points]
    return _name_block(points, "hints", words, "none")


def name_hints(entry: HintsEntry) -> str:
    """Return the word of an entry of hints in tables: its style, and its control.

    >>> name_hints(HintsEntry(lexicon=["eng-swh"], control="random"))
    'dipmt random'
    """
    return " ".join(filter(None, (entry.style, entry.control)))


def _name_block(
    points: Sequence[Point], key: str, words: Sequence[str | None], absent: str
) -> list[Point]:
    """Give points an axis for a block of their task, unless none has one.

    Args:
        points: of the whole experiment.
        key: of the task, and name of the axis.
        words: what each block is called, None where there is none; numbered if two differ.
        absent: the word where there is no block.
    """
    texts = [point.task.model_dump_json(include={key}) for point in points]
    same: dict[str, dict[str, int]] = {}
    for word, text in zip(words, texts, strict=True):
        if word is not None:
            own = same.setdefault(word, {})
            own.setdefault(text, len(own) + 1)
    if not same:
        return list(points)
    made = []
    for point, word, text in zip(points, words, texts, strict=True):
        told = absent if word is None else word
        if word is not None and len(same[word]) > 1:
            told = f"{word} ({same[word][text]})"
        axes = dict(point.axes)
        last = {axis: axes.pop(axis) for axis in list(axes)[list(axes).index("shots") :]}
        made.append(replace(point, axes={**axes, key: told, **last}))
    return made


def tell_apart(points: Sequence[Point]) -> list[Point]:
    """Give points of one task an axis for each key in which they differ and that has none yet.

    Keys of the pool are left out if no shot comes from it.
    """
    made: dict[int, dict[str, str]] = {}
    for task in dict.fromkeys(point.task.task for point in points):
        places = [place for place, point in enumerate(points) if point.task.task == task]
        some = [points[place] for place in places]
        before = f"tasks.{task}."
        shown = {axis.removeprefix(before) for one in some for axis in one.axes if before in axis}
        entries = {id(one.task): one.task for one in some}
        words = find_differences(list(entries.values()), sorted(shown))
        found = dict(zip(entries, words, strict=True))
        named = any(one.task.name for one in some)
        for place, point in zip(places, some, strict=True):
            keys = found[id(point.task)].items()
            kept = {key: "" if _is_inert(key, point) else word for key, word in keys}
            name = {"entry": point.task.name or ""} if named else {}
            axes = {"task": task, **name, **point.axes}
            last = {axis: axes.pop(axis) for axis in list(axes)[list(axes).index("shots") :]}
            made[place] = axes | kept | last
        for key in [key for key in words[0] if not is_own_axis(key)]:
            if not _is_needed(key, [made[place] for place in places], set(words[0])):
                for place in places:
                    made[place].pop(key, None)
    told = [replace(point, axes=made[place]) for place, point in enumerate(points)]
    return _tell_shots_apart(told)


def _is_needed(key: str, several: Sequence[Mapping[str, str]], keys: set[str]) -> bool:
    """Return whether two of several sets of axes differ in a key, and in none but keys like it."""
    found: dict[str, str] = {}
    for axes in several:
        rest = {a: w for a, w in axes.items() if is_own_axis(a) or a not in keys and a != "entry"}
        if found.setdefault(canonicalize(rest), axes.get(key, "")) != axes.get(key, ""):
            return True
    return False


def _is_inert(key: str, point: Point) -> bool:
    """Return whether a key has no effect on a point: one of the pool, if there are no shots."""
    return key.startswith("pool.") and point.shots.k == 0


def _tell_shots_apart(points: Sequence[Point]) -> list[Point]:
    """Write shots with full names if they differ and their short names do not."""
    alike: dict[str, list[int]] = {}
    for place, point in enumerate(points):
        alike.setdefault(canonicalize(dict(point.axes)), []).append(place)
    made = list(points)
    for places in alike.values():
        words = name_shots_apart([points[place].shots for place in places])
        for place, word in zip(places, words, strict=True):
            axes = points[place].axes
            if word:
                made[place] = replace(
                    points[place], axes={**axes, "shots": f"{axes['shots']} {word}"}
                )
    return made


def _apply(raw: Mapping[str, Any], chosen: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the file with the axes' values of one grid point filled in."""
    changed: dict[str, Any] = copy.deepcopy(dict(raw))
    for axis, value in chosen.items():
        if axis in ("model", "shots"):
            continue
        root, _, rest = axis.partition(".")
        name, _, path = rest.partition(".")
        if axis == "width":
            model = changed["models"].get(str(chosen["model"]), {})
            if _takes_width(model):
                model["width"] = value
        elif axis == "layout":
            for task in changed["tasks"]:
                task["layouts"] = value
        elif root == "models" and path and name in changed["models"]:
            _set(changed["models"][name], path, value)
        elif root == "tasks" and path:
            hits = [task for task in changed["tasks"] if task.get("task") == name]
            if not hits:
                known = [str(task.get("task")) for task in changed["tasks"]]
                raise ConfigError(
                    f"{where}: grid: {axis!r}: no task {name!r}{did_you_mean(name, known)}"
                )
            for task in hits:
                _set(task, path, value)
        else:
            accepted = [
                "model",
                "shots",
                "width",
                "layout",
                "tasks.<task>.<key>",
                "models.<model>.<key>",
            ]
            try:
                check_keys("the grid", [axis])
            except ValueError as error:
                raise ConfigError(f"{where}: grid: {error}") from error
            raise ConfigError(f"{where}: unknown grid axis {axis!r}{did_you_mean(axis, accepted)}")
    return changed


def _set(target: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for parent in parents:
        target = target.setdefault(parent, {})
        if not isinstance(target, dict):
            raise ConfigError(
                f"grid: {path!r}: {parent!r} is {target!r} here, which has no keys; write it as a "
                "mapping in its entry"
            )
    target[last] = value


def _takes_width(model: Mapping[str, Any]) -> bool:
    """Return whether the engine of a model entry has the option ``width``; servers do not."""
    kind = str(model.get("engine", "hf"))
    if kind not in names("engine"):
        return True  # refused under its own name
    made = lookup("engine", kind)
    return is_dataclass(made) and any(spec.name == "width" for spec in fields(made))


def _check_widths(grid: Mapping[str, Sequence[Any]], models: Mapping[str, Any], where: str) -> None:
    """Refuse an axis ``width`` with an unknown width, or that no model accepts."""
    for value in grid.get("width", ()):
        if value not in WIDTHS:
            guess = did_you_mean(str(value), WIDTHS)
            raise ConfigError(f"{where}: grid.width: unknown width {value!r}{guess}")
    asked = [str(name) for name in grid["model"] if str(name) in models]
    if "width" in grid and asked and not any(_takes_width(models[name]) for name in asked):
        raise ConfigError(
            f"{where}: grid.width: no engine of the models {', '.join(asked)} takes a width; "
            "delete the axis"
        )


def _touches(axis: str, task: TaskEntry, model: str, entry: Mapping[str, Any]) -> bool:
    if axis in ("width", "layout"):
        return axis == "layout" or _takes_width(entry)
    root, name, *_ = axis.split(".")
    return name == (task.task if root == "tasks" else model)


def _check_names(task: TaskEntry, shots: ShotsEntry, where: str) -> None:
    """Check that every registered name is known, before anything is loaded."""
    for kind, name in (
        ("task", task.task),
        ("selector", "fixed" if shots.file else shots.select),
    ):
        if name is not None and name not in names(kind):
            raise ConfigError(f"{where}: unknown {kind} {name!r}{did_you_mean(name, names(kind))}")
    if task.parser is not None:
        make_parser(task.parser, f"{where}: parser")
    called: set[str] = set()
    for entry in task.metrics or ():
        name, metric = make_metric(entry, f"{where}: metrics")
        check_command_name(name, metric, f"{where}: metrics")
        if name in called:
            raise ConfigError(
                f"{where}: metrics: two scores are called {name!r}, and one would hide the other; "
                "give one of them a `name:`, such as {metric: chrf, word_order: 0, name: "
                "plain_chrf}"
            )
        called.add(name)
    methods = lookup("task", task.task).methods
    if (
        make_calibrators(task.calibrate, f"{where}: calibrate")
        and (task.method or methods[0]) != "rank"
    ):
        raise ConfigError(
            f"{where}: calibrate: the task {task.task!r} generates its answers here, so there are "
            "no choices to calibrate; delete `calibrate:`, or use `method: rank` with a task that "
            "ranks"
        )
    if task.method is not None and task.method not in methods:
        raise ConfigError(
            f"{where}: the task {task.task!r} cannot be answered by {task.method!r}"
            f"{did_you_mean(task.method, methods)}"
        )


def _spell_out(task: TaskEntry, finder: LocaleFinder) -> TaskEntry:
    """Return a task with every locale of its rows and pool as it is called on disk."""
    rows, pool = task.rows, task.pool
    made: dict[str, Any] = {}
    if rows.locale and (found := finder.expand(rows.locale, rows.data)) != rows.locale:
        made["rows"] = rows.model_copy(update={"locale": found})
    if pool is not None and pool.locale != [SAME]:
        found = finder.expand(pool.locale, pool.data or rows.data)
        if found != pool.locale:
            made["pool"] = pool.model_copy(update={"locale": found})
    return task.model_copy(update=made) if made else task


def _expand(
    model: str,
    options: Mapping[str, Any],
    task: TaskEntry,
    shots: ShotsEntry,
    data: Mapping[str, DataEntry],
) -> Iterator[Point]:
    rows = task.rows
    pairs: list[tuple[str, str] | None] = [None]
    if rows.pair:
        pairs = [(a, b) for a in rows.pair.from_ for b in rows.pair.to if a != b]
    locales: list[str | None] = list(rows.locale) if rows.locale else [None]
    pools = task.pool.locale if task.pool else [SAME]
    # Each language of the labels has an entry of its own, and so a column where they differ.
    several = len(task.label_language or ()) > 1
    entries = [
        task.model_copy(update={"label_language": [one]}) if several else task
        for one in task.label_language or [""]
    ]
    for prompt, form, spoken, labelled, locale, pair, pool, one in itertools.product(
        task.prompt,
        task.layouts,
        task.prompt_language,
        entries,
        locales,
        pairs,
        pools,
        expand_shots(shots),
    ):
        yield Point(
            model,
            options,
            labelled,
            prompt,
            locale,
            pair,
            spoken,
            one.model_copy(update={"seeds": None}),
            data,
            {
                "task": task.task,
                "prompt": prompt,
                "model": model,
                "locale": "→".join(pair) if pair else (locale or ""),
                "layout": "" if task.layouts == ["f0"] else form,
                "method": task.method or "",
                "language": "" if task.prompt_language == ["en"] else spoken,
                "pool": pool if len(pools) > 1 else "",
                "shots": name_shots(one),
            },
            locale if pool == SAME else pool,
            form,
        )
