"""The output of ``icl`` without a verb: the contents of this folder, and three next commands."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from icl.cli.common import ABOUT, app, pasted
from icl.core.safe_print import echo
from icl.records.paths import MANIFEST, SEARCH, TABLE

__all__ = ["find_next_steps"]


MOST_LOOKED_AT = 1000
"""Most files of a folder that are examined, since a folder may hold millions."""
Step = tuple[str, str]
"""A command, and its purpose."""
_LOOKED_AT, _KEYS = 100_000, (b"models", b"tasks")
"""Bytes that are read of a YAML file, and the keys that show an experiment."""


def _print_version(wanted: bool) -> None:
    """Print the version and end, if ``--version`` is given."""
    if wanted:
        from importlib.metadata import version

        echo(f"icl {version('icl-workbench')}")
        raise typer.Exit


@app.callback(invoke_without_command=True, help=ABOUT)
def tell_next_steps(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Print the next steps if no verb is given."""
    if context.invoked_subcommand is None and not context.resilient_parsing:
        echo("\n".join(find_next_steps(Path())))


def find_next_steps(folder: Path) -> list[str]:
    """Return the lines for a folder: its contents, and three commands with their purpose."""
    runs, experiments, tables = _find_runs(folder), _find_experiments(folder), _find_tables(folder)
    begin = [
        ("icl init first", "a small experiment that runs as it is"),
        ("icl init mine --from FILE", "one from your own table of texts and answers"),
        ("icl app", "the workbench, in the browser"),
    ]
    if runs:
        last = runs[-1]
        held = f"{_count(runs, 'run')} under runs/, the last one {last.name}{last.about}"
        steps = list(_after(last, _file_of(last, experiments, folder), begin[1]))
    elif experiments:
        file, searches = pasted(experiments[-1]), _has_search(folder / experiments[-1])
        what = ", a search" if searches else ""
        held = f"{_count(experiments, 'experiment')}, the last one {experiments[-1]}{what}"
        steps = [
            (f"icl lint {file}", "finds mistakes before a model runs"),
            (f"icl run {file} --dry-run", "shows its candidates and their cost")
            if searches
            else (f"icl try {file}", "runs five rows and shows the answers"),
            (f"icl run {file}", "finds the best prompt and shots, and tests them once")
            if searches
            else (f"icl run {file}", "runs all rows and scores the answers"),
        ]
    elif tables:
        held = f"{_count(tables, 'table')}, the last one {tables[-1]}"
        steps = [(f"icl init mine --from {pasted(tables[-1])}", "an experiment from it")]
        steps += [begin[0], begin[2]]
    else:
        held, steps = "no runs, no experiment and no table", begin
    lines = textwrap.wrap(f"In this folder: {held}. Next:", 80, break_on_hyphens=False)
    for command, purpose in steps:
        lines.append(f"  {command}")
        lines.append(f"      {purpose}")
    return [*lines, "All verbs: icl --help"]


def _count(names: Sequence[object], noun: str) -> str:
    return f"{len(names)} {noun}{'s' * (len(names) != 1)}"


@dataclass(frozen=True)
class _RunFolder:
    """A folder under ``runs``: a run, a stopped run or a search."""

    time: float
    name: str
    kind: Literal["run", "stopped run", "search", "stopped search"]

    @property
    def about(self) -> str:
        """State of the run, as a phrase; empty for a run that ended."""
        return {
            "run": "",
            "stopped run": ", which was stopped",
            "search": ", a search",
            "stopped search": ", a search that was stopped",
        }[self.kind]


def _after(last: _RunFolder, file: str | None, other: Step) -> Iterator[Step]:
    """Yield three commands for the last run, and what each is for."""
    name = pasted(last.name)
    again = f"icl run {pasted(file)}" if file else ""
    if last.kind == "run":
        yield f"icl report {name}", "its scores, prompts and errors as one page"
        yield "icl app", "the workbench, where every record can be read"
        yield (again, "computes what is missing, no more") if again else other
        return
    if last.kind == "search":
        best = pasted(f"runs/{last.name}/best.yaml")
        yield f"icl show {name}", "what it found, and how sure that is"
        yield f"icl run {best}", "its winner as a run, which can be reported"
        yield (again, "searches on where something is missing") if again else other
        return
    yield (again, "goes on where it was stopped; what is answered is kept") if again else other
    yield f"icl show {name}", "what is there so far"
    yield "icl app", "the workbench, where every record can be read"


def _file_of(run: _RunFolder, experiments: list[str], folder: Path) -> str | None:
    """Return the experiment file of a run, by its name, or the newest one."""
    named = re.compile(rb"(?m)^[ {\"]*name\"? *: *[\"']?%s\b" % re.escape(run.name.encode()))
    for file in reversed(experiments):
        if Path(file).stem == run.name or named.search(_begin(folder / file)):
            return file
    return experiments[-1] if experiments else None


def _find_runs(folder: Path) -> list[_RunFolder]:
    """List the runs and searches under ``runs``, the newest last."""
    found = [
        _RunFolder(path.stat().st_mtime, path.parent.name, kind)
        for name, look in ((MANIFEST, _look_at_run), (SEARCH, _look_at_search))
        for path in _first((folder / "runs").glob(f"*/{name}"))
        if path.is_file() and (kind := look(path))
    ]
    return sorted(found, key=lambda one: (one.time, one.name))


def _look_at_run(manifest: Path) -> Literal["run", "stopped run"]:
    stopped = re.search(rb'(?m)^ ?"finished": *false', _begin(manifest))
    return "stopped run" if stopped else "run"


def _look_at_search(state: Path) -> Literal["search", "stopped search"]:
    return "search" if (state.parent / TABLE).is_file() else "stopped search"


def _find_experiments(folder: Path) -> list[str]:
    """List the experiment files here and one folder below, the newest last."""
    found = [
        (path.stat().st_mtime, str(path.relative_to(folder)))
        for pattern in ("*.yaml", "*.yml", "*/*.yaml", "*/*.yml")
        for path in _first(folder.glob(pattern))
        if path.parent.name != "runs" and path.is_file() and _is_experiment(path)
    ]
    return [name for _, name in sorted(found)]


def _is_experiment(path: Path) -> bool:
    """Return whether the first bytes of a YAML file have the keys of an experiment."""
    return all(_has_key(_begin(path), key) for key in _KEYS)


def _has_search(path: Path) -> bool:
    """Return whether the first bytes of an experiment file have the key of a search."""
    return _has_key(_begin(path), b"search")


def _has_key(text: bytes, key: bytes) -> bool:
    return re.search(rb"(?m)^[ {\"]*%s\"? *:|, *\"%s\":" % (key, key), text) is not None


def _begin(path: Path) -> bytes:
    """Return the first bytes of a file."""
    with path.open("rb") as raw:
        return raw.read(_LOOKED_AT)


def _find_tables(folder: Path) -> list[str]:
    """List the files here that may be tables, the newest last."""
    from icl.data.columns import SUFFIXES

    found = [
        (path.stat().st_mtime, path.name)
        for path in _first(folder.iterdir())
        if path.name.removesuffix(".gz").lower().endswith(tuple(SUFFIXES)) and path.is_file()
    ]
    return [name for _, name in sorted(found)]


def _first(paths: Iterator[Path]) -> Iterator[Path]:
    for _, path in zip(range(MOST_LOOKED_AT), paths, strict=False):
        yield path
