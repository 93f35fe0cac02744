"""A picture of slices: dots in their order, with intervals, in the colour of their family."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from icl.core.number_text import format_interval, format_number, format_score
from icl.core.safe_text import clean
from icl.reports.locale_tables import name_slice
from icl.reports.page.plots import FAINT, SERIES, STYLES, draw_svg
from icl.reports.safe_text import shorten_middle
from icl.scoring.locale_slices import UNKNOWN, LocaleSlices, find_locale_slice

__all__ = ["draw_slices"]


if TYPE_CHECKING:
    from matplotlib.axes import Axes

OTHERS = "other families"
"""Name of the families for which no distinct colour is left."""
MOST = 80
"""Most slices in a picture."""


def draw_slices(made: LocaleSlices, name: str) -> str:
    """Draw slices as an ``<svg>`` element, the best at the top; a line marks the macro mean.

    Args:
        made: from :func:`icl.scoring.locale_slices.slice_run`.
        name: prefix of all ids, unique in the page.
    """
    shown = [one for one in made.slices if one.score.value is not None][:MOST]
    families = [_family(one.locales) for one in shown]
    colours = _pick_colours(
        [find_locale_slice(locale, "family") for one in shown for locale in one.locales]
    )
    tips: dict[str, str] = {}

    def draw(axes: Axes) -> None:
        if made.macro.value is not None:
            axes.axvline(made.macro.value, color=FAINT, linewidth=1.0, linestyle="--")
        labelled: set[str] = set()
        for place, (one, family) in enumerate(zip(shown, families, strict=True)):
            kin = family if family in colours else OTHERS
            (colour, marker), tip = colours.get(kin, (FAINT, "o")), f"tip-{len(tips)}"
            low, high, value = one.score.low, one.score.high, one.score.value
            if low is not None and high is not None:
                axes.plot([low, high], [place, place], color=colour, linewidth=1.4)
            (dot,) = axes.plot(
                [value or 0.0], [place], color=colour, marker=marker, linestyle="", gid=tip
            )
            if kin not in labelled:
                dot.set_label(kin)
            labelled.add(kin)
            tips[tip] = f"{one.name}: {format_score(one.score)}, {family}, n = {one.score.n}"
        names = [shorten_middle(clean(name_slice(one, made.by)), 30) for one in shown]
        axes.set_yticks(range(len(shown)), names)
        axes.set_ylim(len(shown) - 0.4, -0.6)
        axes.set_xlabel(f"{made.label}, 95 % intervals")
        if made.by != "family" and len(labelled) > 1:
            axes.figure.legend(loc="outside upper left", ncols=2)

    rows = -(-min(len(set(families)), SERIES + 1) // 2) if made.by != "family" else 0
    described = (
        f"{made.label} by {made.by}, best first; macro mean {format_number(made.macro.value)} "
        f"{format_interval(made.macro)} over {made.locales} locales"
    )
    return draw_svg(draw, (4.6, 0.9 + 0.19 * len(shown) + 0.18 * rows), name, described, tips)


def _family(locales: Sequence[str]) -> str:
    """Return the family of a slice's locales; several families make it one of the others."""
    found = {find_locale_slice(locale, "family") for locale in locales}
    return found.pop() if len(found) == 1 else OTHERS


def _pick_colours(families: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Return colour and marker of each of the most frequent families; the others are faint."""
    counts = Counter(one for one in families if one != UNKNOWN)
    frequent = sorted(counts, key=lambda family: (-counts[family], family))[:SERIES]
    return {family: (f"#0000a{place}", STYLES[place][0]) for place, family in enumerate(frequent)}
