from __future__ import annotations

import math
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LogitsProcessorList, MinPLogitsWarper, TopKLogitsWarper, TopPLogitsWarper

from icl.core.errors import EngineError, OutOfMemory, WindowError
from icl.core.types import Output, Prompt, Sampling
from icl.engines.hf.causal.decode import DecodeRequest, generate, make_random, pick
from icl.engines.hf.causal.forward import CausalModel
from icl.engines.hf.engine import HFEngine

PROMPTS = [
    Prompt("Utterance: wake me up at nine\nIntent:"),
    Prompt("金曜日"),
    Prompt("matukio ya leo katika kalenda yangu, na mengine mengi zaidi ya hayo yote"),
    Prompt("a"),
]


@pytest.fixture(scope="module")
def engine(tiny_model: Path) -> HFEngine:
    return HFEngine(str(tiny_model), device="cpu").load()


def outputs(engine: HFEngine, prompts: list[Prompt], **options: Any) -> dict[Any, Output]:
    found = engine.generate(prompts, Sampling(**options))
    return {(index, out.sample): out for index, out in found}


def spell(ids: Any) -> str:
    return "".join(chr(0x4E00 + i) for i in ids)


APART = [(1, *range(5, 25)), (1, 9, 30), (1, *range(40, 52)), (2,)]
SHARED = [(1, *range(5, 25), *tail) for tail in [(30,), (31, 32, 33, 34, 35, 36), (31, 40), (50,)]]


@pytest.mark.filterwarnings("ignore:.*fast path")
@pytest.mark.parametrize("texts", [APART, SHARED], ids=["apart", "shared"])
def test_batch_equals_the_greedy_choice_of_plain_forward_passes(
    build: Any, any_config: str, texts: list[tuple[int, ...]]
) -> None:
    lm = build(any_config, masks=True)
    requests = [DecodeRequest(i, ids, (), str(i)) for i, ids in enumerate(texts)]
    found = dict(generate(lm, requests, Sampling(max_tokens=10), spell, frozenset({3})))
    for i, ids in enumerate(texts):
        grown = list(ids)
        with torch.inference_mode():
            for _ in range(10):
                lm.forget_lengths()
                logits = lm.model(input_ids=torch.tensor([grown]), use_cache=False).logits
                grown.append(int(logits[0, -1].argmax()))
                if grown[-1] == 3:
                    break
        expected = [token for token in grown[len(ids) :] if token != 3]
        assert found[i].text == spell(expected)
        assert found[i].output_tokens == len(expected)


def test_a_shared_prefix_is_forwarded_once_and_kept(build: Any) -> None:
    lm = build("llama", masks=True)
    requests = [DecodeRequest(i, ids, (), str(i)) for i, ids in enumerate(SHARED)]
    first = dict(generate(lm, requests, Sampling(max_tokens=1), spell, frozenset()))
    tails = 6 + 2 + 1 + 1  # lengths differ too much to stand in one pass, padded to six
    assert lm.work.forwarded_tokens == 21 + tails
    again = dict(generate(lm, requests, Sampling(max_tokens=1), spell, frozenset()))
    assert again == first
    assert lm.work.forwarded_tokens == 21 + 2 * tails
    options = Sampling(max_tokens=6, temperature=1.0, n=3)
    drawn = {(i, o.sample): o.text for i, o in generate(lm, requests, options, spell, frozenset())}
    lm.masks = None
    plain = {(i, o.sample): o.text for i, o in generate(lm, requests, options, spell, frozenset())}
    assert drawn == plain


@pytest.mark.filterwarnings("ignore:.*fast path")
@pytest.mark.parametrize("rows", [1, 2, 3])
def test_waiting_prompts_join_when_rows_end(build: Any, any_config: str, rows: int) -> None:
    lm = build(any_config, masks=True)
    texts = [*SHARED, *(ids[:-1] + (60, 61) for ids in SHARED)]
    requests = [DecodeRequest(i, ids, (), str(i)) for i, ids in enumerate(texts)]
    ends = frozenset(range(0, 97, 4))  # rows end at different times
    options = Sampling(max_tokens=9, temperature=1.0, n=2)

    def outputs() -> dict[Any, Output]:
        found = generate(lm, requests, options, spell, ends)
        return {(i, out.sample): out for i, out in found}

    together = outputs()
    assert len({out.output_tokens for out in together.values()}) > 2
    lm.rows = rows
    assert outputs() == together


def test_rows_that_end_are_not_forwarded_and_slots_are_filled_again(build: Any) -> None:
    lm = build("gemma3", masks=True)
    lm.rows = 2
    widths: list[int] = []
    states = lm.states
    lm.states = lambda ids, *rest: widths.append(ids.shape[0]) or states(ids, *rest)
    requests = [DecodeRequest(i, ids, (), str(i)) for i, ids in enumerate(SHARED * 2)]
    found = dict(generate(lm, requests, Sampling(max_tokens=4), spell, frozenset()))
    assert [found[i].output_tokens for i in range(8)] == [4] * 8
    # the prefix once; then a prompt pass of two rows and three steps of two rows, four times
    assert widths == [1] + [2, 2, 2, 2] * 4
    assert found[0] == found[4]


def test_greedy_equals_generate_of_transformers(engine: HFEngine) -> None:
    found = outputs(engine, PROMPTS, max_tokens=20)
    for i, prompt in enumerate(PROMPTS):
        ids = engine.codec.tokenizer(prompt.text, return_tensors="pt")
        with torch.inference_mode():
            grown = engine.lm.model.generate(
                **ids, max_new_tokens=20, do_sample=False, pad_token_id=1
            )
        new = grown[0, ids["input_ids"].shape[1] :].tolist()
        assert found[i, 0].text == engine.codec.decode(new).rstrip("\ufffd")
        assert found[i, 0].finish == ("end" if new[-1] == 1 else "length")


def test_order_and_batch_do_not_change_outputs(engine: HFEngine) -> None:
    options = {"max_tokens": 12, "temperature": 1.0, "n": 2, "seed": 3}
    prompts = [Prompt(p.text, query_id=f"row{i}") for i, p in enumerate(PROMPTS)]
    together = outputs(engine, prompts, **options)
    backwards = outputs(engine, prompts[::-1], **options)
    for i, prompt in enumerate(prompts):
        alone = outputs(engine, [prompt], **options)
        for sample in (0, 1):
            text = together[i, sample].text
            assert text == backwards[3 - i, sample].text == alone[0, sample].text
    assert together[0, 0].text != together[0, 1].text
    assert together != outputs(engine, prompts, **options | {"seed": 4})


def test_sampling_leaves_the_global_generator_alone(engine: HFEngine) -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    outputs(engine, PROMPTS, max_tokens=3, temperature=1.0, top_p=0.9, min_p=0.01)
    assert torch.equal(before, torch.get_rng_state())
    assert torch.get_num_threads() == threads
    assert torch.is_inference_mode_enabled() is False


def test_finished_rows_leave_and_come_first(engine: HFEngine) -> None:
    first = outputs(engine, PROMPTS[:1], max_tokens=20)[0, 0].text
    stop = first[3:5]
    prompts = [Prompt(PROMPTS[0].text, stop=(stop,)), PROMPTS[2]]
    engine.lm.work.forwarded_tokens = 0
    found = list(engine.generate(prompts[::-1], Sampling(max_tokens=20)))
    assert [index for index, _ in found] == [1, 0]
    assert found[0][1].text == first[: first.find(stop)]
    assert found[0][1].finish == "stop"
    width = max(len(engine.tokens(prompt)) for prompt in prompts)
    assert engine.lm.work.forwarded_tokens < 2 * width + 2 * 19


def test_deltas_join_to_the_output(engine: HFEngine) -> None:
    heard: dict[int, list[str]] = {i: [] for i in range(4)}
    plain = outputs(engine, PROMPTS, max_tokens=30, temperature=1.5)
    stop = plain[2, 0].text[4:6]
    found = engine.generate(
        PROMPTS,
        Sampling(max_tokens=30, temperature=1.5, stop=(stop,), n=2),
        lambda index, text: heard[index].append(text),
    )
    texts = {(index, out.sample): out.text for index, out in found}
    assert {i: "".join(parts) for i, parts in heard.items()} == {i: texts[i, 0] for i in range(4)}
    assert any(len(parts) > 3 for parts in heard.values())


def test_cancelled_rows_give_what_they_have(engine: HFEngine) -> None:
    stop = threading.Event()
    heard: list[str] = []

    def listen(index: int, text: str) -> None:
        heard.append(text)
        if len(heard) == 3:
            stop.set()

    [(_, output)] = engine.generate(PROMPTS[:1], Sampling(max_tokens=100), listen, stop)
    assert output.finish == "cancelled"
    assert "".join(heard) == output.text
    assert 3 <= output.output_tokens < 100
    [(_, output)] = engine.generate(PROMPTS[:1], Sampling(), stop=stop)
    assert (output.finish, output.text, output.output_tokens) == ("cancelled", "", 0)


def test_window_and_settings_are_checked(engine: HFEngine) -> None:
    long = Prompt("wake " * 200, query_id="r7")
    with pytest.raises(WindowError, match=r"prompt 'r7' has \d+ tokens, which with max_tokens 64"):
        list(engine.generate([long], Sampling()))
    for setting, message in [
        ({"n": 2}, "sampling n is 2 with temperature 0, which gives the same output"),
        ({"max_tokens": 0}, "sampling max_tokens is 0; accepted: 1 or more"),
        ({"temperature": -1.0}, r"sampling temperature is -1.0; accepted: 0 \(greedy\) or more"),
        ({"top_p": 0.0}, "sampling top_p is 0.0; accepted: above 0"),
    ]:
        with pytest.raises(EngineError, match=message):
            list(engine.generate(PROMPTS, Sampling(**setting)))
    assert list(engine.generate([], Sampling())) == []


def test_out_of_memory_is_told(engine: HFEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **named: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr(CausalModel, "states", fail)
    with pytest.raises(OutOfMemory, match="out of memory on a batch of 4 prompts; use fewer rows"):
        list(engine.generate(PROMPTS, Sampling()))


@pytest.mark.parametrize(
    ("options", "warpers"),
    [
        ({"top_k": 5}, [TopKLogitsWarper(5)]),
        ({"top_p": 0.7}, [TopPLogitsWarper(0.7)]),
        ({"min_p": 0.2}, [MinPLogitsWarper(0.2)]),
        ({"top_k": 20, "top_p": 0.6}, [TopKLogitsWarper(20), TopPLogitsWarper(0.6)]),
        ({}, []),
    ],
)
def test_draws_follow_the_warped_distribution_of_transformers(options: Any, warpers: Any) -> None:
    logits = torch.randn(50, generator=torch.Generator().manual_seed(0)) * 2
    temperature, n = 0.8, 4000
    expected = LogitsProcessorList(warpers)(None, logits[None] / temperature)[0].softmax(-1)
    random = make_random(0, "x", 0)
    sampling = Sampling(temperature=temperature, **options)
    counts = torch.zeros(50)
    for _ in range(n):
        counts[pick(logits, sampling, random)] += 1
    assert not counts[expected == 0].any(), "a token was drawn that must not be"
    # Five standard deviations of a share of n draws, and two draws for the rarest.
    assert (
        (counts / n - expected).abs() <= 5 * (expected * (1 - expected) / n).sqrt() + 2 / n
    ).all()


def test_random_numbers_depend_on_seed_row_and_sample_alone() -> None:
    def first(*name: Any) -> float:
        return float(torch.rand((), generator=make_random(*name)))

    assert first(0, "a", 0) == first(0, "a", 0)
    assert len({first(0, "a", 0), first(1, "a", 0), first(0, "b", 0), first(0, "a", 1)}) == 4


@pytest.mark.parametrize(
    ("options", "warpers"),
    [
        ({"top_k": 2}, [TopKLogitsWarper(2)]),
        ({"top_p": 0.5}, [TopPLogitsWarper(0.5)]),
        ({"top_p": 0.01}, [TopPLogitsWarper(0.01)]),
        ({"min_p": 1.0}, [MinPLogitsWarper(1.0)]),
        ({"top_k": 4, "top_p": 0.5}, [TopKLogitsWarper(4), TopPLogitsWarper(0.5)]),
    ],
)
def test_equal_logits_are_kept_as_transformers_keeps_them(options: Any, warpers: Any) -> None:
    for values in ([1.0, 1.0, 1.0, 1.0], [0.0, 2.0, 1.0, 2.0, 2.0, 1.0, 2.0], [3.0, 0.0, 0.0, 0.0]):
        logits = torch.tensor(values)
        kept = LogitsProcessorList(warpers)(None, logits[None])[0] > -torch.inf
        random = make_random(0, "x", 0)
        sampling = Sampling(temperature=1.0, **options)
        drawn = {pick(logits, sampling, random) for _ in range(200)}
        assert drawn == set(kept.nonzero().flatten().tolist())


def test_an_infinite_temperature_is_refused(engine: HFEngine) -> None:
    for value in (math.inf, math.nan):
        with pytest.raises(EngineError, match=r"temperature is .*; accepted: 0 \(greedy\) or more"):
            list(engine.generate([Prompt("a")], Sampling(temperature=value)))
