"""Answers that a mask holds to a form, beside answers that nothing holds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from icl.core.errors import EngineError
from icl.core.types import Output, Prompt, Sampling
from icl.engines.hf.causal.decode import DecodeRequest, generate
from icl.engines.hf.causal.token_masks import allowed_ids
from icl.engines.hf.engine import HFEngine
from icl.engines.hf.seq2seq.forward import PairRequest, Seq2SeqModel
from icl.engines.protocol import Constrains
from icl.engines.reasoning import Delimiters, ReasoningReader
from icl.engines.table import TableEngine
from tests.engines.pairs import model_of, untied

WAYS = [
    Sampling(max_tokens=6),
    Sampling(max_tokens=6, temperature=1.0, n=2, seed=1),
    Sampling(max_tokens=6, temperature=1.5, top_k=4, top_p=0.9, min_p=0.01, seed=2),
]
PREFIX = (1, *range(5, 25))
TEXTS = [(*PREFIX, *tail) for tail in [(30,), (31, 32, 33, 34), (31, 40), (50,), (51,), (52, 53)]]


@dataclass
class Only:
    """Allows the same tokens at every step, in the form that it is given."""

    given: Any
    heard: list[list[int]] = field(default_factory=list)

    def allowed(self, tokens: Sequence[int]) -> Any:
        self.heard.append(list(tokens))
        return self.given


@dataclass
class From:
    """Allows anything at first, and the given tokens from some token on."""

    start: int
    ids: Sequence[int]

    def allowed(self, tokens: Sequence[int]) -> Any:
        return np.array(self.ids) if len(tokens) >= self.start else None


def spell(ids: Any) -> str:
    return "".join(chr(0x4E00 + i) for i in ids)


def tokens(output: Output) -> list[int]:
    return [ord(c) - 0x4E00 for c in output.text]


def found(
    lm: Any,
    requests: Sequence[DecodeRequest],
    sampling: Sampling,
    ends: frozenset[int] = frozenset(),
) -> dict[Any, Output]:
    made = generate(lm, requests, sampling, spell, ends)
    return {(index, output.sample): output for index, output in made}


def held(requests: Sequence[DecodeRequest], mask: Callable[[int], Any]) -> list[DecodeRequest]:
    return [replace(request, mask=mask(request.index)) for request in requests]


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> HFEngine:
    return HFEngine(str(tiny_model), device="cpu").load()


@pytest.mark.parametrize("sampling", WAYS)
def test_a_mask_of_digits_gives_digits(engine: HFEngine, sampling: Sampling) -> None:
    assert isinstance(engine, Constrains) and not isinstance(TableEngine(), Constrains)
    ids = [engine.codec.tokenizer.convert_tokens_to_ids(digit) for digit in "0123456789"]
    truth = np.zeros(engine.vocabulary(), dtype=bool)
    truth[ids] = True
    prompts = [Prompt("Utterance: wake me up at", query_id="a"), Prompt("金曜日", query_id="b")]
    forms = [truth, torch.tensor(truth), np.array(ids[::-1]), torch.tensor(ids)]
    texts = []
    for form in forms:
        made = engine.generate(prompts, sampling, masks=[Only(form), Only(form)])
        texts.append({(i, output.sample): output.text for i, output in made})
    assert all(text.isdigit() and len(text) == 6 for text in texts[0].values())
    assert texts == [texts[0]] * 4, "all forms of a mask say the same"


@pytest.mark.filterwarnings("ignore:.*fast path")
@pytest.mark.parametrize("sampling", WAYS)
def test_rows_without_a_mask_are_as_if_no_row_had_one(
    build: Any, any_config: str, sampling: Sampling
) -> None:
    lm = build(any_config, masks=True)
    requests = [DecodeRequest(i, ids, (), str(i)) for i, ids in enumerate(TEXTS)]
    plain = found(lm, requests, sampling)
    some = found(lm, held(requests, lambda i: Only([60, 61, 62]) if i % 2 else None), sampling)
    assert {set(tokens(out)) <= {60, 61, 62} for (i, _), out in some.items() if i % 2} == {True}
    evens = {key for key in plain if key[0] % 2 == 0}
    assert {key: some[key] for key in evens} == {key: plain[key] for key in evens}
    everything = held(requests, lambda _: Only(np.ones(lm.model.config.vocab_size, dtype=bool)))
    assert found(lm, everything, sampling) == plain, "all tokens allowed changes nothing"
    never = held(requests, lambda _: Only(None))
    assert found(lm, never, sampling) == plain


def test_a_mask_stays_with_its_prompt_while_slots_are_filled_again(build: Any) -> None:
    lm = build("gemma3", masks=True)
    ends = frozenset(range(0, 97, 4))
    requests = [DecodeRequest(i, ids, (), str(i)) for i, ids in enumerate(TEXTS * 2)]
    # Every prompt is held to two tokens of its own, from its third token on; some end before.
    requests = held(requests, lambda i: From(2, [2 * i + 41, 2 * i + 43]) if i % 3 else None)
    options = Sampling(max_tokens=7, temperature=1.0, n=2)
    together = found(lm, requests, options, ends)
    for rows in (1, 2, 3):
        lm.rows = rows
        assert found(lm, requests, options, ends) == together
    later = {key: tokens(output)[2:] for key, output in together.items() if key[0] % 3}
    assert any(later.values())
    for (i, _), drawn in later.items():
        assert set(drawn) <= {2 * i + 41, 2 * i + 43}


def test_a_mask_is_given_the_answer_so_far(build: Any) -> None:
    lm = build("llama")
    mask = Only(np.array([7]))
    found(lm, [DecodeRequest(0, TEXTS[0], (), "0", mask=mask)], Sampling(max_tokens=3))
    assert mask.heard == [[], [7], [7, 7]]


def test_reasoning_is_not_held_to_anything(build: Any) -> None:
    lm = build("llama")
    closing = (70, 71)
    delimiters = Delimiters(spell([69]), spell(closing))
    thinking = ReasoningReader(delimiters, spell, True, 4, closing)
    mask = Only(np.array([7, 8]))
    request = DecodeRequest(0, TEXTS[0], (), "0", thinking)
    free = found(lm, [request], Sampling(max_tokens=10))[0, 0]
    made = found(lm, [replace(request, mask=mask)], Sampling(max_tokens=10))[0, 0]
    assert made.reasoning == free.reasoning and len(str(made.reasoning)) == 4
    assert set(tokens(made)) <= {7, 8} and len(made.text) == 4
    assert mask.heard[0] == [] and [len(heard) for heard in mask.heard] == [0, 1, 2, 3]


@pytest.mark.parametrize("family", ["t5", "uncached"])
def test_an_encoder_decoder_model_is_held_too(family: str) -> None:
    lm = Seq2SeqModel(untied(model_of("t5" if family == "uncached" else family))).inspect()
    lm.cached = family != "uncached"
    lm.never = (22,)
    sources = [tuple(range(4, 10)), tuple(range(20, 40)), (50, 51)]
    requests: list[DecodeRequest] = [
        PairRequest(i, (0,), (), str(i), source=ids) for i, ids in enumerate(sources)
    ]
    for sampling in WAYS:
        plain = found(lm, requests, sampling)
        some = found(lm, held(requests, lambda i: Only([20, 21, 22]) if i == 1 else None), sampling)
        for (i, sample), output in some.items():
            if i == 1:
                assert set(tokens(output)) <= {20, 21}, "what the model never says stays ruled out"
            else:
                assert output == plain[i, sample]
    with pytest.raises(EngineError, match="prompt 1: its mask allows no token behind 0 tokens"):
        found(lm, held(requests, lambda i: Only([22]) if i == 1 else None), WAYS[0])


@pytest.mark.parametrize("sampling", WAYS)
def test_a_mask_that_allows_nothing_is_told(build: Any, sampling: Sampling) -> None:
    requests = [DecodeRequest(0, TEXTS[0], (), "row 7", mask=From(2, []))]
    with pytest.raises(
        EngineError,
        match="prompt row 7: its mask allows no token behind 2 tokens of the answer; allow at "
        "least one, such as the end of the text, or return None for any",
    ):
        found(build("llama"), requests, sampling)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (
            np.ones(6, dtype=bool),
            r"has the shape \(6,\) and holds torch.bool; accepted: bool, at m",
        ),
        (np.ones((1, 5), dtype=bool), r"has the shape \(1, 5\)"),
        (
            np.array([0.5]),
            r"has the shape \(1,\) and holds torch.float64; accepted: bool, at most \(5,\), or tok",
        ),
        ([1, 5], "names the token 5; accepted: 0 to 4"),
        ([-1, 2], "names the token -1; accepted: 0 to 4"),
    ],
)
def test_a_mask_of_another_form_is_refused(given: Any, told: str) -> None:
    with pytest.raises(EngineError, match=f"prompt p: its mask {told}"):
        allowed_ids(given, torch.zeros(5), "p", 0)


def test_a_short_mask_leaves_the_unused_end_of_the_vocabulary_out() -> None:
    assert allowed_ids([True, False, True], torch.zeros(5), "p", 0).tolist() == [0, 2]
    assert allowed_ids([3, 1, 3], torch.zeros(5), "p", 0).tolist() == [1, 3]


def test_masks_and_prompts_are_as_many(engine: HFEngine) -> None:
    with pytest.raises(EngineError, match="there are 1 masks for 2 prompts; give one for each"):
        list(engine.generate([Prompt("a"), Prompt("b")], WAYS[0], masks=[None]))
