"""The plots of a run as HTML made of numbers and names, every name escaped; no model's text."""

from __future__ import annotations

from html import escape
from threading import Lock

from icl.report import number
from icl.reports import plots
from icl.reports.groups import Group, groups, title
from icl.reports.sections import locales
from icl.reports.strips import Strip
from icl.reports.summary import interval
from icl.reports.text import clean, short
from icl.results import Run

__all__ = ["figures"]

PANELS = 12
"""Most plots of a task."""
_DRAWING = Lock()
"""matplotlib's settings belong to the process."""


def figures(run: Run) -> str:
    """Score against shots and scores by locale, for each task where there are several."""
    parts = []
    for place, group in enumerate(groups(run)):
        made = [*_shots(group, f"ui{place}"), *_locales(group)]
        if made:
            parts += [f"<h3>{_text(group.task)}</h3>", *made]
    if not parts:
        return "<p>Plots need several numbers of shots, or several locales, of one task.</p>"
    if not plots.available():
        parts.insert(0, "<p>Drawn with matplotlib: pip install 'icl-workbench[report]'</p>")
    return f'<div class="figures">{"".join(parts)}</div>'


def _shots(group: Group, anchor: str) -> list[str]:
    if group.best is None or group.best.primary is None:
        return []
    label = title(group.best.primary.name)
    made = []
    for place, panel in enumerate(plots.shots_panels(group)[:PANELS]):
        drawn = f"<p>{_text(panel.described)}</p>"
        if plots.available():
            with _DRAWING:
                drawn = plots.shots_svg(panel, label, f"{anchor}-shots{place}")
        said = "; bands are 95 % intervals" + (", or all draws" if panel.several else "")
        made.append(f"<figure><figcaption>{_text(panel.title or label)}{said}</figcaption>{drawn}"
                    "</figure>")  # fmt: skip
    return made


def _locales(group: Group) -> list[str]:
    made = []
    for name, line, places, left in locales(group):
        rows = "".join(
            f"<tr><td>{_text(place.name)}</td><td>{number(place.row.primary.value)}</td>"
            f"<td>{interval(place.row.primary)}</td><td>{_strip(place.strip)}</td></tr>"
            for place in places if place.row.primary is not None
        )  # fmt: skip
        more = f"<p>{left} more</p>" if left else ""
        made.append(
            f"<figure><figcaption>{_text(name) or 'by locale'}; from {line.bottom:g} to "
            f"{line.top:g}, 95 % intervals, baselines as ticks</figcaption>"
            f'<table class="strips">{rows}</table>{more}</figure>'
        )
    return made


def _strip(strip: Strip | None) -> str:
    if strip is None:
        return ""
    ticks = "".join(
        f'<rect class="tick" x="{at}%" y="2" width="2" height="12"></rect>' for at in strip.ticks
    )
    return (
        '<svg class="strip" width="100%" height="16" aria-hidden="true">'
        '<line class="whole" x1="0" x2="100%" y1="8" y2="8"></line>'
        f'<line class="int" x1="{strip.low}%" x2="{strip.high}%" y1="8" y2="8"></line>{ticks}'
        f'<circle cx="{strip.value}%" cy="8" r="4"></circle></svg>'
    )


def _text(text: str) -> str:
    return escape(clean(short(text, 200)))
