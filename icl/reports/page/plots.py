"""Figures of a run as SVG in the page's own colours, so that they follow dark mode.

matplotlib (the extra ``report``) draws them; this module prepares the data from scores.
Colours: Okabe and Ito 2008 (https://jfly.uni-koeln.de/color/), which colour-blind readers can
distinguish; markers and dashes distinguish the series in print.
"""

from __future__ import annotations

import io
import re
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from importlib.util import find_spec
from statistics import fmean
from typing import TYPE_CHECKING, Any

from icl.core.number_text import format_bounds, format_number
from icl.core.safe_text import clean
from icl.core.score_name import ScoreName
from icl.reports.groups import Group, Row
from icl.reports.safe_text import shorten_middle

__all__ = [
    "Curve",
    "FAINT",
    "Panel",
    "SERIES",
    "STYLES",
    "draw_reliability",
    "draw_shots",
    "draw_svg",
    "is_available",
    "make_shot_panels",
]


if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SERIES = 6
"""Most curves in a panel: each needs its own colour and marker."""
INK, FAINT = "#0000f0", "#0000f1"
"""Colours in the drawing that are replaced by the page's; ``#0000a0`` and on are the curves'."""
STYLES = (("o", "-"), ("s", "--"), ("^", "-."), ("D", ":"), ("v", "-"), ("P", "--"))
RC = {
    "svg.fonttype": "none", "svg.hashsalt": "icl", "text.parse_math": False, "font.size": 9.0,
    "axes.spines.top": False, "axes.spines.right": False, "axes.edgecolor": FAINT,
    "axes.labelcolor": INK, "xtick.color": FAINT, "ytick.color": FAINT, "text.color": INK,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "axes.grid": True, "axes.axisbelow": True,
    "grid.color": FAINT, "grid.alpha": 0.35, "grid.linewidth": 0.5, "legend.frameon": False,
    "legend.fontsize": 8.5, "axes.linewidth": 0.8, "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
}  # fmt: skip


def is_available() -> bool:
    """Return whether matplotlib is installed."""
    return find_spec("matplotlib") is not None


@dataclass(frozen=True)
class Curve:
    """A score against the number of shots, for one way to select them."""

    name: str
    points: Mapping[int, Sequence[tuple[float, float, float]]]
    """k -> (value, low, high) of each draw (seed, order) of k shots."""
    vote: Mapping[int, float] = field(default_factory=dict)
    """k -> score of the vote of the same shots, without a model; the mean over draws."""


@dataclass(frozen=True)
class Panel:
    """The curves in one figure: the same prompt, locale, model …"""

    title: str
    curves: tuple[Curve, ...]
    left_out: int = 0
    """Number of curves beyond ``SERIES``, which are not drawn."""
    several: bool = False
    """Whether some point is a mean over draws."""

    @property
    def votes(self) -> bool:
        """Return whether the vote of the shots is drawn."""
        return any(curve.vote for curve in self.curves)

    @property
    def described(self) -> str:
        """Return the curves as text, for screen readers."""
        return "; ".join(
            f"{curve.name}: "
            + ", ".join(
                f"{k} shots {format_number(fmean(value for value, _, _ in drawn))}"
                for k, drawn in curve.points.items()
            )
            for curve in self.curves
        )


def make_shot_panels(group: Group) -> list[Panel]:
    """Group scores by number of shots into panels, one for each combination of other settings.

    The score without shots (k = 0) begins every curve of its panel. A panel with only one k is
    left out.
    """
    panels: dict[str, dict[str, list[tuple[int, Row]]]] = {}
    for row in group.rows:
        settings = row.condition.settings
        if row.primary is None or not settings.get("k", "").isdecimal():
            continue
        apart = [axis for axis in group.varying if axis != "shots"]
        panel = " · ".join(filter(None, (row.condition.axes.get(axis, "") for axis in apart)))
        k = int(settings["k"])
        curve = "" if k == 0 else _chosen(settings, {*row.condition.axes, "k", "seed"})
        panels.setdefault(panel, {}).setdefault(curve, []).append((k, row))
    found = []
    for panel, curves in panels.items():
        zero = curves.pop("", [])
        made = [_curve(name, [*zero, *rows]) for name, rows in curves.items()]
        made = [curve for curve in made if len(curve.points) > 1]
        if made:
            several = any(len(drawn) > 1 for curve in made for drawn in curve.points.values())
            found.append(Panel(panel, tuple(made[:SERIES]), len(made[SERIES:]), several))
    return found


def _chosen(settings: Mapping[str, str], apart: Set[str]) -> str:
    """Describe the selection of shots: the selector with options, and its order unless default."""
    usual = {"select": None, "order": None, "shown_labels": "gold"}
    rest = [
        f"{value} labels" if key == "shown_labels" else value
        for key, value in settings.items()
        if key not in apart and usual.get(key, "") not in (None, value)
    ]
    order = settings.get("order", "selected")
    return " ".join([settings.get("select", ""), *rest, *([order] if order != "selected" else [])])


def _curve(name: str, rows: Sequence[tuple[int, Row]]) -> Curve:
    points: dict[int, list[tuple[float, float, float]]] = {}
    votes: dict[int, list[float]] = {}
    for k, row in sorted(rows, key=lambda pair: pair[0]):
        score = row.primary
        if score is None or score.value is None:
            continue
        low = score.value if score.low is None else score.low
        high = score.value if score.high is None else score.high
        points.setdefault(k, []).append((score.value, low, high))
        for plain in row.baselines():
            if ScoreName.of_score(plain).role == "vote" and plain.value is not None:
                votes.setdefault(k, []).append(plain.value)
    return Curve(name, points, {k: fmean(values) for k, values in votes.items()})


def draw_shots(panel: Panel, label: str, name: str) -> str:
    """Draw a panel as an ``<svg>`` element.

    Bands are 95 % intervals, or the range of draws if a point is their mean. Dashed lines without
    markers are the vote of the same shots.

    Args:
        panel: the curves.
        label: name of the score.
        name: prefix of all ids, unique in the page.
    """
    tips: dict[str, str] = {}

    lines = len(panel.curves) + sum(1 for curve in panel.curves if curve.vote)

    def draw(axes: Axes) -> None:
        ticks = sorted({k for curve in panel.curves for k in curve.points})
        for at, curve in enumerate(panel.curves):
            _draw_curve(axes, at, curve, tips)
        axes.set_xticks(ticks, [str(k) for k in ticks])
        axes.set_xlabel("shots")
        axes.set_ylabel(label)
        low, high = axes.get_ylim()
        axes.set_ylim(max(0.0, low) if low > -20 else low, high)
        if lines > 1:  # above the axes, where it covers nothing
            axes.figure.legend(loc="outside upper left", ncols=2)

    height = 2.9 + 0.18 * -(-lines // 2) if lines > 1 else 2.9
    return draw_svg(draw, (4.6, height), name, f"{label} against shots. {panel.described}", tips)


def _draw_curve(axes: Axes, at: int, curve: Curve, tips: dict[str, str]) -> None:
    colour, (marker, dash) = f"#0000a{at}", STYLES[at % len(STYLES)]
    ks = list(curve.points)
    means = [fmean(value for value, _, _ in curve.points[k]) for k in ks]
    lows, highs = zip(*(_band(curve.points[k]) for k in ks), strict=True)
    axes.fill_between(ks, lows, highs, color=colour, alpha=0.16, linewidth=0)
    axes.plot(ks, means, color=colour, linestyle=dash, label=shorten_middle(clean(curve.name), 30))
    for k, middle, low, high in zip(ks, means, lows, highs, strict=True):
        drawn = curve.points[k]
        tip = f"tip-{len(tips)}"
        axes.plot([k], [middle], color=colour, marker=marker, gid=tip)
        over = f", mean of {len(drawn)} draws" if len(drawn) > 1 else ""
        tips[tip] = (
            f"{curve.name}, {k} shots: {format_number(middle)} {format_bounds(low, high)}{over}"
        )
        if len(drawn) > 1:
            axes.plot(
                [k] * len(drawn),
                [value for value, _, _ in drawn],
                color=colour,
                linestyle="",
                marker=".",
                markersize=3,
                alpha=0.8,
            )
    if curve.vote:
        ks, votes = list(curve.vote), list(curve.vote.values())
        name = f"vote of {shorten_middle(clean(curve.name), 20)}"
        axes.plot(
            ks,
            votes,
            color=colour,
            linewidth=1.0,
            linestyle=(0, (1, 2)),
            marker="x",
            markersize=4,
            label=name,
        )


def _band(drawn: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    if len(drawn) == 1:
        return drawn[0][1], drawn[0][2]
    values = [value for value, _, _ in drawn]
    return min(values), max(values)


def draw_reliability(
    bins: Sequence[tuple[float, float, float, float, int]], name: str, described: str
) -> str:
    """Draw accuracy against confidence as an ``<svg>`` element, both in percent.

    Args:
        bins: (mean confidence, accuracy, low, high, rows) of every bin that has rows.
        name: prefix of all ids, unique in the page.
        described: the same in words, for screen readers.
    """
    tips: dict[str, str] = {}
    whole = sum(count for *_, count in bins) or 1

    def draw(axes: Axes) -> None:
        axes.plot([0, 100], [0, 100], color=FAINT, linewidth=1.0, linestyle="--")
        for confidence, hit, low, high, count in bins:
            tip = f"tip-{len(tips)}"
            size = 3.0 + 9.0 * (count / whole) ** 0.5
            axes.plot([confidence] * 2, [low, high], color="#0000a0", linewidth=1.2)
            axes.plot(
                [confidence],
                [hit],
                color="#0000a0",
                marker="o",
                markersize=size,
                gid=tip,
                clip_on=False,
                zorder=3,
            )
            tips[tip] = (
                f"{count} rows, confidence {format_number(confidence)} %: "
                f"right {format_number(hit)} % {format_bounds(low, high)}"
            )
        axes.plot([c for c, *_ in bins], [hit for _, hit, *_ in bins], color="#0000a0")
        axes.set(xlim=(0, 100), ylim=(0, 100), xlabel="confidence %", ylabel="right %")
        axes.set_aspect("equal")

    return draw_svg(draw, (3.2, 3.0), name, described, tips)


def draw_svg(
    draw: Any, inches: tuple[float, float], name: str, described: str, tips: Mapping[str, str]
) -> str:
    """Draw a figure with one axes as an ``<svg>`` element for a page.

    Args:
        draw: called with the axes.
        inches: width and height.
        name: prefix of all ids, unique in the page.
        described: the picture in words, for screen readers.
        tips: id of a drawn part -> its text under the pointer.
    """
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    out = io.StringIO()
    with matplotlib.rc_context(), warnings.catch_warnings():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(RC)
        # Texts are laid out with matplotlib's own font and shown with the reader's, which has more.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure: Figure = Figure(figsize=inches, layout="constrained")
        FigureCanvasSVG(figure)
        draw(figure.add_subplot())
        figure.savefig(out, format="svg", transparent=True, metadata={"Date": None})
    return _for_page(out.getvalue(), name, described, tips)


_COLOUR = re.compile(r"#0000(a\d|f[01])")
_KEPT = re.compile(r"url\(#([^)]+)\)")


def _for_page(text: str, name: str, described: str, tips: Mapping[str, str]) -> str:
    """Convert matplotlib's SVG for a page: no name spaces, unique ids, the page's colours."""
    root = ET.fromstring(text)
    for parent in list(root.iter()):
        for child in list(parent):
            # A style inside would hold for the whole page; the page has its own.
            if child.tag.endswith(("}metadata", "}style")):
                parent.remove(child)
    for element in root.iter():
        element.tag = element.tag.rpartition("}")[2]
        values = {key.rpartition("}")[2]: value for key, value in element.attrib.items()}
        element.attrib.clear()
        element.attrib.update(_attributes(element.tag, values, name))
        if tip := tips.get(values.get("id", "")):
            said = ET.Element("title")
            said.text = clean(tip)
            element.insert(0, said)
    box = root.get("viewBox", "")
    root.attrib.clear()
    root.attrib.update({"viewBox": box, "role": "img", "aria-label": clean(described)})
    return ET.tostring(root, encoding="unicode")


def _attributes(tag: str, values: Mapping[str, str], name: str) -> Iterator[tuple[str, str]]:
    for key, value in values.items():
        if key == "id":
            if tag in ("clipPath", "path"):  # what others refer to
                yield key, f"{name}-{value}"
        elif key == "href":
            yield key, f"#{name}-{value[1:]}"
        elif key == "style":
            yield key, re.sub(r"; font-family: [^;]*", "", _COLOUR.sub(r"var(--\1)", value))
        else:
            yield key, _KEPT.sub(rf"url(#{name}-\1)", value)
