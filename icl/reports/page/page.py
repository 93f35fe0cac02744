"""The report of a run as one HTML file: no script, nothing external, all texts escaped.

``report_page(run)`` needs only the run folder. Templates and styles are in the folder ``page``.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from icl.core.errors import ConfigError, MetricError
from icl.core.number_text import format_interval, format_number, format_p
from icl.core.safe_text import clean
from icl.core.types import canonicalize
from icl.engines.hf.weights.proof import describe_proof
from icl.records.results import Run
from icl.reports.comparison import format_needed
from icl.reports.groups import Group, group_conditions, title_score
from icl.reports.margins import format_margin
from icl.reports.page import plots
from icl.reports.page.sections import PROMPTS, TEXT_CHARS, make_section
from icl.reports.safe_text import mark_white_space, shorten_middle
from icl.reports.slot_view import SLOT_STYLE
from icl.reports.tables import format_count
from icl.scoring.against import measure_margins
from icl.scoring.checks import checks
from icl.scoring.locale_slices import LocaleSlices, slice_run
from icl.scoring.sensitivity import spreads

__all__ = ["report_page"]


GROUPS = 20
"""Most tasks on the page."""
FILE_CHARS, ENGINES = 20_000, 12
"""Most characters of the experiment file, most models listed."""


def report_page(run: Run) -> str:
    """Write the report of a run as the text of an HTML file, from only its folder.

    What is listed is bounded, with how much was left out, so the page stays below 3 MB.

    >>> Path("report.html").write_text(report_page(load_run("quickstart")))     # doctest: +SKIP

    Raises:
        StoreError: the run folder is corrupt.
    """
    found = group_conditions(run)
    margins = measure_margins(run.conditions)
    findings, spread = checks(run, margins), spreads(run)
    room, slice_groups = PROMPTS, _slice(run)
    sections = []
    for place, group in enumerate(found[:GROUPS], 1):
        most = min(room, max(2, PROMPTS // len(found[:GROUPS])))
        own = [one for one in spread if one.where.get("task", group.task) == group.task]
        sliced = [one for one in slice_groups if one.task == group.task]
        made = make_section(f"task{place}", group, most, findings, own, margins, sliced)
        room -= len(made.prompts)
        sections.append(made)
    manifest = run.manifest
    text = (
        _environment()
        .get_template("page.html.j2")
        .render(
            run=run,
            sections=sections,
            left_out=max(0, len(found) - GROUPS),
            records=sum(len(condition.records) for condition in run.conditions),
            asked=sum(len(condition.ids) for condition in run.conditions),
            finished=manifest.finished,
            command=shlex.join(manifest.command),
            experiment=shorten_middle(manifest.experiment, FILE_CHARS),
            engines=_engines(found),
            css=(files("icl.reports") / "page" / "page.css").read_text("utf-8") + SLOT_STYLE,
            plots=plots.is_available(),
        )
    )
    return str(text)


def _slice(run: Run) -> list[LocaleSlices]:
    """Slice the run by locale and by what its experiment names; nothing for a single locale."""
    asked = run.manifest.report
    found: list[LocaleSlices] = []
    for by in dict.fromkeys(["locale", *(asked.by if asked else ())]):
        try:
            found += slice_run(run, by, asked.reference if asked else None)
        except (ConfigError, MetricError):
            continue  # no locales, or a metric that is undefined here: its table says so
    return found


def _environment() -> Any:
    """Create the Jinja environment: HTML is escaped, and control characters are replaced."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    def shown(value: Any) -> Any:
        if isinstance(value, Markup) or not isinstance(value, str):
            return "" if value is None else value
        return clean(value)

    made = Environment(
        loader=PackageLoader("icl.reports", "page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "number": format_number,
        "count": format_count,
        "interval": format_interval,
        "title": title_score,
        "marks": mark_white_space,
        "short": lambda text, most=TEXT_CHARS: shorten_middle(text, most),
        "svg": Markup,
        "pvalue": format_p,
        "needed": format_needed,
        "margin": format_margin,
    }
    return made


def _engines(found: Sequence[Group]) -> list[tuple[str, str]]:
    """Describe each engine of the run: (model name in the experiment, facts about it)."""
    made: dict[str, tuple[str, str]] = {}
    for row in (row for group in found for row in group.rows):
        if row.kept is None:
            continue
        identity = row.kept.identity.engine
        said = describe_proof(row.condition.model) if row.condition.model else ""
        facts = "\n".join(
            f"{key}: {shorten_middle(text if isinstance(text, str) else canonicalize(text), 200)}"
            for key, text in identity.items()
        )
        name = str(row.condition.axes.get("model", ""))
        made.setdefault(canonicalize(identity), (name, f"{said}\n{facts}".strip()))
    return list(made.values())[:ENGINES]
