from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from icl.core.errors import ModelError
from icl.core.types import Prompt, Sampling
from icl.engines.hf.engine import HFEngine
from icl.prompts.family_text import LineBreakStream, Wording

SIGNS = st.sampled_from(["<br>", "aab", "⏎"])


@given(st.text("ab<>rn⏎\n", max_size=30), SIGNS, st.lists(st.integers(1, 5)))
def test_streamed_pieces_are_together_the_text_read_back(
    text: str, sign: str, sizes: list[int]
) -> None:
    wording = Wording(newline=sign)
    said: list[str] = []
    heard = LineBreakStream(wording, lambda index, piece: said.append(piece))
    at = 0
    for size in [*sizes, len(text)]:
        heard(0, text[at : at + size])
        at += size
    heard.close(0)
    assert "".join(said) == wording.back(text)
    assert all(said)


def test_outputs_of_several_prompts_are_kept_apart() -> None:
    said: list[tuple[int, str]] = []
    heard = LineBreakStream(
        Wording(newline="<br>"), lambda index, piece: said.append((index, piece))
    )
    for index, piece in ((0, "a<b"), (1, "x<"), (0, "r>"), (1, "y")):
        heard(index, piece)
    assert said == [(0, "a"), (1, "x"), (0, "\n"), (1, "<y")]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prefix": 3}, "prefix of model 'm' is 3; give the text before every prompt"),
        ({"prefix": None}, "prefix of model 'm' is None; give the text"),
        ({"newline": ""}, "newline of model 'm' is ''; give the text that replaces a line"),
        ({"newline": 1}, "newline of model 'm' is 1; give the text that replaces a line"),
    ],
)
def test_options_that_are_no_texts(options: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        HFEngine("m", **options).open()


PROMPT = Prompt("Utterance: wake me up\nIntent:", stop=("\n",))


def test_a_causal_model_is_sent_prefix_and_signs(tiny_model: Path) -> None:
    plain = HFEngine(str(tiny_model), device="cpu")
    worded = HFEngine(str(tiny_model), device="cpu", prefix="[CLM] ", newline="<br>")
    text = "[CLM] Utterance: wake me up<br>Intent:"
    assert worded.sent(PROMPT) == text
    assert [t.id for t in worded.tokens(PROMPT)] == [t.id for t in plain.tokens(Prompt(text))]
    choices = [" alarm set", " volume\nset"]
    found = [score for _, score in worded.score([(PROMPT, choice) for choice in choices])]
    expected = [
        score
        for _, score in plain.score(
            [(Prompt(text), choice.replace("\n", "<br>")) for choice in choices]
        )
    ]
    assert [score.logprob for score in found] == [score.logprob for score in expected]
    assert [score.chars for score in found] == [len(choice) for choice in choices]


def test_outputs_are_read_back_and_stop_at_the_sign(tiny_model: Path) -> None:
    plain = HFEngine(str(tiny_model), device="cpu")
    [(_, free)] = plain.generate([Prompt("a")], Sampling(max_tokens=12))
    sign = free.text[3:5]
    worded = HFEngine(str(tiny_model), device="cpu", newline=sign)
    said: list[str] = []
    [(_, output)] = worded.generate(
        [Prompt("a")], Sampling(max_tokens=12), on_token=lambda index, text: said.append(text)
    )
    assert output.text == free.text.replace(sign, "\n") == "".join(said)
    assert "\n" in output.text
    [(_, stopped)] = worded.generate([Prompt("a", stop=("\n",))], Sampling(max_tokens=12))
    assert (stopped.text, stopped.finish) == (output.text[: output.text.index("\n")], "stop")


def test_identity_knows_them_only_where_they_are_set(tiny_model: Path) -> None:
    base = HFEngine(str(tiny_model), device="cpu").identity()
    assert not {"prefix", "newline"} & set(base)
    for options in ({"prefix": "[CLM] "}, {"newline": "<br>"}):
        assert HFEngine(str(tiny_model), device="cpu", **options).identity() == base | options
