"""How a run cuts its rows into batches, and what it says of the work."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import EngineError
from icl.core.types import Prompt
from icl.engines.hf.engine import HFEngine
from icl.engines.table import TableEngine
from icl.experiment.condition import Condition, build
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.experiment.loader import Loader
from icl.reports.tables import render
from icl.running.answer import BATCH_SIZE, MOST_RANKED, plan_batches
from icl.running.run import run
from tests.table_experiment import write


def conditions(file: Path) -> list[Condition]:
    experiment = load_experiment(file)
    loader = Loader(experiment)
    return [build(point, loader) for point in list_points(experiment)]


def tiny(tiny_model: Path) -> dict[str, Any]:
    return {"t": {"source": str(tiny_model), "device": "cpu", "window": 256}}


def sizes(condition: Condition) -> list[int]:
    pending = [condition.request(example) for example in condition.examples]
    return [len(batch) for batch in plan_batches(pending, condition)]


def test_the_file_says_the_size_else_the_engine_else_eight(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert sizes(conditions(write(tmp_path, batch_size=3))[0]) == [3, 3, 3, 1]
    assert sizes(conditions(write(tmp_path, batch_size=None))[0]) == [BATCH_SIZE, 2]
    asked: list[int] = []
    monkeypatch.setattr(HFEngine, "rows", lambda engine, n: asked.append(n) or 4)
    ranked, written, *_ = conditions(write(tmp_path, models=tiny(tiny_model), batch_size=None))
    assert sorted(sizes(ranked)) == sorted(sizes(written)) == [2, 4, 4]
    longest = [max(c.request(e).tokens for e in c.examples) for c in (ranked, written)]
    assert asked == [longest[0], longest[1] + written.sampling.max_tokens]
    monkeypatch.setattr(HFEngine, "rows", lambda engine, n: 64)
    assert max(sizes(ranked)) == 10 <= MOST_RANKED


def test_rows_are_a_power_of_two_that_half_of_the_free_memory_holds(
    tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = HFEngine(str(tiny_model), device="cpu", width="fp32").load()
    config = engine.lm.model.config
    heads = config.num_key_value_heads * (config.hidden_size // config.num_attention_heads)
    token = 2 * 4 * config.num_hidden_layers * heads  # keys and values in float32
    for free, rows in ((2 * 100 * token, 1), (12 * 100 * token, 4), (10**15, 64), (0, 1)):
        monkeypatch.setattr(
            "icl.engines.hf.weights.memory.measure_free_bytes", lambda device, free=free: free
        )
        assert engine.rows(100) == rows


def test_prompts_that_begin_alike_share_a_batch_and_the_longest_comes_first(
    tmp_path: Path,
) -> None:
    ranked, written, *_ = conditions(write(tmp_path, batch_size=4))
    for condition in (ranked, written):
        requests = {e.id: condition.request(e) for e in condition.examples}
        found = plan_batches(list(requests.values()), condition)
        longest = [max(requests[key].tokens for key in batch) for batch in found]
        assert longest == sorted(longest, reverse=True)
    ranked_requests = [ranked.request(example) for example in ranked.examples]
    texts = sorted(request.sent for request in ranked_requests)
    by_id = {request.example.id: request.sent for request in ranked_requests}
    for batch in plan_batches(ranked_requests, ranked):
        first = texts.index(by_id[batch[0]])
        assert [by_id[key] for key in batch] == texts[first : first + len(batch)]


def test_a_run_counts_the_tokens_that_it_computed(tiny_model: Path, tmp_path: Path) -> None:
    done = run(write(tmp_path, models=tiny(tiny_model)), tmp_path / "runs")
    for condition in done.conditions:
        timing = condition.store.timing()
        assert 0 < timing["forwarded"] < timing["tokens"]
        if condition.entry.method == "rank":
            assert timing["unique"] >= timing["forwarded"], "a prefix kept is not forwarded again"
    shown = render(done)
    assert "times shared" in shown and max(map(len, shown.splitlines())) <= 80
    assert "times shared" not in render(run(write(tmp_path), tmp_path / "table"))


def test_a_choice_that_cannot_be_is_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = TableEngine.find_logprob

    def broken(self: TableEngine, prompt: Prompt, choice: str, n_tokens: int) -> float:
        return -math.inf if choice == " weather" else plain(self, prompt, choice, n_tokens)

    monkeypatch.setattr(TableEngine, "find_logprob", broken)
    with pytest.raises(EngineError, match="' weather' the engine gave the log-probability -inf"):
        run(write(tmp_path), tmp_path / "runs")
