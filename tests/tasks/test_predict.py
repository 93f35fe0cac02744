"""What an output answers, by how it ended."""

from __future__ import annotations

import pytest

from icl.core.types import Choice, Finish, Output, Record
from icl.tasks.baselines import counts
from icl.tasks.predict import predict

CHOICES = [Choice("yes", " Yes"), Choice("no", " No")]


def ended(text: str, finish: Finish) -> Record:
    return Record("r", "c", "h", outputs=(Output(text, finish, 3, 2),))


@pytest.mark.parametrize(
    ("text", "finish", "value", "error"),
    [
        ("Yes", "stop", "yes", None),
        ("", "stop", None, "empty"),
        ("Yes", "filter", "yes", None),
        ("", "filter", None, "the server's content filter withheld the answer"),
        ("No", "refusal", None, "the model refused to answer: 'No'"),
        ("", "reasoning", None, "the reasoning did not end within 2 tokens; raise max_tokens, or "
                                "set thinking_tokens to close it"),
    ],
)  # fmt: skip
def test_by_its_end(text: str, finish: Finish, value: str | None, error: str | None) -> None:
    made = predict(ended(text, finish), CHOICES, "label")
    assert (made.value, made.error, made.finish) == (value, error, finish)


def test_filtered_and_refused_are_counted_where_they_occur() -> None:
    plain = [predict(ended("Yes", "stop"), CHOICES, "label")] * 2
    assert not {"filtered", "refused"} & {one.name for one in counts(plain)}
    odd = [
        predict(ended("", "filter"), CHOICES, "label"),
        predict(ended("I can't", "refusal"), CHOICES, "label"),
    ]
    found = {one.name: one.value for one in counts([*plain, *odd])}
    assert (found["filtered"], found["refused"], found["empty"]) == (25, 25, 0)
    assert found["unparsed"] == 50
