"""One record as a self-contained HTML page to send to a colleague: prompt, answer, labels, shots.

The page has no script and loads nothing: its policy forbids both, and every text is escaped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

from icl.core.probabilities import label_shares
from icl.core.safe_text import clean
from icl.core.types import Choice, Example, Output, Prediction, Prompt, Record
from icl.experiment.settings import join_axes
from icl.records.results import ConditionResult
from icl.reports.slot_view import SLOT_STYLE, draw_record_slots

__all__ = ["Card", "make_card", "render_card", "split_prompt"]


TOP = 15
"""Most labels with a bar; right ones are always shown."""
_STYLE = """
:root { color-scheme: light dark; --line: #8885; --ink: CanvasText; }
body { font: 15px/1.45 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem;
  color: CanvasText; background: Canvas; }
h1 { font-size: 1.15rem; } h2 { font-size: 1rem; margin: 1.4rem 0 .4rem; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; border: 1px solid var(--line);
  border-radius: .4rem; padding: .7rem; margin: 0; font: 13px/1.5 ui-monospace, monospace; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; padding: .15rem .7rem .15rem 0; vertical-align: top;
  overflow-wrap: anywhere; font-weight: normal; }
th { color: color-mix(in srgb, CanvasText 65%, Canvas); white-space: nowrap; }
.bar { width: 45%; } .bar i { display: block; height: .75rem; background: #2f81c7;
  border-radius: .15rem; min-width: 1px; } .right .bar i { background: #2e9e5b; }
.instruction { background: #8a63d230; } .input { background: #2f81c730; }
.target { background: #2e9e5b38; } .query { background: #d9822b38; }
.num { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
"""


@dataclass(frozen=True)
class Card:
    """Everything about one answer that the page shows."""

    title: str
    facts: Mapping[str, str]
    """The rows of the table at the top: condition, model, template …"""
    example: Example
    prompt: Prompt
    sent: str
    """The text that was sent; in a chat with the turns' tokens."""
    record: Record
    prediction: Prediction
    choices: Sequence[Choice] = ()
    right: Sequence[str] = ()
    """Labels of the right choices."""
    scores: Mapping[str, float] = field(default_factory=dict)
    """Metric -> its value for this row, from 0 to 100."""
    slots: str = ""
    """The slots, right and answered, as HTML; empty where answers are none."""
    show: Callable[[str], str] = str
    """Writes an answer, or a target, as a reader wants it."""


def make_card(condition: ConditionResult, record: Record) -> Card:
    """Make the card of a record in a run folder, with its prompt rendered again."""
    prompt = condition.prompt(record)
    kept = condition.store.condition()
    choices = condition.choices(record)
    axes = join_axes(condition.axes, " · ")
    return Card(
        f"{condition.task.name} · row {record.id}",
        {
            "condition": f"{record.condition}  {axes}",
            "model": _model(kept.identity.engine),
            "template": kept.template.name,
            **({"unscored": row.error} if (row := condition.unscored.get(record.id)) else {}),
        },
        condition.gold_example(record),
        prompt,
        condition.sent(prompt),
        record,
        condition.predict(record),
        choices,
        condition.right_labels(condition.example(record)),
        slots=draw_record_slots(condition, record),
        show=lambda answer: condition.show_answer(condition.example(record), answer),
    )


def render_card(card: Card) -> str:
    """Write the whole page as HTML."""
    record, example = card.record, card.example
    answer = card.show(card.prediction.value) if card.prediction.value is not None else "–"
    unscored = "unscored" in card.facts
    right = card.prediction.value in example.targets if example.targets and not unscored else None
    verdict = {True: " ✓ right", False: " ✗ wrong", None: ""}[right]
    facts = {
        **card.facts,
        "answer": answer + verdict,
        "right answer": " | ".join(map(card.show, example.targets)) or "–",
        **({"not parsed": unread} if (unread := card.prediction.error) and not unscored else {}),
        **{name: f"{value:.1f}" for name, value in card.scores.items()},
        "tokens": f"{record.prompt_tokens:,} in the prompt",
        **({"dropped": ", ".join(record.dropped)} if record.dropped else {}),
        "request": record.request[:16],
    }
    parts = [_table(facts)]
    if card.slots:
        parts += ["<h2>Slots</h2>", card.slots]
    parts += ["<h2>Prompt</h2>", _prompt(card)]
    if record.logprobs:
        parts += ["<h2>Labels</h2>", _bars(card)]
    for output in record.outputs:
        parts += _output(output)
    if record.shots:
        parts += ["<h2>Shots</h2>", _shots(card)]
    title = _text(card.title)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title><style>{_STYLE}{SLOT_STYLE if card.slots else ''}</style></head>\n"
        f"<body><h1>{title}</h1>\n" + "\n".join(parts) + "\n</body></html>\n"
    )


def split_prompt(prompt: Prompt) -> list[tuple[str, str | None]]:
    """Split the flat prompt into pieces, each with its kind; separators have none."""
    heads = [part for part in (prompt.system, prompt.instruction) if part]
    parts: list[list[tuple[str, str | None]]] = [[(head, "instruction")] for head in heads]
    parts += [[(a, "shot input"), (b, "shot target")] for a, b in prompt.shots]
    parts.append([(prompt.query, "query")])
    found: list[tuple[str, str | None]] = []
    for place, part in enumerate(parts):
        found += [(prompt.separator, None)] if place else []
        found += part
    return [(text, kind) for text, kind in found if text]


def _prompt(card: Card) -> str:
    """Write the prompt, coloured by its parts if it was sent as flat text."""
    if card.sent != card.prompt.text:
        return f"<pre>{_text(card.sent)}</pre>"
    marked = "".join(
        f'<span class="{kind.rpartition(" ")[2]}">{_text(text)}</span>' if kind else _text(text)
        for text, kind in split_prompt(card.prompt)
    )
    return f"<pre>{marked}</pre>"


def _output(output: Output) -> Iterator[str]:
    if output.reasoning is not None:
        yield f"<h2>Reasoning</h2><pre>{_text(output.reasoning)}</pre>"
    ended = f"{_text(output.finish)}, {output.output_tokens} tokens"
    yield f"<h2>Output ({ended})</h2><pre>{_text(output.text)}</pre>"


def _bars(card: Card) -> str:
    shares = label_shares(card.record.logprobs)
    order = sorted(range(len(shares)), key=lambda i: -shares[i])
    shown = order[:TOP] + [i for i in order[TOP:] if card.choices[i].label in card.right]
    rows = []
    for place in shown:
        label = card.choices[place].label
        right = label in card.right
        mark = ' class="right"' if right else ""
        width = f"{100 * shares[place]:.2f}%"
        rows.append(
            f"<tr{mark}><td>{_text(label)}{' ✓' if right else ''}</td>"
            f'<td class="bar"><i style="width:{width}"></i></td>'
            f'<td class="num">{100 * shares[place]:.1f} %</td>'
            f'<td class="num">{card.record.logprobs[place]:.3f}</td></tr>'
        )
    return f"<table>{''.join(rows)}</table>"


def _shots(card: Card) -> str:
    rows = []
    for name, label, score in card.record.shots:
        found = "" if score is None else f"{score:.3f}"
        rows.append(
            f"<tr><td>{_text(name)}</td><td>{_text(label or '')}</td>"
            f'<td class="num">{found}</td></tr>'
        )
    return f"<table>{''.join(rows)}</table>"


def _table(facts: Mapping[str, str]) -> str:
    rows = (
        f"<tr><th>{_text(name)}</th><td>{_text(value)}</td></tr>" for name, value in facts.items()
    )
    return f"<table>{''.join(rows)}</table>"


def _model(identity: Mapping[str, object]) -> str:
    """Describe kind, precision and weights of an engine, as far as known."""
    names = ("kind", "model", "width", "precision", "weights")
    told = [str(identity[name])[:24] for name in names if identity.get(name)]
    return " · ".join(told)


def _text(text: str) -> str:
    """Escape a text for HTML, with invisible characters shown as marks."""
    return escape(clean(text))
