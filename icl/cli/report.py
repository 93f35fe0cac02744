"""The command ``icl report``: a run as a page, as tables for a paper, or as data."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from icl.cli.common import READ, HiddenOut, app
from icl.core.errors import ConfigError
from icl.core.safe_print import echo, echo_data

if TYPE_CHECKING:
    from icl.records.results import Run
    from icl.reports.appendix import Appendix
    from icl.reports.grid import Grid
    from icl.reports.pivot import Pivot
    from icl.scoring.locale_slices import LocaleSlices

FORMATS = ("html", "text", "md", "latex", "csv", "excel", "json")
DATA = ("csv", "excel", "json")
"""Formats for other programs; they hold the data itself."""
WITHOUT = {
    "html": {
        "--rows": "use --format text, md, latex, csv, excel or json",
        "--metric": "the page shows all of them",
        "--appendix": "the page contains the prompts already",
    },
    "csv": {"--appendix": "use --format md, latex, text or json"},
    "excel": {"--appendix": "use --format md, latex, text or json"},
}
"""Options that a format does not support -> the alternative."""


@app.command(rich_help_panel=READ)
def report(
    run_name: Annotated[str, typer.Argument(metavar="RUN", help="Name or folder of a run.")],
    format: Annotated[
        str | None,
        typer.Option("--format", help=f"{', '.join(FORMATS)}. Default: html; with --rows text."),
    ] = None,
    rows: Annotated[
        str | None,
        typer.Option(
            "--rows",
            help="Pivot: the setting of its rows, as prompt. Without --cols also slices with their "
            "macro mean: locale, script, family, genus.",
        ),
    ] = None,
    cols: Annotated[
        str | None, typer.Option("--cols", help="Pivot: the setting of its columns, as prompt.")
    ] = None,
    reference: Annotated[
        str | None,
        typer.Option(
            "--reference", help="Slices: the locale to compare with; else English.", hidden=True
        ),
    ] = None,
    appendix: Annotated[
        bool, typer.Option("--appendix", help="Add templates, prompts and citations.")
    ] = False,
    metric: Annotated[
        str | None, typer.Option("--metric", help="This score alone.", hidden=True)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="File to write; else printed.")
    ] = None,
    out: HiddenOut = Path("runs"),
) -> None:
    """Write a run as a page, or its tables as Markdown, LaTeX, CSV or JSON.

    Without --format it is an HTML page in the run's folder; with --rows a table in the terminal.
    """
    from icl.prompts.child_process import Sandbox
    from icl.records.results import load_run
    from icl.reports.pivot import pivot
    from icl.scoring.locale_slices import slice_run as slice_by

    made = _format(format, rows, cols, {"--appendix": appendix, "--metric": metric is not None})
    with closing(Sandbox()) as sandbox:  # the run may be anybody's, with its templates
        run = load_run(run_name, out, rendering=sandbox.rendering)
        if made == "html":
            if output is None:
                _write(_page(run), run.folder / "report.html", run.folder.parent)
            else:
                _write(_page(run), output)
            return
        behind = _appendix(run) if appendix else None
    slice_groups = (
        slice_by(run, rows, reference, metric) if rows and _is_slice(run, rows, cols) else []
    )
    if reference is not None and not slice_groups:
        raise ConfigError(
            "--reference is the locale that slices are compared with; give --rows locale, script, "
            "family or genus, without --cols"
        )
    pivots = pivot(run, rows, cols, metric) if rows is not None and not slice_groups else []
    shown = Tables(pivots, slice_groups)
    if made == "text":
        text = _terminal(run, shown, metric, behind, plain=output is not None)
    else:
        text = _text(run, shown, metric, behind, made)
    if output is not None:
        _write(text, output)
    elif made in DATA:
        echo_data(text)
    else:
        echo(text, nl=False, drawn=made == "text")


def _format(format: str | None, rows: str | None, cols: str | None, asked: dict[str, bool]) -> str:
    """Return the format's name, after checking that it supports the other options."""
    from icl.core.registry import did_you_mean

    made = ("html" if rows is None else "text") if format is None else format
    if made not in FORMATS:
        raise ConfigError(f"unknown format {made!r}{did_you_mean(made, FORMATS)}")
    if cols is not None and rows is None:
        raise ConfigError(f"--cols {cols} needs --rows too: name the setting of the rows")
    for option, remedy in WITHOUT.get(made, {}).items():
        if asked.get(option, rows is not None):
            raise ConfigError(f"--format {made} has no {option}: {remedy}")
    return made


@dataclass(frozen=True)
class Tables:
    """The tables that ``--rows`` asks for; none of either kind without it."""

    pivots: Sequence[Pivot] = ()
    slice_groups: Sequence[LocaleSlices] = ()

    def __bool__(self) -> bool:
        """Return whether there is any table."""
        return bool(self.pivots or self.slice_groups)


def _is_slice(run: Run, rows: str, cols: str | None) -> bool:
    """Return whether rows are slices of a run's locales, and not a setting for a pivot."""
    from icl.scoring.locale_slices import BY
    from icl.scoring.pairs import collect_settings

    return cols is None and rows in BY and len(collect_settings(run).get("locale", ())) > 1


def _page(run: Run) -> str:
    from icl.reports.page.page import report_page

    return report_page(run)


def _appendix(run: Run) -> Appendix:
    from icl.reports.appendix import make_appendix

    return make_appendix(run)


def _terminal(
    run: Run, tables: Tables, metric: str | None, behind: Appendix | None, plain: bool
) -> str:
    """Render tables for the terminal: the pivots, those of one metric, or all with every check."""
    from icl.reports.terminal import as_text

    return as_text(run, _grids(run, tables, metric) if tables or metric else [], behind, plain)


def _text(
    run: Run, tables: Tables, metric: str | None, behind: Appendix | None, format: str
) -> str:
    """Render the report in a format for files: Markdown, LaTeX, CSV, Excel's CSV or JSON."""
    from icl.reports import markdown_csv_json as formats
    from icl.reports.grid import check_metric
    from icl.reports.latex import as_latex

    check_metric(run, metric)
    if format in ("csv", "excel"):
        return formats.as_csv(
            run, tables.pivots, metric, excel=format == "excel", slice_groups=tables.slice_groups
        )
    if format == "json":
        return formats.as_json(run, tables.pivots, behind, metric, tables.slice_groups)
    if format == "latex":
        from icl.reports.paper_grids import make_paper_grids

        return as_latex(
            _grids(run, tables, metric, every=True) if tables else make_paper_grids(run, metric),
            behind,
        )
    return formats.as_markdown(_grids(run, tables, metric, every=True), behind)


def _grids(run: Run, tables: Tables, metric: str | None, every: bool = False) -> list[Grid]:
    """Lay out the requested tables, or those of all scores; ``every`` lists all slices."""
    from icl.reports.grid import make_score_grids
    from icl.reports.locale_tables import lay_out_slices
    from icl.reports.pivot import lay_out_pivot

    if tables.slice_groups:
        return lay_out_slices(tables.slice_groups, run.called, every)
    return [lay_out_pivot(one) for one in tables.pivots] or make_score_grids(run, metric)


def _write(text: str, path: Path, within: Path | None = None) -> None:
    from icl.core.files import replace_file

    replace_file(path, text, within)
    echo(str(path))
