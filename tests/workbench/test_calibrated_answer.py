"""One row calibrated in the playground has the numbers of a run."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from icl.core.errors import CalibrationError, ConfigError
from icl.core.probabilities import label_shares
from icl.running.run import run
from icl.workbench.answer import ModelAnswer, rank
from icl.workbench.calibrated_answer import (
    CalibratedAnswer,
    calibrate_answer,
    supported_calibrators,
)
from icl.workbench.workbench import Workbench
from tests.workbench.conftest import screen

ONE_ROW = ["contextual", "per_byte", "per_char", "per_token", "pmi"]


def asked(work: Workbench, name: str = "intent/plain", **changes: Any) -> ModelAnswer:
    condition = work.bind(screen(work, name, **changes)).condition
    return rank(condition, condition.request(condition.examples[0]))


@pytest.mark.parametrize("calibrator", ONE_ROW)
@pytest.mark.parametrize("data", ["samples/intent", "samples/choose"])
def test_the_numbers_are_those_of_icl_run(work: Workbench, calibrator: str, data: str) -> None:
    name, chosen = "intent/plain", calibrator
    if data == "samples/choose":  # its question chooses words, so the content is to be named
        name = "choose/copa"
        if calibrator in ("contextual", "pmi"):
            chosen = f"{{calibrator: {calibrator}, fields: [premise]}}"
    one = screen(work, name, data=data, row=3, k=2, calibrator=chosen)
    condition = work.bind(one).condition
    answer = rank(condition, condition.request(condition.examples[0]))
    made = calibrate_answer(answer, chosen)
    work.write(work.export(one), "same")
    (result,) = run(work.base / "same.yaml", work.base / "runs").conditions
    assert result.entry.fingerprint == condition.fingerprint
    (record,) = result.records.values()
    assert record.logprobs == pytest.approx(answer.record.logprobs, abs=1e-6)
    scores = result.calibrated(calibrator).scores[0]
    assert list(made.scores) == pytest.approx(scores.tolist(), abs=1e-6)
    labels = [choice.label for choice in result.choices(record)]
    shares = dict(zip(labels, label_shares(scores), strict=True))
    assert dict(made.ranking) == pytest.approx(shares, abs=1e-6)
    (prediction,) = result.predictions(calibrator=calibrator)
    assert made.ranking[0][0] == prediction.value
    (note,) = [note for note in result.calibrations if note.name == calibrator]
    assert made.changed == bool(note.changed)
    assert made.extra_prompts == {"contextual": 3, "pmi": 1}.get(calibrator, 0)


def test_what_one_row_cannot_have_is_not_offered_and_says_why(work: Workbench) -> None:
    names, others = supported_calibrators()
    assert names == ONE_ROW
    assert others == {
        "batch": "corrects a row by the other rows",
        "vote_mix": "learns from 50 pool rows",
        "out_of_scope": "learns from 100 pool rows",
    }
    third = {"calibrator": "vote_mix", "weight": 0.3, "name": "third"}
    assert supported_calibrators([third, "batch"])[0] == ["third", *ONE_ROW]
    for chosen, told in (
        ("batch", "batch corrects a row by the other rows, and here is one; write `calibrate: "),
        ("vote_mix", "vote_mix learns from 50 pool rows, and here is one"),
    ):
        with pytest.raises(CalibrationError, match=re.escape(told)):
            calibrate_answer(asked(work, calibrator=chosen), chosen)
    with pytest.raises(ConfigError, match="unknown calibrator 'contextaul'. Did you mean"):
        asked(work, calibrator="contextaul")
    with pytest.raises(CalibrationError, match="pmi: nothing is calibrated here"):
        calibrate_answer(asked(work), "pmi")
    with pytest.raises(CalibrationError, match="name the fields to empty, as in {calibrator: pmi"):
        one = {"data": "samples/choose", "calibrator": "pmi"}
        calibrate_answer(asked(work, "choose/copa", **one), "pmi")
    source = replace(work.sources["samples/intent"])
    work.sources["own"] = replace(source, task={**source.task, "calibrate": [third, "batch"]})
    made = calibrate_answer(asked(work, data="own", calibrator="third"), "third")
    assert made.answer.condition.point.task.calibrate == [third, "batch"]
    assert sum(share for _, share in made.ranking) == pytest.approx(1)


def test_words_say_whether_the_answer_changed(work: Workbench) -> None:
    answer = asked(work, calibrator="per_char")
    labels = [choice.label for choice in answer.request.choices]
    before, other = answer.ranking[0][0], answer.ranking[5][0]
    plain = {label: f"{100 * share:.3g} %" for label, share in answer.ranking}

    def words(won: str, *right: str) -> str:
        row = replace(answer.request.example, targets=right)
        shown = replace(answer, request=replace(answer.request, example=row))
        scores = [0.0 if label == won else -50.0 for label in labels]
        return CalibratedAnswer("x", shown, tuple(scores), ("a note",)).words()

    end = f"{{}} with 100 % instead of {plain[other]}); a note"
    changed = f"x: the answer changes from {before} to {other}"
    assert words(other) == f"{changed} ({end.format(other)}"
    assert words(other, other) == f"{changed}, which is right ({end.format(other)}"
    wrong = f"{changed}, which is wrong; {before} was right ({end.format(other)}"
    assert words(other, before) == wrong
    assert words(before, "a") == (
        f"x: the answer stays ({before} with 100 % instead of {plain[before]}); a note"
    )
