"""The calibrated answer to one row, to be shown next to the uncalibrated ranking.

The numbers equal those of ``icl run`` with the calibrator under ``calibrate:``; the additional
prompts that it needs are scored at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from icl.calibrators import Calibrator, make_calibrator
from icl.core.errors import CalibrationError, ConfigError
from icl.core.number_text import format_percent
from icl.core.probabilities import label_shares
from icl.core.registry import names
from icl.engines.protocol import Engine
from icl.experiment.request import Request
from icl.records.calibrated import apply_calibrator, collect_answers
from icl.running.work import Requests, list_calibrators, make_row_probes
from icl.scoring.scores import parse_calibrator_entry
from icl.workbench.answer import ModelAnswer, choice_scores

__all__ = ["CalibratedAnswer", "supported_calibrators", "calibrate_answer", "refusal_reason"]


Entry = str | Mapping[str, Any]


@dataclass(frozen=True)
class CalibratedAnswer:
    """The ranking of one answer after calibration."""

    name: str
    answer: ModelAnswer
    """The uncalibrated answer."""
    scores: tuple[float, ...]
    """Score of each choice; the highest wins, of equal ones the first."""
    notes: tuple[str, ...] = ()
    """Values fitted to data, and warnings where an assumption does not hold."""
    extra_prompts: int = 0
    """Number of prompts scored in addition to the row's."""

    @property
    def ranking(self) -> list[tuple[str, float]]:
        """(label, share of the calibrated probability), most probable first."""
        labels = [choice.label for choice in self.answer.request.choices]
        rows = zip(labels, self.scores, label_shares(self.scores), strict=True)
        ordered = sorted(rows, key=lambda row: -row[1])
        return [(label, share) for label, _, share in ordered]

    @property
    def changed(self) -> bool:
        """Return whether calibration changed the answer."""
        return self.ranking[0][0] != self.answer.prediction.value

    def words(self) -> str:
        """Describe whether calibration changed the answer, and whether for the better."""
        (best, share), before = self.ranking[0], self.answer.prediction.value
        plain = dict(self.answer.ranking)[best]
        said = f"{best} with {format_percent(share)} instead of {format_percent(plain)}"
        if not self.changed:
            verdict = "the answer stays"
        else:
            right = {True: ", which is right", False: ", which is wrong", None: ""}
            verdict = f"the answer changes from {before} to {best}{right[self._right(best)]}"
            if self._right(before):
                verdict += f"; {before} was right"
        return "; ".join([f"{self.name}: {verdict} ({said})", *self.notes])

    def _right(self, label: str | None) -> bool | None:
        targets = self.answer.targets
        return label in targets if targets else None


def refusal_reason(calibrator: Calibrator) -> str | None:
    """Return why a calibrator cannot be applied to a single row; None if it can."""
    if calibrator.compares_rows:
        return "corrects a row by the other rows"
    if calibrator.pool_rows:
        return f"learns from {calibrator.pool_rows} pool rows"
    return None


def supported_calibrators(entries: Sequence[Entry] = ()) -> tuple[list[str], dict[str, str]]:
    """List the calibrators that work on one row, and the others with the reason why they do not.

    Args:
        entries: the experiment's entries under ``calibrate:``; they come first.

    >>> supported_calibrators()[0]
    ['contextual', 'per_byte', 'per_char', 'per_token', 'pmi']
    >>> supported_calibrators()[1]["batch"]
    'corrects a row by the other rows'
    >>> supported_calibrators([{"calibrator": "vote_mix", "weight": 0.3}])[0][0]
    'vote_mix'
    """
    found: list[str] = []
    others: dict[str, str] = {}
    for entry in [*entries, *names("calibrator")]:
        try:
            name, calibrator = make_calibrator(entry)
        except ConfigError as error:  # one of a stranger's that has to be given options
            others.setdefault(str(entry), str(error))
            continue
        if name == "none" or name in found:
            continue
        reason = refusal_reason(calibrator)
        if reason is None:
            found.append(name)
            others.pop(name, None)
        else:
            others.setdefault(name, reason)
    return found, others


def calibrate_answer(answer: ModelAnswer, chosen: str) -> CalibratedAnswer:
    """Calibrate an answer with one of its condition's calibrators; score the prompts that it needs.

    Args:
        answer: the answer of a ranking.
        chosen: value of :attr:`icl.workbench.screen.Screen.calibrator`.

    Raises:
        CalibrationError: it needs more than one row, refuses this one, or nothing was ranked.
        EngineError: the engine cannot score a prompt.
    """
    condition, request = answer.condition, answer.request
    entry = parse_calibrator_entry(chosen)
    name = entry if isinstance(entry, str) else make_calibrator(entry)[0]
    if condition.task.kind.gold == "set":
        raise CalibrationError(
            f"{name}: it corrects which label is the best one, and the answer is a set of labels; "
            "choose no calibration"
        )
    known = list_calibrators(condition)
    if name not in known:
        raise CalibrationError(
            f"{name}: nothing is calibrated here, since this model's labels are not ranked each; "
            "choose no calibration"
        )
    used = known[name]
    reason = refusal_reason(used)
    if reason is not None:
        raise CalibrationError(
            f"{name} {reason}, and here is one; write `calibrate: [{name}]` into the experiment's "
            "task and run it"
        )
    found: dict[str, Requests] = {}
    wanted = make_row_probes(condition, name, used, request, found)
    probed = _score_probes(condition.engine, found)
    answers = replace(
        collect_answers([answer.record], request.choices, ()),
        probes=[[np.array(probed[probe.hash]) for probe in wanted]],
        pool_labels=condition.labels,
    )
    made = apply_calibrator(used, answers, [answer.record.id])
    notes = (*([f"chosen on data: {made.fitted}"] if made.fitted else []), *made.warnings)
    return CalibratedAnswer(name, answer, tuple(made.scores[0].tolist()), notes, len(probed))


def _score_probes(engine: Engine, found: Mapping[str, Requests]) -> dict[str, list[float]]:
    """Score all probes, in one batch for each role; return request hash -> log-probabilities."""
    made: dict[str, list[float]] = {}
    for probes in found.values():
        requests: list[Request] = list(probes.values())
        scores = iter(
            choice_scores(engine, [item for request in requests for item in request.items])
        )
        for request in requests:
            made[request.hash] = [next(scores).logprob for _ in request.choices]
    return made
