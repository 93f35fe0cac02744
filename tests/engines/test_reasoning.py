from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import EngineError
from icl.core.types import Output, Prompt, Sampling
from icl.engines.hf.engine import HFEngine
from icl.engines.reasoning import Delimiters, ReasoningReader, ThinkingStream
from tests.chatmodels import CHATML, QWEN3, R1, save_chat_model

# Behind the header the model thinks "hm", closes the block, answers "Yes" and ends its turn.
ANSWERS = {
    "\n": "<think>", "<think>": "h", "h": "m", "m": "</think>", "</think>": "Y",
    "Y": "e", "e": "s", "s": "<|im_end|>",
}  # fmt: skip
LOOPS = {**ANSWERS, "m": "h"}
PROMPT = Prompt("Is it so?")


def chat(folder: Path, follows: dict[str, str] = ANSWERS, **options: Any) -> HFEngine:
    template = options.pop("template", QWEN3)
    save_chat_model(folder, template, follows)
    return HFEngine(str(folder), device="cpu", **{"chat": "always", **options})


def ask(made: HFEngine, prompt: Prompt = PROMPT, **options: Any) -> Output:
    heard: list[str] = []
    sampling = Sampling(**{"max_tokens": 40, **options})
    [(_, output)] = made.generate([prompt], sampling, lambda _, text: heard.append(text))
    assert "".join(heard) == output.text, "what is streamed is the answer alone"
    return output


def test_reasoning_is_kept_apart_from_the_answer(tmp_path: Path) -> None:
    made = chat(tmp_path)
    assert made.identity()["reasoning"] == ["<think>", "</think>"]
    assert ask(made) == Output("Yes", "end", ask(made).prompt_tokens, 7, 0, "hm")


def test_stop_strings_act_on_the_answer_alone(tmp_path: Path) -> None:
    made = chat(tmp_path, {**ANSWERS, "s": "!"})
    output = ask(made, Prompt("Is it so?", stop=("m", "s")))
    assert (output.text, output.finish, output.reasoning) == ("Ye", "stop", "hm")


def test_white_space_between_block_and_answer_is_dropped(tmp_path: Path) -> None:
    follows = {
        "\n": "<think>",
        "<think>": "h",
        "h": "</think>",
        "</think>": " ",
        " ": "Y",
        "Y": "<|im_end|>",
    }
    assert ask(chat(tmp_path, follows), Prompt("?", stop=(" ",))).text == "Y"


def test_a_block_that_never_ends_is_no_answer(tmp_path: Path) -> None:
    output = ask(chat(tmp_path, LOOPS), max_tokens=9)
    assert output == Output("", "reasoning", output.prompt_tokens, 9, 0, "hmhmhmhm")
    ended = ask(chat(tmp_path / "ends", {**ANSWERS, "m": "</s>"}))
    assert (ended.finish, ended.reasoning) == ("reasoning", "hm"), "end of text, block still open"


@pytest.mark.parametrize(("budget", "reasoning"), [(0, ""), (1, "h"), (4, "hmhm"), (5, "hmhmh")])
def test_a_budget_closes_the_block(tmp_path: Path, budget: int, reasoning: str) -> None:
    output = ask(chat(tmp_path, {**LOOPS, "\n": "<think>"}), thinking_tokens=budget)
    # "<think>", the reasoning, the closing "\n</think>\n\n", and then the chain begins again
    assert output.reasoning == reasoning
    assert output.text.startswith("<think>h"), "what follows the block is the answer, as it is"
    made = chat(
        tmp_path / "b",
        {**LOOPS, "\n": "Y"},
        reasoning=["<think>", "</think>"],
        chat={"use": "always", "assistant_prefix": "<think>"},
    )
    closed = ask(made, thinking_tokens=budget)
    assert (closed.reasoning, closed.text, closed.finish) == (reasoning, "Yes", "end")
    assert closed.output_tokens == budget + 4 + 3


def test_a_block_that_the_prompt_opens(tmp_path: Path) -> None:
    follows = {**ANSWERS, "\n": "h", "s": "</s>"}
    made = chat(tmp_path, follows, template=R1)
    output = ask(made)
    assert (output.reasoning, output.text, output.finish) == ("hm", "Yes", "end")
    with pytest.raises(EngineError, match="opens a block of reasoning, and a choice ranked in it"):
        list(made.score([(PROMPT, "Yes")]))
    closed = HFEngine(
        str(tmp_path), device="cpu", chat={"use": "always", "assistant_prefix": "</think>\n\n"}
    )
    assert closed.sent(PROMPT).endswith("<think>\n</think>\n\n")
    assert len(list(closed.score([(PROMPT, "Yes"), (PROMPT, "No")]))) == 2


def test_thinking_turned_off_by_the_template(tmp_path: Path) -> None:
    made = chat(tmp_path, {**ANSWERS, "\n": "Y"}, chat_kwargs={"enable_thinking": False})
    assert made.sent(PROMPT).endswith("<think>\n\n</think>\n\n")
    output = ask(made)
    assert (output.text, output.reasoning, output.finish) == ("Yes", None, "end")


def test_delimiters_of_ones_own_that_are_no_tokens(tmp_path: Path) -> None:
    follows = {"\n": "(", "(": "h", "h": ")", ")": "Y", "Y": "<|im_end|>", "<|im_end|>": "</s>"}
    made = chat(tmp_path, follows, template=CHATML, reasoning=["(h", ")"])
    assert ask(made) == Output("Y", "end", ask(made).prompt_tokens, 4, 0, "")
    flat = HFEngine(str(tmp_path), device="cpu", reasoning=["(h", ")"])
    output = ask(flat, Prompt("So\n"))
    assert (output.text, output.reasoning) == ("Y", "")


def test_samples_reason_each_for_itself(tmp_path: Path) -> None:
    made = chat(tmp_path)
    options = Sampling(max_tokens=30, temperature=2.0, n=6, thinking_tokens=4)
    alone = [output for _, output in made.generate([PROMPT], options)]
    assert len({output.text for output in alone}) > 1
    both = list(made.generate([Prompt("Another?", query_id="1"), PROMPT], options))
    again = {o.sample: o for i, o in made.generate([PROMPT], options) if i == 0}
    assert {o.sample: o for o in alone} == again
    assert len(both) == 12


def test_a_budget_without_meaning(tmp_path: Path) -> None:
    made = chat(tmp_path / "a", reasoning="never")
    with pytest.raises(EngineError, match='no reasoning is read from .*; set reasoning: \\["<th'):
        ask(made, thinking_tokens=3)
    made = chat(tmp_path / "b")
    with pytest.raises(EngineError, match="thinking_tokens is 40; accepted: 0 to less than max_to"):
        ask(made, thinking_tokens=40)


def test_budget_is_part_of_the_sampling_only_where_there_is_one() -> None:
    assert "thinking_tokens" not in Sampling().identity()
    assert Sampling(thinking_tokens=0).identity()["thinking_tokens"] == 0
    assert "thinking_tokens" not in Sampling(temperature=1).identity()
    assert Sampling(temperature=1, thinking_tokens=5).identity()["thinking_tokens"] == 5


def spelled(ids: Any) -> str:
    return "".join(map(chr, ids))


# text -> what is answer, reasoning and finish, token by token of one character each
STREAMS = [
    ("<t>a</t>b", "b", "a", "length"),
    (" \n<t> a b </t> \n b", "b", "a b", "length"),
    ("<t></t>", "", "", "length"),
    ("<t>a", "", "a", "reasoning"),
    ("<t>a</", "", "a</", "reasoning"),
    ("<t", "<t", None, "length"),
    ("<table>", "<table>", None, "length"),
    ("a<t>b</t>", "a<t>b</t>", None, "length"),
    ("", "", None, "length"),
    ("<t>END</t>ok END", "ok ", "END", "stop"),
]


@pytest.mark.parametrize(("text", "answer", "reasoning", "finish"), STREAMS)
def test_stream(text: str, answer: str, reasoning: str | None, finish: str) -> None:
    thinking = ReasoningReader(Delimiters("<t>", "</t>"), spelled, False, None, ())
    stream = ThinkingStream(spelled, [], ["END"], thinking)
    given = [stream.push(stream.choose(ord(letter))) for letter in text]
    given.append(stream.close())
    assert "".join(given) == stream.text == answer
    assert stream.reasoning == reasoning
    assert stream.finish("length") == finish
    assert stream.finish("cancelled") == ("stop" if finish == "stop" else "cancelled")
