"""An experiment as a form, and as YAML that the page checks, estimates and runs.

The form writes YAML, and only the YAML is used. It is checked as ``icl run`` checks it. In addition
a page may start no code, program or server that the experiment it was started with does not name.
The user's own templates are rendered in the sandbox.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from icl.core.errors import ConfigError, IclError, join_lines
from icl.core.registry import lookup
from icl.core.strict_yaml import find_line, load_yaml
from icl.core.types import canonicalize
from icl.experiment.file import parse_experiment
from icl.experiment.grid import Experiment, Point, list_points
from icl.metrics import make_metric, starts_program
from icl.prompts.own_forms import OwnForms
from icl.prompts.template import Template, substitute_template
from icl.records.results import Run, load_run
from icl.running.estimate import Estimate, estimate, sum_estimates
from icl.running.run import run
from icl.scoring.pairs import collect_settings
from icl.workbench.bounds import judges_of
from icl.workbench.jobs import JobProgress
from icl.workbench.screen import FilesInMemory, as_yaml
from icl.workbench.template_files import template_text
from icl.workbench.workbench import Workbench

__all__ = [
    "RunnableExperiment",
    "Draft",
    "check",
    "comparable_settings",
    "draft_yaml",
    "estimate_draft",
    "fault",
    "file_draft",
    "open_run",
    "run_draft",
    "save_draft",
]


RUNS = "runs"
WHERE = "experiment"


@dataclass(frozen=True)
class Draft:
    """The values of the form."""

    name: str
    data: str
    templates: Sequence[str]
    models: Sequence[str]
    locales: Sequence[str] = ()
    sources: Sequence[str] = ()
    targets: Sequence[str] = ()
    widths: Sequence[str] = ()
    ks: Sequence[int] = (0,)
    selectors: Sequence[str] = ("random",)
    seeds: Sequence[int] = ()
    """Seeds for selectors that use one."""
    n: int = 60
    seed: int = 0
    max_tokens: int = 64
    compare: str = ""
    """Setting whose values are compared after the run; empty for none."""


def file_draft(experiment: Experiment, data: str) -> Draft:
    """Return the form of an experiment's first task, as far as a form can hold its grid.

    Args:
        experiment: the experiment.
        data: name of the task as a source of rows.
    """
    first, *others = list_points(experiment)
    points = [first, *(point for point in others if point.task == first.task)]
    picked = [p for p in points if p.shots.k and not p.shots.file and p.shots.select != "fixed"]
    drawn = [point for point in picked if lookup("selector", point.shots.select).seeded]
    rows, sampling = first.task.rows, first.task.sampling

    def unique(values: Iterable[Any]) -> list[Any]:
        return list(dict.fromkeys(value for value in values if value is not None))

    return Draft(
        experiment.name,
        data,
        templates=unique(point.prompt for point in points),
        models=unique(point.model_name for point in points),
        locales=unique(point.locale for point in points),
        sources=unique(point.pair[0] for point in points if point.pair),
        targets=unique(point.pair[1] for point in points if point.pair),
        widths=unique(point.axes.get("width") or None for point in points),
        ks=unique(point.shots.k for point in points) or [0],
        selectors=unique(point.shots.select for point in picked) or ["random"],
        seeds=unique(point.shots.seed for point in drawn) or [0],
        n=rows.n or Draft.n,
        seed=rows.seed or 0,
        max_tokens=sampling.max_tokens,
        compare=str((experiment.raw.get("compare") or {}).get("by") or ""),
    )


def draft_yaml(work: Workbench, draft: Draft) -> str:
    """Write the experiment file of a form.

    Raises:
        ConfigError: unknown data, or a required choice is empty.
    """
    for part in ("templates", "models", "ks"):
        if not getattr(draft, part):
            raise ConfigError(f"{part}: choose at least one")
    if draft.data not in work.sources:
        raise ConfigError(f"unknown data {draft.data!r}; choose one of the list")
    source = work.sources[draft.data]
    given = copy.deepcopy(dict(source.task))
    rows = given.pop("rows")
    if source.locales:
        rows["locale"] = _one_or_list(draft.locales)
    if source.sources:
        rows["pair"] = {"from": _one_or_list(draft.sources), "to": _one_or_list(draft.targets)}
    rows |= {"n": draft.n, "seed": draft.seed}
    task = {
        "task": given.pop("task"),
        "prompt": _one_or_list(draft.templates),
        "rows": rows,
    } | given
    if source.writes:
        task["sampling"] = dict(task.get("sampling") or {}) | {"max_tokens": draft.max_tokens}
    whole: dict[str, Any] = {
        "name": draft.name or WHERE,
        "models": {name: entry for name, entry in map(partial(_model, work), draft.models)},
    }
    used = {rows["data"], (task.get("pool") or {}).get("data")}
    kept = {name: entry for name, entry in source.data.items() if name in used}
    grid: dict[str, Any] = {"width": list(draft.widths)} if draft.widths else {}
    whole |= {"data": kept} if kept else {}
    whole |= {"lexicons": dict(source.lexicons)} if source.lexicons else {}
    whole["tasks"] = [task]
    whole["grid"] = grid | {"shots": _shots(draft)}
    return as_yaml(whole | ({"compare": {"by": draft.compare}} if draft.compare else {}))


def _one_or_list(values: Sequence[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else list(values)


def _model(work: Workbench, name: str) -> tuple[str, dict[str, Any]]:
    """Return a short name for a model, and its entry."""
    entry = dict(work.models.get(name) or {"source": name})
    short = name.rstrip("/").rpartition("/")[2].removeprefix("pypi:")
    return short if name == entry.get("source") else name, entry


def _shots(draft: Draft) -> list[Any]:
    made: list[Any] = [0] if 0 in draft.ks else []
    for k in draft.ks:
        for select in draft.selectors if k else ():
            seeds = draft.seeds if lookup("selector", select).seeded else ()
            drawn: dict[str, Any] = {"seeds": list(seeds)} if len(seeds) > 1 else {}
            drawn |= {"seed": seeds[0]} if len(seeds) == 1 else {}
            made.append({"k": k, "select": select, **drawn})
    return made


@dataclass(frozen=True)
class RunnableExperiment:
    """An experiment that the page may run, with its points."""

    experiment: Experiment
    points: Sequence[Point]

    def __str__(self) -> str:
        counts = {
            "tasks": len({point.task.task for point in self.points}),
            "prompts": len({point.prompt for point in self.points}),
            "models": len({point.engine_key for point in self.points}),
            "locales or pairs": len({point.axes["locale"] for point in self.points}),
            "kinds of shots": len({point.axes["shots"] for point in self.points}),
        }
        parts = [f"{count} {name}" for name, count in counts.items() if count > 1]
        plural = "" if len(self.points) == 1 else "s"
        return f"fine; {len(self.points)} condition{plural}" + (
            f" of {', '.join(parts)}" if parts else ""
        )


def check(work: Workbench, text: str) -> RunnableExperiment:
    """Parse and check an experiment's text without loading anything.

    Raises:
        ConfigError: ``icl run`` would refuse it, or a page may not run it; see :func:`fault`.
    """
    _check_plugins(work, text)
    work.bounds.check_text(text)
    made = parse_experiment(text, WHERE, work.base, WHERE)
    found = list_points(made, WHERE)
    _check_allowed(work, made, found)
    work.bounds.check(made, found)
    return RunnableExperiment(made, found)


def _check_plugins(work: Workbench, text: str) -> None:
    """Refuse plug-ins that the app was not started with, since parsing would load them."""
    try:
        raw = load_yaml(text)
    except yaml.YAMLError:
        return  # parsing tells it, and loads nothing
    own = isinstance(raw, dict) and _is_given_folder(
        work, work.base / Path(str(raw.get("base") or "")).expanduser()
    )
    known = work.given.plugins if work.given and own else ()
    plugins = raw.get("plugins") if isinstance(raw, dict) else None
    for plugin in plugins if isinstance(plugins, list) else [plugins] if plugins else []:
        if plugin not in known:
            raise _refusal(f"the plug-in {str(plugin)!r} is Python code")


def _is_given_folder(work: Workbench, base: Path) -> bool:
    """Return whether ``base`` is the folder of the experiment that the app was started with."""
    return work.given is not None and base.resolve() == work.given.base.resolve()


def _check_allowed(work: Workbench, made: Experiment, found: Sequence[Point]) -> None:
    """Refuse programs and servers that the app was not started with."""
    known = list_points(work.given) if work.given else []
    own = known if _is_given_folder(work, made.base) else ()  # a program is a path in that folder
    programs = {canonicalize(m) for point in own for m in point.task.metrics or ()}
    for metric in (m for point in found for m in point.task.metrics or ()):
        _, asked = make_metric(metric)
        if starts_program(asked) and canonicalize(metric) not in programs:
            raise _refusal(f"the metric {asked.command!r} is an external program")
    entries = [*made.raw["models"].values(), *(dict(point.model) for point in found)]
    for entry in entries:
        kind = str(entry.get("engine", "hf"))
        if kind != "hf" and canonicalize(entry) not in work.bounds.entries:
            raise _refusal(f"the engine {kind!r} may contact another machine")
    for point in found:
        if point.form != "f0" and point.prompt.endswith(".j2"):
            raise _refusal(
                f"layouts of the template {point.prompt!r} are rendered outside its sandbox"
            )


def _refusal(what: str) -> ConfigError:
    return ConfigError(
        f"{what}, which this page does not start: save the file and use icl run, or start the "
        "workbench with it: icl app FILE"
    )


def fault(text: str, error: IclError) -> str:
    """Format an error in one line, with the number of the faulty line of the text if known."""
    message = join_lines(error)
    line = find_line(text, message)
    message = message.removeprefix(WHERE).lstrip(":")
    if line is not None:
        message = message.removeprefix(f"{line}:")
    return f"line {line}: {message.strip()}" if line is not None else message.strip()


@contextmanager
def _sandbox_templates(work: Workbench, checked: RunnableExperiment) -> Iterator[None]:
    """Parse and render the user's own templates in the sandbox inside the block."""
    base = checked.experiment.base

    def bind(
        name: str, tag: str, label_language: str | None, label_set: Sequence[str], own: OwnForms
    ) -> Template:
        text = template_text(name, tag, base)
        return work.sandbox.bind(text, name, tag, label_language, label_set, own)

    names = {point.prompt for point in checked.points}
    names |= {judge.prompt for judge in judges_of(checked.points)}
    with ExitStack() as stack:
        for name in sorted(name for name in names if name.endswith(".j2")):
            stack.enter_context(substitute_template(name, partial(bind, name)))
        yield


def estimate_draft(
    work: Workbench, text: str, progress: JobProgress
) -> tuple[list[list[str]], str]:
    """Estimate each condition's cost, as cells of :data:`icl.running.estimate.HEAD`, and the total.

    Raises:
        StoppedError: the user stopped it.
        IclError: everything that running would refuse.
    """
    checked = check(work, text)
    found: list[Estimate] = []
    judges = " and their judges" if any(judges_of(checked.points)) else ""
    with _sandbox_templates(work, checked):
        loader = work.loader_for(checked.experiment)
        for one in estimate(checked.experiment, work.base / RUNS, progress, loader):
            found.append(one)
            progress.line = f"{len(found)} of {len(checked.points)} conditions{judges}"
            progress.check()
    return [one.cells() for one in found], sum_estimates(found)


def run_draft(work: Workbench, text: str, progress: JobProgress) -> Run:
    """Run an experiment's text into ``runs/`` under the working folder, reusing records in it.

    Raises:
        StoppedError: the user stopped it; whole batches are saved.
        IclError: as :func:`icl.running.run.run`.
    """
    checked = check(work, text)
    with _sandbox_templates(work, checked):
        loader = work.loader_for(checked.experiment)
        return run(checked.experiment, work.base / RUNS, progress, loader)


def open_run(work: Workbench, name: str) -> Run:
    """Open a run of this page from its folder.

    Raises:
        StoreError: the folder no longer exists.
    """
    return load_run(name, work.base / RUNS)


def comparable_settings(run: Run) -> dict[str, list[str]]:
    """Return the settings of a run that have several values, by which it can be compared."""
    return {name: values for name, values in collect_settings(run).items() if len(values) > 1}


def save_draft(work: Workbench, text: str) -> Path:
    """Write the text as ``NAME.yaml`` under the working folder; never overwrite another file.

    Raises:
        ConfigError: the text is not an experiment, so it has no name.
        StoreError: a file of that name has other content.
    """
    name = check(work, text).experiment.name
    content = text.encode("utf-16", "surrogatepass").decode("utf-16", "replace").encode()
    return FilesInMemory({f"{name}.yaml": content}).write(work.base)[0]
