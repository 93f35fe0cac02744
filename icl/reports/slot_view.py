"""Slots of a row as coloured words, right ones above answered ones; the same on page, card and app.

The text stays as it is, so that it can be copied; names and signs stand beside it by the style.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Literal

from icl.core.bio import Span, find_spans, fit_tags, locate_tokens
from icl.core.safe_text import clean
from icl.core.slot_answers import SlotAnswer, SlotSource
from icl.core.types import Record
from icl.records.results import ConditionResult
from icl.scoring.slot_scores import read_slot_row

__all__ = ["SLOT_STYLE", "draw_record_slots", "draw_slots", "judge_spans"]


SpanVerdict = Literal["right", "near", "wrong"]
"""Of a span: as on the other side; on words of a span there; where the other side has none."""
SIGNS: dict[SpanVerdict, str] = {"right": "✓", "near": "≠", "wrong": "✗"}

FAULTS = {
    "broken": "broken marks or JSON",
    "unknown": "unknown slot names",
    "altered": "other words than the row",
    "invented": "values not in the text",
}
"""Faults in the spelling of an answer, in words."""

SLOT_STYLE = """
.slots { margin: .4rem 0; line-height: 2; overflow-wrap: anywhere; }
.slots > div { display: grid; grid-template-columns: 6rem 1fr; gap: 1rem; }
.slots .who, .slots .told { color: color-mix(in srgb, currentColor 70%, transparent); }
.slots .told { font-size: .88em; line-height: 1.4; }
.slots mark { color: inherit; background: #8a8a8a2e; border-bottom: 2px solid #8a8a8a;
  padding: .1em .15em; border-radius: .2em; }
.slots mark::after { content: attr(data-name); unicode-bidi: isolate; font-size: .72em;
  margin-inline-start: .4em; opacity: .85; }
.slots mark.right { background: #2e9e5b38; border-color: #2e9e5b; }
.slots mark.near { background: #d9a02b40; border-color: #c98a10; }
.slots mark.wrong { background: #d0453b33; border-color: #d0453b; }
"""
"""Style of what :func:`draw_slots` writes, for light and dark."""


def judge_spans(own: Sequence[Span], others: Sequence[Span]) -> list[tuple[Span, SpanVerdict]]:
    """Say of each span whether the other side has it, has another one on its words, or none.

    >>> judge_spans([Span("time", 0, 2)], [Span("time", 1, 2)])
    [(Span(name='time', start=0, end=2), 'near')]
    """
    found: list[tuple[Span, SpanVerdict]] = []
    for span in own:
        shared = any(span.start < one.end and one.start < span.end for one in others)
        found.append((span, "right" if span in others else "near" if shared else "wrong"))
    return found


def draw_slots(
    source: SlotSource,
    gold: SlotAnswer | None,
    answer: SlotAnswer | None,
    faults: Mapping[str, int] | None = None,
) -> str:
    """Draw the slots of a row as HTML, gold above the answer, for :data:`SLOT_STYLE`.

    Args:
        source: text and tokens of the row.
        gold: the right slots and intent; None where they are not known.
        answer: None where it could not be read.
        faults: counts of what was wrong with the answer's spelling.
    """
    right = [] if gold is None else find_spans(gold.tags)
    tags = None if answer is None else fit_tags(answer.tags, len(source.tokens))
    said = [] if tags is None else find_spans(tags)
    lines = []
    if gold is not None:
        drawn = _draw(source, judge_spans(right, said))
        lines.append(_line("right", _intent(gold, answer) + drawn))
    if answer is None:
        lines.append(_line("answer", "<em>none that could be read</em>"))
    else:
        judged = judge_spans(said, right) if gold is not None else [(one, None) for one in said]
        lines.append(_line("answer", _intent(answer, gold) + _draw(source, judged)))
    told = [f"{FAULTS.get(name, name)}: {count}" for name, count in (faults or {}).items() if count]
    if answer is not None and answer.invented:
        told.append("not in the text: " + ", ".join(answer.invented))
    if told:
        lines.append(f'<div><span></span><span class="told">{_text("; ".join(told))}</span></div>')
    return f'<div class="slots">{"".join(lines)}</div>'


def draw_record_slots(condition: ConditionResult, record: Record) -> str:
    """Draw the slots of a record in a run folder; nothing where its answers are none, or no gold.

    Raises:
        StoreError: the row is missing from the folder.
    """
    if condition.task.kind.gold != "spans":
        return ""
    example = condition.gold_example(record)
    if not example.targets:
        return ""
    row = read_slot_row(condition, condition.predict(record), example)
    return draw_slots(row.source, row.gold, row.answer, row.faults)


def _line(who: str, drawn: str) -> str:
    return f'<div><span class="who">{who}</span><span dir="auto">{drawn}</span></div>'


def _intent(own: SlotAnswer, other: SlotAnswer | None) -> str:
    """Draw the intent in front of the text; nothing where there is none."""
    if own.intent is None:
        return ""
    verdict: SpanVerdict | None = None
    if other is not None:
        verdict = "right" if own.intent == other.intent else "wrong"
    return f"{_mark(own.intent, 'intent', verdict)} "


def _draw(source: SlotSource, spans: Sequence[tuple[Span, SpanVerdict | None]]) -> str:
    places = locate_tokens(source.text, source.tokens)
    drawn, end = "", 0
    for span, verdict in spans:
        start, last = places[span.start][0], places[span.end - 1][1]
        drawn += _text(source.text[end:start])
        drawn += _mark(source.text[start:last], span.name, verdict)
        end = last
    return drawn + _text(source.text[end:])


def _mark(words: str, name: str, verdict: SpanVerdict | None) -> str:
    sign = f" {SIGNS[verdict]}" if verdict else ""
    kind = f' class="{verdict}"' if verdict else ""
    return f'<mark{kind} data-name="{_text(name)}{sign}">{_text(words)}</mark>'


def _text(text: str) -> str:
    """Escape a text for HTML, with invisible characters shown as marks."""
    return escape(clean(text))
