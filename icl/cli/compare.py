"""The command ``icl compare``: tests of whether scores differ, from records without a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icl.cli.common import READ, AllowCommands, HiddenOut, app
from icl.core.errors import ConfigError

if TYPE_CHECKING:
    from icl.records.results import Run
    from icl.scoring.compare import Comparison


@app.command(rich_help_panel=READ)
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="RUN or RUN#CONDITION: the baseline.")],
    b: Annotated[
        str | None, typer.Argument(metavar="[B]", help="What is compared with it.")
    ] = None,
    by: Annotated[
        str | None, typer.Option("--by", help="Setting to compare within A: prompt, k, width, …")
    ] = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--against",
            "--baseline",
            help=(
                "A value of --by; or vote, majority, chance, copy, lead3, no_slots, nearest, "
                "strongest."
            ),
        ),
    ] = None,
    metric: Annotated[
        list[str] | None, typer.Option("--metric", help="Metric; the first of the task.")
    ] = None,
    ensemble: Annotated[
        str | None,
        typer.Option("--ensemble", help="Setting over which answers are averaged: prompt,seed."),
    ] = None,
    allow_commands: AllowCommands = False,
    out: HiddenOut = Path("runs"),
) -> None:
    """Test whether scores differ: of two runs or conditions, by a setting, or from a baseline.

    --against vote compares each condition with the vote of its shots, which needs no model, row by
    row; --by shots --against 0 with the one that has no shots.
    """
    if b is not None and (by or baseline or ensemble):
        raise ConfigError(
            "--by, --against and --ensemble compare conditions within one run: leave B out"
        )
    if b is not None:
        (run_a, name_a), (run_b, name_b) = (_named(one, out, allow_commands) for one in (a, b))
        from icl.scoring.compare import compare_runs

        _check_apart(run_a, run_b)
        _print(compare_runs(run_a, run_b, metric, (name_a, name_b)))
        return
    run, _ = _named(a, out, allow_commands)
    if ensemble:
        from icl.scoring.ensembles import compare_ensemble

        _print(compare_ensemble(run, ensemble.split(","), metric), ensemble)
        return
    if by is None and _is_baseline(run, baseline):
        from icl.scoring.against import compare_against

        _print(compare_against(run, str(baseline), metric), "shots")
        return
    by, baseline = _asked(run, by, baseline)
    from icl.scoring.compare import compare_by

    _print(compare_by(run, by, baseline, metric), by)


def _named(name: str, out: Path, allow_commands: bool) -> tuple[Run, str]:
    """Load a run with only the condition after ``#``, if any; return also its display name."""
    from icl.records.results import load_run

    folder, mark, condition = name.partition("#")
    run = load_run(folder, out, allow_commands=allow_commands)
    if not mark:
        return run, folder
    return replace(run, conditions=(run.condition(condition),)), name


def _check_apart(a: Run, b: Run) -> None:
    """Refuse to compare a condition with itself."""
    one, two = ({c.entry.fingerprint for c in run.conditions} for run in (a, b))
    if a.folder.resolve() == b.folder.resolve() and one & two:
        raise ConfigError(
            f"both sides hold the same conditions of {a.name}: name two, as in {a.name}#1 "
            f"{a.name}#2, or compare within it: icl compare {a.name} --by SETTING"
        )


def _is_baseline(run: Run, name: str | None) -> bool:
    """Return whether a name is a baseline without a model, and not a value of the run's setting."""
    from icl.core.types import BASELINES
    from icl.scoring.against import STRONGEST

    return name in (*BASELINES, STRONGEST) or (name is not None and run.manifest.compare is None)


def _asked(run: Run, by: str | None, baseline: str | None) -> tuple[str, str | None]:
    """Return setting and baseline, of the command line or else of the file's ``compare:``."""
    from icl.scoring.pairs import collect_settings

    kept = run.manifest.compare
    if by is None and kept is None:
        varied = [name for name, values in collect_settings(run).items() if len(values) > 1]
        raise ConfigError(
            f"{run.name}: say what to compare: a second run or condition, or --by SETTING; "
            f"what differs in it: {', '.join(varied) or 'nothing'}"
        )
    if by is not None:
        return by, baseline
    assert kept is not None
    return kept.by, baseline or (None if kept.baseline is None else str(kept.baseline))


def _print(comparisons: list[Comparison], by: str = "") -> None:
    from icl.core.safe_console import SafeConsole
    from icl.reports.comparison import make_comparison_tables

    console = SafeConsole()
    for part in make_comparison_tables(comparisons, by):
        console.print(part)
