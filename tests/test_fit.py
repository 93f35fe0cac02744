"""Fitting a prompt into the window of a model: whole shots, the least useful first."""

from __future__ import annotations

from pathlib import Path

import pytest

from icl.errors import WindowError
from icl.fitting import fit
from icl.prompts import Template, load_template
from icl.types import Example, Prompt, Shot


@pytest.fixture
def template(tmp_path: Path) -> Template:
    (tmp_path / "my.j2").write_text("Q: {{ utt }}\nA:||| {{ target }}\n", "utf-8")
    return load_template("my.j2", base=str(tmp_path))


def example(i: int) -> Example:
    return Example(f"e{i}", {"utt": f"u{i}"}, ("good",))


def words_of(prompt: Prompt) -> int:
    """One token a word: a shot has 4 (Q: u1 A: good), the query 3."""
    return len(prompt.text.split())


def scored(*scores: float | None) -> list[Shot]:
    return [Shot(example(i), score) for i, score in enumerate(scores, start=1)]


@pytest.mark.parametrize(
    ("scores", "room", "kept", "dropped"),
    [
        ((3.0, 1.0, 2.0), 15, ["e1", "e2", "e3"], ()),
        ((3.0, 1.0, 2.0), 14, ["e1", "e3"], ("e2",)),
        ((3.0, 1.0, 2.0), 11, ["e1", "e3"], ("e2",)),
        ((3.0, 1.0, 2.0), 10, ["e1"], ("e2", "e3")),
        ((3.0, 1.0, 2.0), 3, [], ("e2", "e3", "e1")),
        ((None, None, None), 11, ["e2", "e3"], ("e1",)),
        ((1.0, 1.0, 2.0), 11, ["e2", "e3"], ("e1",)),
        ((1.0, None, 2.0), 11, ["e1", "e3"], ("e2",)),
    ],
)
def test_whole_shots_are_dropped_the_least_useful_first(
    template: Template,
    scores: tuple[float | None, ...],
    room: int,
    kept: list[str],
    dropped: tuple[str, ...],
) -> None:
    prompt, shots, _ = fit(template, example(0), scored(*scores), words_of, room)
    assert [shot.example.id for shot in shots] == kept == list(prompt.shot_ids)
    assert prompt.dropped == dropped
    assert words_of(prompt) == 3 + 4 * len(kept) <= room


def test_a_query_that_does_not_fit_is_an_error(template: Template) -> None:
    with pytest.raises(WindowError) as caught:
        fit(template, example(0), scored(1.0), words_of, 2)
    assert str(caught.value) == (
        "example 'e0': the prompt of my.j2 has 3 tokens even without shots, 2 fit the model's "
        "window beside the answer; shorten the instruction or the row, lower max_tokens, or use "
        "a model with a longer window"
    )
