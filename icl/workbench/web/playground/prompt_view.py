"""The exact prompt as HTML: its parts in colour, and how it fills the model's window."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from icl.core.types import Prompt
from icl.reports.card import split_prompt
from icl.workbench.web.safe_html import caption_html, text_html
from icl.workbench.window_meter import WindowMeter

__all__ = ["meter_html", "prompt_html", "token_html"]


MOST_CHARS = 100_000
"""Most characters of a prompt in the browser; the prompt that is sent is never cut."""
KINDS = ("instruction", "shot input", "shot target", "query")
SHADES: Mapping[str, str] = {
    "special": "#888888",
    "instruction": "#8a63d2",
    "shots": "#2f81c7",
    "query": "#d9822b",
    "answer": "#b0b0b0",
}


def prompt_html(prompt: Prompt, stale: bool = False) -> str:
    """Write a prompt as it is sent, each line in its own direction of writing."""
    left, parts, kinds = MOST_CHARS, [], []
    for text, kind in split_prompt(prompt):
        name = (kind or "between").replace(" ", "-")
        parts.append(f'<span class="text {name}">{text_html(text, left)}</span>')
        kinds.append(kind)
        left -= len(text)
        if left <= 0:
            break
    legend = "".join(
        f'<span class="{kind.replace(" ", "-")}">{kind}</span>' for kind in KINDS if kind in kinds
    )
    return (
        f'<div class="legend">{legend}</div><pre class="textfield{" stale" if stale else ""}" '
        f'dir="auto" tabindex="0" role="region" aria-label="Exact prompt">{"".join(parts)}</pre>'
    )


def meter_html(meter: WindowMeter | None, said: str) -> str:
    """Draw how the window is filled, with the counts below."""
    parts = ""
    if meter is not None:
        parts = "".join(
            f'<i style="width:{100 * count / meter.window:.2f}%;background:{SHADES[part]}" '
            f'title="{part}: {count}"></i>'
            for part, count in meter.shares().items()
        )
    window = f"{meter.window} tokens" if meter is not None else "tokens are not counted yet"
    bar = f'<div class="meter" role="img" aria-label="{window}">{parts}</div>'
    return f'{bar}<div id="counts">{caption_html(said)}</div>'


def token_html(pieces: Sequence[tuple[str, str | None]], answer_from: int | None) -> str:
    """Write tokens in the colours of their probability; those of an appended answer are framed.

    Args:
        pieces: (text of the token, its grade or None), in order.
        answer_from: index of the first token that was appended to the prompt; None if none was.
    """
    grades = ("over 50 %", "10 to 50 %", "1 to 10 %", "under 1 %")
    names = {grade: f"grade{place}" for place, grade in enumerate(grades)}
    made = [
        f'<span class="text {names.get(grade or "", "first")}'
        f'{" appended" if answer_from is not None and place >= answer_from else ""}" '
        f'data-token="{place + 1}">{text_html(text, 200)}</span>'
        for place, (text, grade) in enumerate(pieces)
    ]
    legend = "".join(f'<span class="{names[grade]}">{grade}</span>' for grade in grades)
    more = '<span class="appended">appended: the answer</span>' if answer_from is not None else ""
    return (
        f'<div class="legend">{legend}{more}</div>'
        f'<pre class="textfield" dir="auto" tabindex="0">{"".join(made)}</pre>'
    )
