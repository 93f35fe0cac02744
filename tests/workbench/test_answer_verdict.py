"""The line that says what was answered, and whether it is right."""

from __future__ import annotations

from dataclasses import replace

import pytest

from icl.core.types import Output
from icl.workbench.answer import ModelAnswer, generated_answer, rank
from icl.workbench.answer_verdict import AnswerVerdict, answer_verdict, ordinal
from icl.workbench.workbench import Workbench
from tests.workbench.conftest import screen


def ranked(work: Workbench, right: str | None) -> ModelAnswer:
    """A ranking of a typed row, whose right answer is the label at a place of the ranking."""
    one = screen(work, "intent/plain", k=0, own={"utt": "wake me"}, answer=right or "")
    condition = work.bind(one).condition
    return rank(condition, condition.request(condition.examples[0]))


def test_a_ranking(work: Workbench) -> None:
    labels = [label for label, _ in ranked(work, None).ranking]
    shares = [share for _, share in ranked(work, None).ranking]
    first, third = f"{100 * shares[0]:.3g} %", f"{100 * shares[2]:.3g} %"
    assert answer_verdict(ranked(work, None)) == AnswerVerdict("open", labels[0], first)
    assert answer_verdict(ranked(work, labels[0])) == AnswerVerdict("right", labels[0], first)
    assert answer_verdict(ranked(work, labels[2])) == AnswerVerdict(
        "wrong", labels[0], first, labels[2], f"3rd, {third}"
    )


@pytest.mark.parametrize(
    ("text", "kind"), [("Paris", "right"), ("Lyon", "wrong"), (" Paris.\nmore", "right")]
)
def test_a_text_that_is_right_or_wrong(work: Workbench, text: str, kind: str) -> None:
    one = screen(work, "generate/question", data="samples/generate", k=0)
    condition = work.bind(one).condition
    request = condition.request(condition.examples[0])
    right = request.example.targets[0]
    request = replace(request, example=replace(request.example, targets=("Paris",)))
    said = text if "\n" not in text else "Paris\nmore"
    made = generated_answer(condition, request, [Output(said, "end", 1, 2)], 0.1)
    found = answer_verdict(made)
    assert right and found.kind == kind
    assert found.right == ("Paris" if kind == "wrong" else "")


def test_a_text_with_a_score_between_is_neither(work: Workbench) -> None:
    one = screen(work, "translation/plain", data="samples/translation", k=0)
    condition = work.bind(one).condition
    request = condition.request(condition.examples[0])
    half = request.example.targets[0][: len(request.example.targets[0]) // 2]
    found = answer_verdict(generated_answer(condition, request, [Output(half, "end", 1, 2)], 0.1))
    assert found.kind == "open" and found.more.startswith("chrF")
    same = request.example.targets[0]
    found = answer_verdict(generated_answer(condition, request, [Output(same, "end", 1, 2)], 0.1))
    assert found.kind == "right"


def test_slots_are_told_as_marks_in_the_text_of_the_row(work: Workbench) -> None:
    one = screen(work, "slots/frame", data="samples/slots", k=0, row=3)
    condition = work.bind(one).condition
    request = condition.request(condition.examples[0])
    marked = request.example.fields["annot_utt"]
    output = Output(f" timer_set | {marked}", "end", 1, 2)
    made = generated_answer(condition, request, [output], 0.1)
    assert answer_verdict(made) == AnswerVerdict("right", f"timer_set | {marked}", "")
    output = replace(output, text=f" alarm_set | {request.example.fields['utt']}")
    found = answer_verdict(generated_answer(condition, request, [output], 0.1))
    assert found.kind == "wrong" and found.given == f"alarm_set | {request.example.fields['utt']}"
    assert found.right == f"timer_set | {marked}"


def test_places() -> None:
    assert [ordinal(n) for n in (1, 2, 3, 12, 21, 60)] == [
        "1st",
        "2nd",
        "3rd",
        "12th",
        "21st",
        "60th",
    ]
