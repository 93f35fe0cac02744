"""AUROC of rows out of scope: by hand, its interval, and in a run from the file to the score."""

from __future__ import annotations

import contextlib
import json
import math
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from icl.records.results import load_run
from icl.running.run import run
from icl.scoring.scope import score_auroc
from icl.scoring.scores import score_run


@pytest.mark.parametrize(
    ("confidence", "outside", "area"),
    [
        ([-3, -2, -1], [True, True, False], 100),
        ([-3, -2, -1], [False, False, True], 0),
        ([-1, -1], [True, False], 50),
        ([-4, -2, -3, -1], [True, True, False, False], 75),  # three of four pairs
        ([-1, -2], [True, True], None),
        ([], [], None),
    ],
)
def test_by_hand(confidence: list[float], outside: list[bool], area: float | None) -> None:
    assert score_auroc("x", np.array(confidence, dtype=float), outside).value == area


def test_the_interval_holds_as_often_as_it_says() -> None:
    # Two normal distributions one standard deviation apart have the area Phi(1/sqrt 2) = 76.02.
    true, hits = 50 * (1 + math.erf(0.5)), 0
    for seed in range(300):
        draw = random.Random(seed)
        outside = [n < 20 for n in range(60)]
        values = np.array([draw.gauss(0 if out else 1, 1) for out in outside])
        made = score_auroc("x", values, outside)
        assert made.low is not None and made.high is not None
        hits += made.low <= true <= made.high
    assert 0.92 <= hits / 300 <= 0.98


def test_few_rows_of_one_kind_have_no_interval() -> None:
    made = score_auroc("x", np.arange(30.0), [n < 9 for n in range(30)])
    assert made.low is None and made.signature.endswith("none (needs 10 rows of each kind)")


def test_from_the_file_to_the_score(tmp_path: Path) -> None:
    test = [("r0", "a"), ("r1", "b"), ("r2", "oos"), ("r3", "oos")]
    rows = [{"id": name, "text": name, "intent": gold, "split": "test"} for name, gold in test]
    rows += [
        {"id": f"p{n}", "text": f"p{n}", "intent": "ab"[n % 2], "split": "train"} for n in range(4)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    head = '---\ntask: classify\nlabel_field: intent\nstop: ["\\n"]\n---\n'
    (tmp_path / "t.j2").write_text(head + "[[example]]\n{{ text }}:||| {{ label }}\n")
    sure = {"r0": (-0.1, -3), "r1": (-3, -0.1), "r2": (-1, -1), "r3": (-0.1, -3)}
    sure |= {f"p{n}": (-0.1, -2.2) for n in range(4)}
    answers = {f"{name}:": {" a": a, " b": b, " oos": -9.0} for name, (a, b) in sure.items()}
    experiment: dict[str, Any] = {
        "name": "scope",
        "models": {"t": {"engine": "table", "answers": answers}},
        "data": {"rows": {"path": "rows.jsonl", "answer": "intent"}},
        "tasks": [
            {
                "task": "intent",
                "prompt": "t.j2",
                "rows": {"data": "rows", "split": "test"},
                "pool": {"split": "train"},
                "metrics": ["accuracy", "in_scope_accuracy", "oos_recall", "oos_precision"],
                "calibrate": [{"calibrator": "out_of_scope", "reject": 0.0}],
            }
        ],
        "grid": {"shots": [{"k": 1, "select": "random"}]},
    }
    (tmp_path / "scope.yaml").write_text(json.dumps(experiment))
    with contextlib.chdir(tmp_path):
        run("scope.yaml", tmp_path / "runs")
        (done,) = score_run(load_run("scope", tmp_path / "runs")).conditions
    found = {one.name: one.value for one in done.scores}
    assert found["oos_recall"] == 0 and found["in_scope_accuracy"] == 100
    assert found["oos_recall+out_of_scope"] == 50 and found["oos_precision+out_of_scope"] == 100
    assert found["in_scope_accuracy+out_of_scope"] == 100
    # r2 is below both rows in scope; r3 is as sure as they are: half of two pairs.
    assert found["oos_auroc+out_of_scope"] == 75
    (signature,) = {s.signature for s in done.scores if s.name == "oos_auroc+out_of_scope"}
    assert "label:oos|by:share|reject:0.0" in signature and "pool=4" in signature
