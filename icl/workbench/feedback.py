"""The saving of the user's verdict on an answer, and of the answer itself as an HTML page."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from icl.core.files import replace_file
from icl.core.label_sets import list_right_labels
from icl.records.feedback import Feedback, append
from icl.reports.card import Card, render_card
from icl.workbench.answer import ModelAnswer

__all__ = ["FEEDBACK", "card", "feedback_of", "note", "write_card"]


FEEDBACK = "feedback.jsonl"


def feedback_of(
    answer: ModelAnswer, verdict: str, correction: str | None, when: str, comment: str = ""
) -> Feedback:
    """Make a feedback line: the verdict, with the prompt, model and shots behind the answer.

    Raises:
        DataError: an unknown verdict, or a correction without text.
    """
    request, record = answer.request, answer.record
    value = answer.prediction.value
    output = record.outputs[0].text if record.outputs else str(value)
    corrected = correction if verdict == "corrected" else None
    return Feedback(
        verdict=verdict,
        id=record.id,
        fields=dict(request.example.fields),
        targets=list(answer.example.targets),
        prompt=request.sent,
        output=output,
        answer=value,
        correction=corrected,
        request=record.request,
        condition=record.condition,
        template=request.prompt.template,
        template_hash=request.prompt.template_hash,
        model=answer.condition.engine.identity(),
        shots=[name for name, _, _ in record.shots],
        when=when,
        comment=comment,
    )


def note(
    base: Path, answer: ModelAnswer, verdict: str, correction: str | None, comment: str = ""
) -> Path:
    """Append a verdict to ``feedback.jsonl`` under ``base``; return the path.

    Raises:
        DataError: see :func:`feedback_of`.
        StoreError: it cannot be written.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    path = base / FEEDBACK
    append(path, feedback_of(answer, verdict, correction, now, comment))
    return path


def card(base: Path, answer: ModelAnswer) -> Path:
    """Write an answer as ``cards/ROW-HASH.html`` under ``base``; return the path.

    Raises:
        StoreError: it cannot be written.
    """
    request, condition = answer.request, answer.condition
    identity = condition.engine.identity()
    kind = " · ".join(str(identity[n]) for n in ("kind", "width") if identity.get(n))
    made = Card(
        f"{condition.task.name} · row {answer.record.id}",
        {
            "condition": answer.record.condition,
            "model": f"{condition.point.model.get('source', '')} {kind}".strip(),
            "template": request.prompt.template,
        },
        request.example,
        request.prompt,
        request.sent,
        answer.record,
        answer.prediction,
        request.choices,
        list_right_labels(request.example.targets, condition.task.kind.gold == "set"),
        answer.scores()[0],
        answer.slots,
        answer.describe,
    )
    return write_card(base, made)


def write_card(base: Path, card: Card) -> Path:
    """Write a card as ``cards/ROW-HASH.html`` under ``base``; return the path.

    Raises:
        StoreError: it cannot be written.
    """
    record = card.record
    safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in record.id)[:40]
    path = base / "cards" / f"{safe}-{record.request[:8]}.html"
    replace_file(path, render_card(card))
    return path
