"""Calibrated scores of every choice, computed from a condition's records without a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from icl.calibrators import Answers, CalibratedScores, Calibrator
from icl.core.errors import CalibrationError
from icl.core.types import Choice, Example, Record, Role
from icl.experiment.calibration_prompts import PROBE_ROLES, identify_shot, make_probes, sample_pool
from icl.prompts.template import restore
from icl.records.manifest import Pool
from icl.records.store import ConditionStore

__all__ = ["Calibration", "CalibrationRecords", "collect_answers", "apply_calibrator", "calibrate"]


@dataclass(frozen=True)
class Calibration:
    """The summary of one calibrator applied to one condition, besides its scores."""

    name: str
    """The part of a score's name after the ``+``."""
    entry: Mapping[str, Any]
    """The calibrator's entry under ``calibrate:``, including ``calibrator``."""
    changed: int = 0
    """Rows whose answer differs from the uncalibrated one."""
    tied: int = 0
    """Rows in which several choices share the highest score; the first of them is taken."""
    fitted: str = ""
    """The values that were fitted to data, as text."""
    notes: tuple[str, ...] = ()
    """Warnings where an assumption of the calibrator does not hold."""
    refused: str | None = None
    """Reason why there are no scores; None if there are."""


@dataclass(frozen=True)
class CalibrationRecords:
    """The parts of a condition that a calibrator may read."""

    store: ConditionStore
    records: Sequence[Record]
    pool: Pool
    """Size and labels of the pool, from the manifest."""

    def beside(self, role: Role) -> ConditionStore:
        """Return the store of the probes of a role."""
        return self.store.beside(role)


def calibrate(calibrator: Calibrator, shelf: CalibrationRecords) -> CalibratedScores:
    """Compute the calibrated scores of the choices of every record.

    Returns:
        A row of scores for each record, in the records' order.

    Raises:
        CalibrationError: there are no records, probes are missing (the message says how to compute
            them), the choices were not ranked, or the calibrator refuses them.
    """
    if not shelf.records:
        raise CalibrationError("there are no records")
    store = shelf.store
    answers = collect_answers(shelf.records, store.choices(), store.choice_tokens())
    probes = _probed(calibrator, shelf)
    pool = _pool(calibrator, shelf) if calibrator.pool_rows and any(answers.votes) else None
    given = replace(answers, probes=probes, pool=pool, pool_labels=shelf.pool.labels)
    return apply_calibrator(calibrator, given, [record.id for record in shelf.records])


def apply_calibrator(
    calibrator: Calibrator, answers: Answers, ids: Sequence[str]
) -> CalibratedScores:
    """Run a calibrator, and check that it returns a row of numbers for each answer.

    Raises:
        CalibrationError: the calibrator refuses the answers, a row is missing, or a row holds NaN
            or no finite maximum.
    """
    made = calibrator.calibrate(answers)
    if len(made.scores) != len(ids):
        raise CalibrationError(
            f"{calibrator.name} gave {len(made.scores)} rows of scores for {len(ids)}"
        )
    for name, row in zip(ids, made.scores, strict=True):
        if np.isnan(row).any() or not np.isfinite(row.max()):
            raise CalibrationError(f"{calibrator.name} gave no number for example {name!r}")
    return made


def collect_answers(
    records: Sequence[Record], choices: Sequence[Choice], usual: Sequence[int]
) -> Answers:
    """Convert records to the form that calibrators read, without probes and pool.

    Args:
        records: records of ranked choices.
        choices: the choices that all records share; a record's own take precedence.
        usual: token counts of the shared choices, for records without their own counts.

    Raises:
        CalibrationError: the choices of a record were generated, not ranked.
    """
    if not all(record.logprobs for record in records):
        raise CalibrationError(
            "the choices were generated, not ranked, so there are no log-probabilities to calibrate"
        )
    own = [record.choices or tuple(choices) for record in records]
    return Answers(
        logprobs=[np.array(record.logprobs) for record in records],
        labels=[tuple(choice.label for choice in row) for row in own],
        texts=[tuple(choice.text for choice in row) for row in own],
        tokens=[record.choice_tokens or tuple(usual) for record in records],
        votes=[tuple(label for _, label, _ in r.shots if label is not None) for r in records],
        shared=not any(record.choices for record in records),
    )


def _probed(calibrator: Calibrator, shelf: CalibrationRecords) -> list[list[Any]]:
    """Read the log-probabilities of each row's probes, in the order in which they are rendered."""
    about = shelf.store.condition()
    template, examples = restore(about.template), shelf.store.examples()
    drawn = about.identity.label_draw
    wanted = [
        make_probes(
            calibrator,
            template,
            examples[record.id],
            [identify_shot(name, label if drawn else None) for name, label, _ in record.shots],
            record.choices,
        )
        for record in shelf.records
    ]
    roles = dict.fromkeys(probe.role for row in wanted for probe in row)
    found = {role: shelf.beside(role).complete_records() for role in roles}
    for role in roles:
        names = {probe.example.id for row in wanted for probe in row if probe.role == role}
        _complete(calibrator, role, len(names), len(names & {*found[role]}))
    return [
        [np.array(found[probe.role][probe.example.id].logprobs) for probe in row] for row in wanted
    ]


def _pool(calibrator: Calibrator, shelf: CalibrationRecords) -> Answers:
    """Read the answers to the sampled pool rows, with their right answers."""
    store = shelf.beside("pool")
    found, examples = store.complete_records(), store.examples()
    rows: list[Example] = sample_pool(calibrator, [examples[name] for name in found])
    _complete(calibrator, "pool", min(calibrator.pool_rows, shelf.pool.answered), len(rows))
    there = [found[row.id] for row in rows]
    answers = collect_answers(there, store.choices(), store.choice_tokens())
    return replace(answers, gold=[row.targets for row in rows])


def _complete(calibrator: Calibrator, role: Role, needed: int, there: int) -> None:
    assert role in PROBE_ROLES
    if there < needed:
        instead = ""
        if role == "pool":
            option = calibrator.instead_of_pool
            name = option.partition(":")[0]
            instead = f"; or give a {name}, as in {{calibrator: {calibrator.name}, {option}}}"
        raise CalibrationError(
            f"{needed - there} of {needed} {role} records are missing; write `calibrate: "
            f"[{calibrator.name}]` into the task's entry and run the experiment again, which "
            f"computes only them{instead}"
        )
