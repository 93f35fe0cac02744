"""Objectives by hand, and the optimism of a choice on a published example."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from icl import run
from icl.core.errors import ConfigError, MetricError
from icl.core.stats import proportion, score
from icl.running.search.objective import gold_logprob, make_objective
from icl.running.search.outcome import measure_optimism
from tests.table_experiment import write


def answered(folder: Path, shares: dict[str, float]) -> object:
    """A run in which each choice has that share of e^-7, whatever the row."""
    file = write(folder)
    raw = json.loads(file.read_text())
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    logprobs = {choice: math.log(share) - 7 for choice, share in shares.items()}
    raw["models"]["t"]["answers"] = {f"Say: {row['utt']}\nIntent:": logprobs for row in rows}
    raw["tasks"], raw["grid"] = raw["tasks"][:1], {"shots": [0]}
    file.write_text(json.dumps(raw))
    return run(file, folder / "runs").conditions[0]


def test_gold_logprob_is_normalised_over_the_choices(tmp_path: Path) -> None:
    shares = {" set alarm": 0.5, " play music": 0.3, " weather": 0.2}
    result = answered(tmp_path, shares)
    gold = {"alarm_set": 0.5, "play_music": 0.3, "weather_query": 0.2}
    wanted = [math.log(gold[example.targets[0]]) for example in result.examples]  # type: ignore[attr-defined]
    stats = gold_logprob(result)  # type: ignore[arg-type]
    assert stats.rows[:, 0] == pytest.approx(wanted)
    made = score("gold_logprob", stats)
    assert made.value == pytest.approx(sum(wanted) / 10)
    assert made.low is not None and made.high is not None
    assert made.low < sum(wanted) / 10 < made.high
    assert made.signature == "gold_logprob|normalised:choices|unit:nat|ci:jackknife-t"


def test_gold_logprob_needs_a_right_answer(tmp_path: Path) -> None:
    result = answered(tmp_path, {" set alarm": 0.5, " play music": 0.3, " weather": 0.2})
    rows = [replace(row, targets=()) for row in result.examples]  # type: ignore[attr-defined]
    vars(result)["examples"] = rows
    with pytest.raises(MetricError, match="has none: search on rows with gold answers"):
        gold_logprob(result)  # type: ignore[arg-type]


def test_ter_is_better_where_it_is_lower() -> None:
    assert make_objective("ter", "generate").sign == -1
    assert make_objective({"metric": "chrf", "word_order": 0}, "generate").sign == 1
    with pytest.raises(ConfigError, match="best neither high nor low"):
        make_objective("length_ratio", "generate")
    with pytest.raises(ConfigError, match="judge is a judge, which only `icl run` can use"):
        make_objective({"judge": {"model": "big"}}, "generate")


def test_optimism_has_newcombes_interval() -> None:
    # Newcombe 1998, Statistics in Medicine 17:873-890, table II (a): 56/70 - 48/80, method 10.
    dev = score("accuracy", proportion([True] * 56 + [False] * 14, "accuracy"))
    test = score("accuracy", proportion([True] * 48 + [False] * 32, "accuracy"))
    made = measure_optimism(dev, test, 1)
    assert made is not None and made.low is not None and made.high is not None
    assert (made.value, made.low, made.high) == pytest.approx((20.0, 5.24, 33.39), abs=0.005)
    turned = measure_optimism(dev, test, -1)  # of an error rate a lower value is the flattering one
    assert turned is not None and turned.low is not None and turned.high is not None
    assert (turned.value, turned.low, turned.high) == pytest.approx((-20, -33.39, -5.24), abs=0.005)
