"""The plots of a run as HTML; every name and label in it is escaped."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from threading import Lock

from icl.core.number_text import format_interval, format_number
from icl.core.safe_text import clean
from icl.core.score_name import ScoreName
from icl.core.types import Score
from icl.records.results import Run
from icl.reports.errors import Confusion
from icl.reports.groups import Group, group_conditions, title_score
from icl.reports.page import plots
from icl.reports.page.interval_strips import Scale, Strip, fit_scale
from icl.reports.page.sections import score_locales
from icl.reports.safe_text import shorten_middle
from icl.scoring.sensitivity import Spread
from icl.scoring.slices import Slice
from icl.workbench.jobs import RunMeter
from icl.workbench.run_tables import settings, task_of

__all__ = ["DRAWING", "figures", "matrix", "progress_html", "slice_figure", "spread_figure"]


PANELS = 12
"""Most plots for a task."""
DRAWING = Lock()
"""Lock for drawing, because matplotlib's settings belong to the whole process."""


def figures(run: Run) -> str:
    """Plot scores by number of shots and by locale, for each task that has several."""
    parts = []
    for place, group in enumerate(group_conditions(run)):
        made = [*_shots(group, f"ui{place}"), *_locales(group)]
        if made:
            parts += [f"<h3>{_text(group.task)}</h3>", *made]
    if not parts:
        return "<p>Plots need several numbers of shots, or several locales, of one task.</p>"
    if not plots.is_available():
        parts.insert(0, "<p>Drawn with matplotlib: pip install 'icl-workbench[report]'</p>")
    return f'<div class="figures">{"".join(parts)}</div>'


def _shots(group: Group, anchor: str) -> list[str]:
    if group.best is None or group.best.primary is None:
        return []
    label = title_score(group.best.primary.name, [group.best.primary])
    made = []
    for place, panel in enumerate(plots.make_shot_panels(group)[:PANELS]):
        drawn = f"<p>{_text(panel.described)}</p>"
        if plots.is_available():
            with DRAWING:
                drawn = plots.draw_shots(panel, label, f"{anchor}-shots{place}")
        said = "; bands are 95 % intervals" + (", or all draws" if panel.several else "")
        made.append(
            f"<figure><figcaption>{_text(panel.title or label)}{said}</figcaption>{drawn}</figure>"
        )
    return made


def _locales(group: Group) -> list[str]:
    """Draw a table for each set of conditions, all on one scale."""
    found = score_locales(group)
    rows = [place.row for _, _, places, _ in found for place in places]
    line = fit_scale([one for row in rows for one in (row.primary, *row.baselines()) if one])
    plain = dict.fromkeys(ScoreName.of_score(one).role for row in rows for one in row.baselines())
    made = []
    for name, _, places, left in found:
        cells = [
            (
                place.name,
                place.row.primary,
                _strip(line.strip(place.row.primary, place.row.baselines())),
            )
            for place in places
            if place.row.primary is not None
        ]
        lines = "".join(
            f"<tr><th>{_text(place)}</th><td>{format_number(score.value)}</td><td>{format_interval(score)}</td>"
            f"<td>{strip}</td><td>{score.n:,}</td></tr>"
            for place, score, strip in cells
        )
        more = f"<p>{left} more locales</p>" if left else ""
        made.append(
            f"<figure><figcaption>{_text(name) or 'by locale'}</figcaption>"
            '<table class="strips"><tr><td></td><td>score</td><td>95 %</td>'
            f'<td class="line">{_ends(line)}</td><td>rows</td></tr>{lines}</table>{more}</figure>'
        )
    if made:
        ticks = f"; orange ticks: {_text(', '.join(plain))}" if plain else ""
        made.insert(0, f"<p>By locale, the {len(made)} best settings first{ticks}.</p>")
    return made


def spread_figure(found: Sequence[Spread]) -> str:
    """Draw each spread as a line of dots, one for each condition, on one scale per metric."""
    names, parts = settings(found), []
    for task, metric in dict.fromkeys((task_of(one), one.title) for one in found):
        own = [
            (name, one)
            for name, one in zip(names, found, strict=True)
            if (task_of(one), one.title) == (task, metric)
        ]
        values = [value for _, one in own for value in one.values]
        line = fit_scale([Score(metric, value, None, None, 0, "") for value in values])
        rows = "".join(
            f"<tr><th>{_text(name)}</th><td>{len(one.values)}: {_text(', '.join(one.over))}</td>"
            f"<td>{_dots(line, one)}</td><td>{format_number(one.spread)}</td>"
            f"<td>{format_number(one.by_chance)}</td></tr>"
            for name, one in own
        )
        parts.append(
            f"<figure><figcaption>{_text(task)}: {_text(metric)}, a dot a condition</figcaption>"
            f'<table class="strips"><tr><td></td><td>over</td><td class="line">{_ends(line)}</td>'
            f"<td>spread</td><td>by chance</td></tr>{rows}</table></figure>"
        )
    return f'<div class="figures">{"".join(parts)}</div>' if parts else ""


def slice_figure(found: Sequence[Slice]) -> str:
    """Draw the score of each slice with its interval on one scale; an orange tick is all rows."""
    if not found:
        return ""
    line = fit_scale([one.score for one in found])
    whole = [one.score for one in found if one.whole]
    rows = "".join(
        f"<tr><th>{_text(one.name)}</th><td>{format_number(one.score.value)}</td>"
        f"<td>{format_interval(one.score)}</td>"
        f"<td>{_strip(line.strip(one.score, [] if one.whole else whole))}</td>"
        f"<td>{one.score.n:,}</td></tr>"
        for one in found
    )
    return (
        '<div class="figures"><figure><table class="strips"><tr><td></td><td>score</td>'
        f'<td>95 %</td><td class="line">{_ends(line)}</td><td>rows</td></tr>{rows}</table></figure>'
        "<p>Orange ticks: all rows. The intervals are not corrected for how many slices there are."
        "</p></div>"
    )


def progress_html(meter: RunMeter | None) -> str:
    """Draw how far a run is as a bar with its rows and times; empty before that is known."""
    if meter is None:
        return ""
    return (
        f'<div class="progress"><progress max="{meter.total}" value="{meter.done}" '
        f'aria-label="Rows answered"></progress><span>{_text(str(meter))}</span></div>'
    )


def matrix(found: Confusion) -> str:
    """Draw the confusion matrix: right labels in rows, answers in columns, more is darker."""
    names = [_text(name) for name in found.labels]
    more = [f"<em>{found.joined} others</em>"] if found.joined else []
    none = ["<em>no answer</em>"] if found.unanswered else []
    heads = "".join(f"<th><span>{name}</span></th>" for name in [*names, *more, *none])
    lines = []
    for at, (name, counts) in enumerate(zip([*names, *more], found.counts, strict=True)):
        cells = "".join(
            f'<td class="{"same" if place == at < len(names) else ""}" '
            f'style="--share: {min(count / (found.most or 1), 1):.2f}">{count or "·"}</td>'
            for place, count in enumerate(counts)
        )
        lines.append(f"<tr><th>{name}</th>{cells}</tr>")
    return (
        '<div class="heat" tabindex="0" role="region" aria-label="Confusion matrix"><table>'
        f"<tr><td>gold ↓ predicted →</td>{heads}</tr>{''.join(lines)}</table></div>"
    )


def _ends(line: Scale) -> str:
    return f'<span class="ends"><span>{line.bottom:g}</span><span>{line.top:g}</span></span>'


def _strip(strip: Strip | None) -> str:
    if strip is None:
        return ""
    ticks = "".join(
        f'<rect class="tick" x="{at}%" y="2" width="2" height="12"></rect>' for at in strip.ticks
    )
    return _line(
        strip.low, strip.high, f'{ticks}<circle cx="{strip.value}%" cy="8" r="4"></circle>'
    )


def _dots(line: Scale, one: Spread) -> str:
    dots = "".join(
        f'<circle class="one" cx="{line.at(value)}%" cy="8" r="4"></circle>' for value in one.values
    )
    return _line(line.at(min(one.values)), line.at(max(one.values)), dots)


def _line(low: float, high: float, marks: str) -> str:
    return (
        '<svg class="strip" width="100%" height="16" aria-hidden="true">'
        '<line class="whole" x1="0" x2="100%" y1="8" y2="8"></line>'
        f'<line class="int" x1="{low}%" x2="{high}%" y1="8" y2="8"></line>{marks}</svg>'
    )


def _text(text: str) -> str:
    return escape(clean(shorten_middle(text, 200)))
