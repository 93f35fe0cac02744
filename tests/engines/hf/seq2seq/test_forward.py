"""Token ids in, numbers out: every family against the model's own loss and generation."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from icl.core.errors import EngineError, OutOfMemory
from icl.core.types import Sampling
from icl.engines.hf.causal.decode import generate
from icl.engines.hf.seq2seq import score as seq2seq_scoring
from icl.engines.hf.seq2seq.forward import PairRequest, Seq2SeqModel
from icl.engines.hf.seq2seq.score import PairPlan, score_pair_plain, score_pairs
from tests.engines.pairs import FAMILIES, UNCACHED, model_of, untied

LEAD = (5, 9)
CHOICES = ((20, 21, 22), (20, 21), (20, 31, 32, 33, 34), (40,), (41, 42))
CACHE = 1 << 29


def loaded(family: str) -> Seq2SeqModel:
    return Seq2SeqModel(untied(model_of(family))).inspect()


def plans(lengths: tuple[int, ...] = (12, 30, 7), lead: Any = LEAD) -> list[PairPlan]:
    source = random.Random("sources")
    return [
        PairPlan(lead, CHOICES, 0, n, tuple(source.randrange(4, 100) for _ in range(n)))
        for n in lengths
    ]


def own_loss(model: Any, plan: PairPlan, choice: tuple[int, ...]) -> float:
    """The model's own mean cross-entropy times the tokens of the choice, as a log-likelihood."""
    target = [*plan.prefix, *choice]
    labels = [-100] * (len(plan.prefix) - 1) + list(choice)
    with torch.inference_mode():
        out = model(
            input_ids=torch.tensor([plan.source]),
            attention_mask=torch.ones((1, len(plan.source)), dtype=torch.long),
            decoder_input_ids=torch.tensor([target[:-1]]),
            labels=torch.tensor([labels]),
        )
    return -float(out.loss) * len(choice)


@pytest.mark.parametrize("family", FAMILIES | UNCACHED)
def test_sums_equal_the_models_own_loss(family: str) -> None:
    lm = loaded(family)
    asked = plans()
    found = dict(score_pairs(lm, asked, CACHE))
    assert lm.cached == lm.selects == (family in FAMILIES)
    for place, plan in enumerate(asked):
        expected = [own_loss(lm.model, plan, choice) for choice in CHOICES]
        assert max(expected) - min(expected) > 1
        assert found[place] == pytest.approx(expected, abs=1e-4)
        assert score_pair_plain(lm, plan) == pytest.approx(found[place], abs=1e-4)


def test_a_shape_like_alexatms() -> None:
    model = model_of("alexatm")
    assert (len(model.encoder.block), len(model.decoder.block)) == (46, 32)


@pytest.mark.parametrize("family", ["t5", "bart", "t5gemma"])
def test_a_batch_equals_one_by_one_whatever_the_padding(family: str) -> None:
    lm = loaded(family)
    asked = plans((3, 40, 17, 40, 1))
    together = dict(score_pairs(lm, asked, CACHE))
    for place, plan in enumerate(asked):
        [(_, alone)] = score_pairs(lm, [plan], CACHE)
        assert together[place] == pytest.approx(alone, abs=1e-4)


def test_each_prompt_is_encoded_once_and_each_token_decoded_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lm = loaded("t5")
    monkeypatch.setattr(seq2seq_scoring, "CALL_TOKENS", 0)  # levels cost nothing: the whole tree
    asked = plans((12, 12, 12))
    list(score_pairs(lm, asked, CACHE))
    assert (lm.encoded.calls, lm.encoded.forwarded_tokens) == (1, 36)
    # followed by something: 20, 41; 20 21, 20 31; 20 31 32; 20 31 32 33
    assert lm.work.forwarded_tokens == 3 * (len(LEAD) + 6)
    assert lm.work.projected_positions == 3 * (1 + 6)


def test_few_choices_take_one_call_behind_the_beginning() -> None:
    lm = loaded("t5")
    list(score_pairs(lm, plans((12, 12, 12)), CACHE))
    # rows 20 21, 20 31 32 33 and 41 for every prompt, 4 wide; equal tokens are projected once
    assert lm.work.calls == 2
    assert lm.work.forwarded_tokens == 3 * (len(LEAD) + 3 * 4)
    assert lm.work.projected_positions == 3 * (1 + 6)


def test_prompts_are_encoded_in_bounded_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = loaded("t5")
    monkeypatch.setattr(seq2seq_scoring, "ENCODED_TOKENS", 64)
    asked = plans((30, 8, 30, 8, 8, 70))
    assert len(dict(score_pairs(lm, asked, CACHE))) == 6
    assert lm.encoded.calls == 3  # 70 | 30 30 | 8 8 8: no prompt is padded to a much longer one
    assert lm.encoded.forwarded_tokens == 70 + 60 + 24


@pytest.mark.parametrize("cache_bytes", [1, 3000, 30000])
def test_little_memory_means_smaller_batches_and_the_same_numbers(cache_bytes: int) -> None:
    lm = loaded("bart")
    asked = plans()
    plenty = dict(score_pairs(lm, asked, CACHE))
    calls = lm.work.calls
    little = dict(score_pairs(lm, asked, cache_bytes))
    assert lm.work.calls - calls > calls
    for place in plenty:
        assert little[place] == pytest.approx(plenty[place], abs=1e-4)


def test_out_of_memory_halves_prompts_and_choices(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = loaded("t5")
    asked = plans((12, 30, 7, 9))
    plenty = dict(score_pairs(lm, asked, CACHE))
    encode, decode = lm.encode, lm.decode
    most = {"encode": 2, "decode": 2}

    def small_encode(sources: Any) -> Any:
        if len(sources) > most["encode"]:
            raise torch.OutOfMemoryError
        return encode(sources)

    def small_decode(memory: Any, ids: Any, *args: Any) -> Any:
        if len(ids) > most["decode"]:
            raise torch.OutOfMemoryError
        return decode(memory, ids, *args)

    monkeypatch.setattr(lm, "encode", small_encode)
    monkeypatch.setattr(lm, "decode", small_decode)
    found = dict(score_pairs(lm, asked, CACHE))
    for place in plenty:
        assert found[place] == pytest.approx(plenty[place], abs=1e-4)
    most["decode"] = 0
    with pytest.raises(OutOfMemory, match="out of memory on one of the prompts; use shorter"):
        list(score_pairs(lm, asked, CACHE))


def test_other_errors_are_not_taken_for_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    lm = loaded("t5")

    def broken(sources: Any) -> Any:
        raise RuntimeError("broken")

    monkeypatch.setattr(lm, "encode", broken)
    with pytest.raises(RuntimeError, match="broken"):
        list(score_pairs(lm, plans(), CACHE))


def test_nan_is_an_error() -> None:
    lm = loaded("t5")
    lm.model.lm_head.weight.data[7] = torch.nan
    with pytest.raises(EngineError, match="computed NaN in torch.float32; load it with width"):
        list(score_pairs(lm, plans(), CACHE))


def test_other_beginnings_are_other_groups() -> None:
    lm = loaded("t5")
    asked = [*plans((12, 9), (5, 9)), *plans((12,), (5, 9, 30, 31))]
    found = dict(score_pairs(lm, asked, CACHE))
    for place, plan in enumerate(asked):
        assert found[place] == pytest.approx(score_pair_plain(lm, plan), abs=1e-4)


def spell(ids: Any) -> str:
    return "".join(chr(0x4E00 + i) for i in ids)


@pytest.mark.parametrize("family", FAMILIES | UNCACHED)
def test_greedy_text_equals_that_of_transformers(family: str) -> None:
    lm = loaded(family)
    lm.never = (0,) if family == "marian" else ()  # its config forbids padding
    ends = frozenset({1})
    requests = [
        PairRequest(i, LEAD[:1], (), str(i), source=plan.source)
        for i, plan in enumerate(plans((12, 30, 7)))
    ]
    found = dict(generate(lm, requests, Sampling(max_tokens=10), spell, ends))
    config = lm.model.generation_config
    config.forced_bos_token_id = config.forced_eos_token_id = None
    for i, request in enumerate(requests):
        source = torch.tensor([request.source])
        expected = lm.model.generate(
            source,
            attention_mask=torch.ones_like(source),
            do_sample=False,
            num_beams=1,
            max_new_tokens=10,
            decoder_start_token_id=LEAD[0],
            eos_token_id=1,
            pad_token_id=0,
        )[0, 1:].tolist()
        text = spell(expected[: expected.index(1)] if 1 in expected else expected)
        assert found[i].text == text
    assert len(set("".join(out.text for out in found.values()))) > 1


@pytest.mark.parametrize("family", ["t5", "switch"])
def test_samples_do_not_depend_on_the_batch(family: str) -> None:
    lm = loaded(family)
    requests = [
        PairRequest(i, LEAD, (), str(i), source=plan.source)
        for i, plan in enumerate(plans((12, 30, 7)))
    ]
    sampling = Sampling(max_tokens=6, temperature=1.0, top_p=0.9, n=2, seed=3)
    ends = frozenset({1})
    together = {
        (i, out.sample): out.text for i, out in generate(lm, requests, sampling, spell, ends)
    }
    alone = {
        (i, out.sample): out.text
        for request in requests
        for i, out in generate(lm, [request], sampling, spell, ends)
    }
    assert together == alone
    assert len(set(together.values())) == 6


def test_finished_rows_leave_the_batch() -> None:
    lm = loaded("t5")
    requests = [
        PairRequest(i, LEAD, (), str(i), source=p.source) for i, p in enumerate(plans((12, 9)))
    ]
    free = dict(generate(lm, requests, Sampling(max_tokens=8), spell, frozenset()))
    text = free[0].text
    at = next(place for place, c in enumerate(text) if c not in free[1].text)
    lm.work.forwarded_tokens = 0
    ends = frozenset({ord(text[at]) - 0x4E00})
    found = dict(generate(lm, requests, Sampling(max_tokens=8), spell, ends))
    assert (found[0].text, found[0].finish, found[1]) == (text[:at], "end", free[1])
    assert lm.work.forwarded_tokens == 2 * len(LEAD) + 2 * at + (7 - at)
