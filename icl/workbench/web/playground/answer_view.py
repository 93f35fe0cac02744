"""The answer column as HTML: the verdict in a line, bars or text, and what belongs to it."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from icl.core.number_text import format_percent
from icl.workbench.answer import ModelAnswer
from icl.workbench.answer_shelf import KeptAnswer, PageAnswers
from icl.workbench.answer_verdict import AnswerVerdict, answer_verdict, right_labels
from icl.workbench.calibrated_answer import CalibratedAnswer
from icl.workbench.web.safe_html import caption_html, inline_html, text_html

__all__ = ["TOP", "answer_html"]


TOP = 8
"""Number of labels in the chart at once; the others are shown on request."""
SIGNS = {"right": "✓", "wrong": "✗", "open": "•"}
EMPTY = (
    '<p class="empty">No answer yet. <b>Run</b>, or Ctrl+Enter, asks the model about this row; '
    "what it answers stands here, with the right answer beside it.</p>"
)


def answer_html(page: PageAnswers, calibrator: str = "") -> str:
    """Write what a page shows as its answer, under a band if the screen asks something else.

    Args:
        page: the page's answers.
        calibrator: the calibrator that the screen names; empty for none.
    """
    shown = page.shown
    if shown is None:
        return EMPTY
    body = _answer(shown, calibrator)
    if page.belongs:
        return f'<div class="answer">{body}</div>'
    return (
        f'<p class="band" role="status">answer to {text_html(shown.place)} as it was · '
        f'<b>Run</b> to ask this one</p><div class="answer stale" aria-disabled="true">{body}</div>'
    )


def _answer(shown: KeptAnswer, calibrator: str) -> str:
    made = shown.answer
    if made is None or shown.stopped:
        what = "stopped: half an answer has no score" if shown.stopped else ""
        return f"{caption_html(what, 'halted')}{_text('output', 'Output', shown.text)}"
    parts = [_verdict(answer_verdict(made))]
    if made.ranking:
        parts.append(_bars("labels", made.ranking, right_labels(made)))
        if calibrator:
            parts.append(_calibrated(shown, calibrator))
    else:
        parts.append(_text("output", "Output", shown.text))
        parts.append(f'<div id="slots">{made.slots}</div>' if made.slots else "")
        row = made.request.example
        reference = "\n".join(row.gold_texts or map(made.describe, row.targets))
        parts.append(_text("reference", "Reference", reference) if reference else "")
    parts.append(f'<div id="scored">{caption_html(_scores(made))}</div>')
    return "".join(parts)


def _verdict(verdict: AnswerVerdict) -> str:
    more = f" {text_html(verdict.more, 300)}" if verdict.more else ""
    line = f"<b>{SIGNS[verdict.kind]} {inline_html(verdict.given)}{more}</b>"
    if verdict.right:
        after = f", {text_html(verdict.right_more)}" if verdict.right_more else ""
        line += f"<span>right: {inline_html(verdict.right)}{after}</span>"
    return f'<p class="verdict {verdict.kind}" id="verdict">{line}</p>'


def _bars(name: str, ranking: Sequence[tuple[str, float]], right: Collection[str]) -> str:
    """Draw the most probable labels and the right one; the others on request."""
    most = ranking[0][1] or 1.0
    drawn = [
        (place < TOP or label in right, _bar(label, share, most, label in right))
        for place, (label, share) in enumerate(ranking)
    ]
    first = "".join(bar for shown, bar in drawn if shown)
    rest = [bar for shown, bar in drawn if not shown]
    more = (
        f'<details><summary>{len(rest)} more</summary><ol class="bars">{"".join(rest)}</ol>'
        "</details>"
        if rest
        else ""
    )
    return f'<ol class="bars" id="{name}">{first}</ol>{more}'


def _bar(label: str, share: float, most: float, right: bool) -> str:
    width = f"{100 * share / most:.2f}%"
    sign = "✓ " if right else ""
    return (
        f'<li{" class=right" if right else ""}><i style="width:{width}"></i>'
        f"<span>{sign}{inline_html(label, 80)}</span><em>{format_percent(share)}</em></li>"
    )


def _calibrated(shown: KeptAnswer, calibrator: str) -> str:
    """Write the answer as the screen's calibrator corrects it."""
    found = shown.calibrated.get(calibrator)
    if found is None:
        body = caption_html("Run to correct this answer, too")
    elif isinstance(found, CalibratedAnswer):
        right = right_labels(found.answer)
        body = caption_html(found.words()) + _bars("calibrated-labels", found.ranking, right)
    else:
        body = caption_html(found, "wrong")
    return (
        f'<section id="calibrated"><h4>Calibrated: {inline_html(calibrator, 60)}</h4>'
        f'<div id="changed">{body}</div></section>'
    )


def _text(name: str, title: str, text: str) -> str:
    return f'<h4>{title}</h4><pre class="said" id="{name}" dir="auto">{text_html(text)}</pre>'


def _scores(made: ModelAnswer) -> str:
    """List the metrics of this one row."""
    found, notes = made.scores()
    return "; ".join([*(f"{name} {value:.1f}" for name, value in found.items()), *notes])
