from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from icl.core.errors import ChoiceError, EngineError, OutOfMemory, WindowError
from icl.core.types import Prompt
from icl.engines.hf.causal import projection
from icl.engines.hf.causal.forward import CausalModel
from icl.engines.hf.causal.score import group_by_prefix, plan_choices, score_group, score_whole
from icl.engines.hf.engine import HFEngine
from icl.engines.hf.weights.memory import is_out_of_memory

PREFIX = (1, *range(5, 35))
SUFFIXES = [(7, 8, 9), (7, 8), (7,), (7, 8, 11, 12), (3,), (60, 61, 62, 63, 64), (7, 9)]


def test_shared_prefix_scores_equal_the_plain_reference(build: Any, cached_config: Any) -> None:
    lm = build(cached_config)
    assert lm.cached
    assert lm.projection.head is not None, "body and head must be found"
    plain = [score_whole(lm, PREFIX + suffix, len(suffix)) for suffix in SUFFIXES]
    assert score_group(lm, PREFIX, SUFFIXES, 1 << 29) == pytest.approx(plain, abs=1e-4)
    assert score_group(lm, PREFIX, SUFFIXES, 1) == pytest.approx(plain, abs=1e-4)
    assert max(plain) - min(plain) > 0.5, "scores must differ, or the comparison proves nothing"


@pytest.mark.filterwarnings("ignore:.*fast path")
def test_models_without_a_usable_cache_are_forwarded_whole(
    build: Any, uncached_config: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        lm = build(uncached_config)
    assert not lm.cached
    assert "has no KV cache that can be shared" in caplog.text
    # Each on a model that has seen nothing else: dynamic rope must not remember longer texts.
    fresh = [score_whole(build(uncached_config), PREFIX + s, len(s)) for s in SUFFIXES]
    assert score_group(lm, PREFIX, SUFFIXES, 1 << 29) == pytest.approx(fresh, abs=1e-5)


def test_work_is_bounded_by_the_prefix_and_the_unique_rows(build: Any) -> None:
    lm = build("llama")
    score_group(lm, PREFIX, SUFFIXES, 1 << 29)
    # Rows without their last token: (7,8,11), (60..63); (7,8), (7) and () begin others.
    assert lm.work.forwarded_tokens == len(PREFIX) + 2 * 4
    # (), (7), (7,8), (7,8,11), (60), (60,61), (60,61,62), (60..63)
    assert lm.work.projected_positions == 8
    assert lm.work.calls == 2


def test_single_token_choices_need_no_second_forward(build: Any) -> None:
    lm = build("llama")
    score_group(lm, PREFIX, [(3,), (4,), (5,)], 1 << 29)
    assert (lm.work.calls, lm.work.forwarded_tokens) == (1, len(PREFIX))
    assert lm.work.projected_positions == 1


def test_probabilities_of_all_tokens_sum_to_one(
    build: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(projection, "CACHED_CHUNK", 7)
    lm = build("gemma2")
    sums = score_group(lm, PREFIX, [(9, token) for token in range(97)], 1 << 29)
    first = score_group(lm, PREFIX, [(9,)], 1 << 29)[0]
    total = torch.tensor(sums, dtype=torch.float64).logsumexp(0)
    assert float(total) == pytest.approx(first, abs=1e-5)


def test_out_of_memory_halves_the_rows_and_goes_on(
    build: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    lm = build("llama")
    right = score_group(lm, PREFIX, SUFFIXES, 1 << 29)
    states, limit = CausalModel.states, 1

    def short_of_memory(self: CausalModel, ids: Any, *rest: Any, **named: Any) -> Any:
        if len(ids) > limit or limit == 0 and "positions" in named:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 9 bytes")
        return states(self, ids, *rest, **named)

    monkeypatch.setattr(CausalModel, "states", short_of_memory)
    assert score_group(lm, PREFIX, SUFFIXES, 1 << 29) == pytest.approx(right, abs=1e-5)
    assert "out of memory on 2 choices; going on with 1 at a time" in caplog.text
    limit = 0
    with pytest.raises(OutOfMemory, match="out of memory on a prompt of 31 tokens"):
        score_group(lm, PREFIX, SUFFIXES, 1 << 29)


def test_other_errors_are_not_taken_for_memory() -> None:
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))


def test_nan_is_an_error_that_names_the_precision(build: Any) -> None:
    lm = build("llama", own=True)
    lm.model.get_output_embeddings().weight.data.fill_(float("nan"))
    with pytest.raises(EngineError, match=r"NaN in torch.float32; load it with width: fp32 or"):
        score_group(lm, PREFIX, SUFFIXES, 1 << 29)


# (prompt, joined, prefix, suffixes, spanning): hand-made token ids
PLANS = [
    ((1, 5), [(1, 5, 7), (1, 5, 8, 9)], (1, 5), ((7,), (8, 9)), 0),
    ((1, 5, 6), [(1, 5, 67), (1, 5, 6, 8)], (1, 5), ((67,), (6, 8)), 1),
    ((5,), [(57,), (58,)], (0,), ((57,), (58,)), 1),
    ((), [(7,), (8,)], (0,), ((7,), (8,)), 0),
]


@pytest.mark.parametrize(("prompt", "joined", "prefix", "suffixes", "spanning"), PLANS)
def test_plan(prompt: Any, joined: Any, prefix: Any, suffixes: Any, spanning: int) -> None:
    plan = plan_choices(prompt, ["x", "y"], joined, 10, 0)
    assert (plan.prefix, plan.suffixes, plan.spanning) == (prefix, suffixes, spanning)


@pytest.mark.parametrize(
    ("choices", "joined", "start", "error", "message"),
    [
        (["", "b"], [(1, 5), (1, 5, 7)], 0, ChoiceError, r"an empty choice \(''\) has no tokens"),
        (["\u200b", "b"], [(1, 5), (1, 5, 7)], 0, ChoiceError, "adds no token to the prompt"),
        (["a", "a "], [(1, 5, 7)] * 2, 0, ChoiceError, "'a' and 'a ' have the same tokens"),
        (["a"], [(1, 5, *range(9))], 0, WindowError, "'a' have 11 tokens, the window is 10"),
        (["a", "b"], [(2,), (3,)], None, EngineError, "neither BOS nor EOS to put before"),
    ],
)
def test_choices_that_cannot_be_scored(
    choices: Any, joined: Any, start: Any, error: Any, message: str
) -> None:
    with pytest.raises(error, match=message):
        plan_choices((1, 5), choices, joined, 10, start)


def scores(engine: HFEngine, items: Any, plain: bool = False) -> list[Any]:
    found = dict(engine.score_plain(items) if plain else engine.score(items))
    return [found[i] for i in range(len(items))]


def test_engine_scores_any_grouping_alike(tiny_model: Path) -> None:
    engine = HFEngine(str(tiny_model), device="cpu")
    a, b = Prompt("Utterance: wake me up\nIntent:"), Prompt("金曜日の朝\nIntent:")
    again = Prompt(a.text, query_id="another row with the same text")
    items = [(p, c) for c in (" alarm set", " volume set", " الجمعة") for p in (a, b, again)]
    found = scores(engine, items)
    plain = scores(engine, items, plain=True)
    assert [s.logprob for s in found] == pytest.approx([s.logprob for s in plain], abs=1e-4)
    assert found[0] == found[2], "equal texts score equal"
    assert (found[0].chars, found[0].bytes, found[6].bytes) == (10, 10, 13)
    tokenizer = engine.codec.tokenizer
    assert found[0].prompt_tokens == len(tokenizer(a.text)["input_ids"])
    assert found[0].tokens == len(tokenizer(" alarm set", add_special_tokens=False)["input_ids"])


def test_a_space_at_the_end_of_the_prompt_is_a_spanning_token(tiny_model: Path) -> None:
    engine = HFEngine(str(tiny_model), device="cpu")
    prompt = Prompt("Intent: ")
    found = scores(engine, [(prompt, "alarm set"), (prompt, "volume set")])
    assert [s.spanning for s in found] == [1, 1]
    joined = scores(engine, [(p := Prompt("Intent:"), " alarm set"), (p, " volume set")])
    assert [s.logprob for s in found] == pytest.approx([s.logprob for s in joined], abs=1e-5)


def test_rows_that_send_the_same_text_do_not_move_each_others_border() -> None:
    prompt, tokens = (1, 5), {" x": (1, 5, 7), "y": (1, 58), "z": (1, 5, 7), "w": (1, 5, 8)}
    rows = [{" x": [0]}, {" x": [4]}, {"y": [1]}, {"z": [2]}, {"w": [3]}]
    found = group_by_prefix(prompt, rows, tokens)
    assert found == [{" x": [0, 4], "w": [3]}, {"y": [1]}, {"z": [2]}]


def test_a_score_is_the_same_whatever_other_rows_ask_behind_the_same_text(
    tiny_model: Path,
) -> None:
    engine = HFEngine(str(tiny_model), device="cpu")
    texts = ("金曜日", "alarm set", "volume set")
    rows = [(Prompt("Say: ", query_id=text), text) for text in texts]
    alone = [scores(engine, [row])[0] for row in rows]
    assert [one.spanning for one in alone] == [0, 1, 1]
    for found, want in zip(scores(engine, rows), alone, strict=True):
        assert found.logprob == pytest.approx(want.logprob, abs=1e-4)
        assert (found.tokens, found.spanning) == (want.tokens, want.spanning)


def test_equal_prompts_are_one_row(tiny_model: Path) -> None:
    engine = HFEngine(str(tiny_model), device="cpu")
    same = Prompt("Say: ")
    want = scores(engine, [(same, "金曜日"), (same, "alarm set")])
    found = scores(engine, [(Prompt("Say: "), "金曜日"), (Prompt("Say: "), "alarm set")])
    assert [(s.logprob, s.spanning) for s in found] == [(s.logprob, s.spanning) for s in want]
    assert [s.spanning for s in want] == [1, 1]  # alone, the first one has none


def test_engine_refuses_doubled_choices_and_doubled_bos(tiny_model: Path) -> None:
    engine = HFEngine(str(tiny_model), device="cpu")
    prompt = Prompt("Intent:")
    with pytest.raises(ChoiceError, match="choice ' a' is given twice for a prompt; delete one"):
        list(engine.score([(prompt, " a"), (prompt, " a")]))
    with pytest.raises(EngineError, match="begins with '<bos>', which the tokenizer adds anyway"):
        list(engine.score([(Prompt("<bos>Intent:"), " a")]))


def test_the_first_token_counts_when_nothing_stands_before_it(tiny_model: Path) -> None:
    engine = HFEngine(str(tiny_model), device="cpu", bos="never")
    [(_, found)] = engine.score([(Prompt(""), "Utterance")])
    with_bos = HFEngine(str(tiny_model), device="cpu")
    [(_, expected)] = with_bos.score([(Prompt(""), "Utterance")])
    assert found.logprob == pytest.approx(expected.logprob, abs=1e-5)
    assert found.tokens == expected.tokens


def test_the_likeliest_token_over_chunks(build: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lm = build("gemma2")
    ids = torch.tensor([list(range(1, 40))])
    states = lm.states(ids, torch.ones_like(ids, dtype=torch.bool))
    whole = lm.project(states)
    monkeypatch.setattr(projection, "CACHED_CHUNK", 7)
    assert lm.argmax(states) == whole.argmax(-1).tolist()
    assert lm.work.projected_positions == 2 * 39
    twice = projection.Projection()  # of equal logits the first counts, over chunks too
    assert twice.argmax(torch.tensor([[1.0, 3.0, 3.0]])) == [1]
    with pytest.raises(EngineError, match="the model computed NaN in torch.float32"):
        lm.argmax(states * torch.nan)
