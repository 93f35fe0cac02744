"""Confidence against accuracy: bins and expected calibration error, by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icl import Run, load_run, run
from icl.calibrators import Answers, CalibratedScores, Calibrator
from icl.core.errors import MetricError
from icl.core.stats import score
from icl.scoring.reliability import Bin, ece_stats, reliability
from tests.table_experiment import INTENTS, write

WORDS = {"alarm_set": " set alarm", "play_music": " play music", "weather_query": " weather"}
SHARES = {
    "alarm_set": (0.85, 0.1, 0.05),
    "play_music": (0.75, 0.2, 0.05),
    "weather_query": (0.2, 0.15, 0.65),
}


@pytest.fixture
def done(tmp_path: Path) -> Run:
    """Twelve rows: four sure by .85 and right, four by .75 and wrong, four by .65 and right."""
    answers = {
        f"Say: utterance {n} about {INTENTS[n % 3].split('_')[1]} ✓\nIntent:": {
            text: math.log(p / 2)
            for text, p in zip(WORDS.values(), SHARES[INTENTS[n % 3]], strict=True)
        }
        for n in range(12)
    }
    tasks: list[Any] = json.loads(write(tmp_path).read_text())["tasks"][:1]
    tasks[0]["rows"]["n"] = 12
    models = {"t": {"engine": "table", "answers": answers}}
    file = write(tmp_path, models=models, tasks=tasks, grid={"shots": [0]})
    run(file, tmp_path / "runs")
    return load_run("small", tmp_path / "runs")


def test_bins_and_their_distance_by_hand(done: Run) -> None:
    made = reliability(done.conditions[0])
    # (|4 - 3.4| + |0 - 3| + |4 - 2.6|) / 12 = 5 / 12
    assert made.ece.value == pytest.approx(100 * 5 / 12, abs=1e-4)
    assert made.ece.name == "ece+none" and made.ece.n == 12
    assert made.ece.low is not None and made.ece.high is not None
    assert made.ece.low <= made.ece.value <= made.ece.high
    filled = {one.high: one for one in made.bins if one.n}
    assert sorted(filled) == [70, 80, 90]
    assert [(filled[h].n, filled[h].accuracy) for h in (70, 80, 90)] == [(4, 100), (4, 0), (4, 100)]
    assert filled[80].confidence == pytest.approx(75, abs=1e-4)
    assert made.bins[0] == Bin(0, 10, 0, None, None)


def test_one_bin_is_the_distance_of_the_means(done: Run) -> None:
    # Accuracy 8/12, mean confidence .75.
    made = reliability(done.conditions[0], bins=1)
    assert made.ece.value == pytest.approx(100 * (0.75 - 8 / 12), abs=1e-4)
    with pytest.raises(MetricError, match="bins is 0: give at least 1"):
        reliability(done.conditions[0], bins=0)


def test_after_calibration(done: Run) -> None:
    class Sure(Calibrator):
        name = "sure"

        def calibrate(self, answers: Answers) -> CalibratedScores:
            return CalibratedScores([np.array([0.0, -np.inf, -np.inf])] * len(answers.logprobs))

    made = reliability(done.conditions[0], Sure())
    assert made.bins[-1].n == 12, "a confidence of 1 is in the last bin"
    assert made.ece.value == pytest.approx(100 * 8 / 12)
    assert made.ece.name == "ece+sure"
    named = reliability(done.conditions[0], "batch")
    assert named.ece.name == "ece+batch"
    again = ece_stats(done.conditions[0], done.conditions[0].calibrated("batch"))
    assert score("x", again).value == pytest.approx(named.ece.value)
