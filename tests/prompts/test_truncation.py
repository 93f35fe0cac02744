"""Fitting a prompt into the window of a model: whole shots, the least useful first."""

from __future__ import annotations

from pathlib import Path

import pytest

from icl.core.errors import TemplateError, WindowError
from icl.core.types import Example, Prompt, Shot
from icl.prompts.template import Template, load_template
from icl.prompts.truncation import fit


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
        "window next to the answer; shorten the instruction or the row, lower max_tokens, or use "
        "a model with a longer window"
    )


DOCUMENT = "One two three. Four five six. Seven eight nine."


@pytest.fixture
def shrinking(tmp_path: Path) -> Template:
    (tmp_path / "fit.j2").write_text("Text: {{ utt | fit }}\nSum:||| {{ target }}\n", "utf-8")
    return load_template("fit.j2", base=str(tmp_path))


@pytest.mark.parametrize(
    ("room", "left"),
    [
        (11, DOCUMENT),
        (10, "One two three. Four five six."),
        (8, "One two three. Four five six."),
        (7, "One two three."),
        (5, "One two three."),
        (4, "One two"),
        (3, "One"),
    ],
)
def test_the_marked_span_loses_sentences_then_words(
    shrinking: Template, room: int, left: str
) -> None:
    prompt, shots, tokens = fit(shrinking, long_row(), [Shot(long_row("s"))], words_of, room)
    assert prompt.query == f"Text: {left}\nSum:"
    assert (shots, tokens) == ([], words_of(prompt)) and tokens <= room
    assert prompt.dropped == ("s",), "whole shots go first"
    assert prompt.shortened == (() if left == DOCUMENT else (len(left), len(DOCUMENT)))
    again = shrinking.prompt(long_row(), (), len(left))
    assert again.text == prompt.text, "the length kept is enough to render it again"


def long_row(name: str = "q") -> Example:
    return Example(name, {"utt": DOCUMENT}, ("good",))


def test_a_shot_never_shrinks(shrinking: Template) -> None:
    prompt, shots, _ = fit(shrinking, example(0), [Shot(long_row("s"))], words_of, 15)
    assert len(shots) == 1 and DOCUMENT in prompt.text and prompt.shortened == ()


@pytest.mark.parametrize("room", [2, 1, 0, -5])
def test_not_one_word_of_the_span_fits(shrinking: Template, room: int) -> None:
    with pytest.raises(WindowError) as caught:
        fit(shrinking, long_row(), [], words_of, room)
    assert str(caught.value) == (
        "example 'q': the prompt of fit.j2 has 11 tokens even without shots and 2 with the span "
        f"marked `fit` left empty, {room} fit the model's window next to the answer; shorten the "
        "instruction or the row, lower max_tokens, or use a model with a longer window"
    )


def test_the_work_grows_with_the_logarithm_of_shots_and_characters(shrinking: Template) -> None:
    calls = 0

    def count(prompt: Prompt) -> int:
        nonlocal calls
        calls += 1
        return words_of(prompt)

    shots = [Shot(example(i), float(i)) for i in range(1, 1025)]
    prompt, kept, _ = fit(shrinking, example(0), shots, count, 3 + 4 * 5)
    assert [shot.example.id for shot in kept] == [f"e{i}" for i in range(1020, 1025)]
    assert len(prompt.dropped) == 1019 and calls <= 12
    calls = 0
    long = Example("q", {"utt": "word " * 10_000}, ())
    prompt, _, tokens = fit(shrinking, long, [], count, 502)
    assert tokens == 502 and calls <= 20


def test_every_shot_is_rendered_once(template: Template, monkeypatch: pytest.MonkeyPatch) -> None:
    rendered: list[str] = []
    target = Template.target

    def counted(self: Template, example: Example) -> str:
        rendered.append(example.id)
        return target(self, example)

    monkeypatch.setattr(Template, "target", counted)
    shots = [Shot(example(i), float(i)) for i in range(1, 201)]
    prompt, kept, _ = fit(template, example(0), shots, words_of, 3 + 4 * 5)
    assert len(kept) == 5 and sorted(rendered) == sorted(shot.example.id for shot in shots)
    assert prompt.shots == template.prompt(example(0), kept).shots


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ a | fit }} {{ b | fit }}||| {{ target }}", "`fit` appears twice; one span may shrink"),
        ("{{ a }}||| {{ target | fit }}", "`fit` marks the span of the query that may shrink"),
        (
            "[[instruction]]\n{{ a | fit }}\n[[example]]\nx||| {{ target }}",
            "`fit` marks the span of the query that may shrink; it belongs into the input",
        ),
    ],
)
def test_where_fit_may_stand(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "my.j2").write_text(text, "utf-8")
    with pytest.raises(TemplateError) as caught:
        load_template("my.j2", base=str(tmp_path))
    assert message in str(caught.value) and "my.j2:" in str(caught.value)


def test_fit_marks_text_alone(shrinking: Template) -> None:
    with pytest.raises(TemplateError, match=r"fit\.j2:1: 'utt' is undefined"):
        shrinking.prompt(Example("q", {}))
    with pytest.raises(TemplateError, match=r"fit\.j2:1: TypeError: fit marks a text, this is int"):
        shrinking.prompt(Example("q", {"utt": 3}))
