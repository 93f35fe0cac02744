"""Warnings for a reader of scores, found from the records of a run.

The rules are written for the mistakes that few-shot studies report: tokens across the border of
prompt and answer, answers in the wrong language or copied (Bawden and Yvon 2023, arXiv
2303.01911), one label for everything (Zhao et al. 2021, arXiv 2102.09690), and retrieval that
does the work of the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from icl.core.types import Record
from icl.experiment.differences import name_place
from icl.records.results import ConditionResult, Run, find_telling_axes
from icl.scoring.against import Margins, measure_margins
from icl.scoring.checks.answers import (
    copied_input,
    copied_shot,
    form_changes,
    make_share_check,
    marks_nothing,
    never,
    off_target,
    one_answer,
    ties,
    unparsed,
)
from icl.scoring.checks.base import Check, ConditionAnswers
from icl.scoring.checks.prompts import (
    duplicates,
    gold_missing,
    lost_shots,
    nothing_found,
    spanning,
)
from icl.scoring.checks.scores import baseline, few_rows, find_score_direction, retrieval
from icl.tasks.parsers import EMPTY

__all__ = ["CHECKS", "Finding", "summarize_findings", "checks", "find_score_direction"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One warning about a condition, with its counts."""

    condition: str
    """Fingerprint of the condition; if several share the finding, of the first."""
    name: str
    """One of :data:`CHECKS`."""
    count: int
    """Number of rows, or labels, concerned."""
    of: int
    """Number of rows, or labels, checked."""
    text: str
    """One sentence of plain text, with the counts; it may quote model output."""


def checks(run: Run, margins: Margins | None = None) -> list[Finding]:
    """List all warnings about a run, condition by condition, the gravest first in each.

    Only the run folder is read: no model is loaded, nothing is written. What is unusual but
    harmless (a label with two rows that is never predicted) is not reported.

    Args:
        run: from :func:`icl.load_run`.
        margins: its conditions against their baselines; computed if they are not at hand.

    >>> checks(load_run("runs/quickstart"))[0].name                        # doctest: +SKIP
    'one_answer'

    Raises:
        StoreError: a condition folder is missing or corrupt.
    """
    found: list[Finding] = []
    counted: set[tuple[str, str]] = set()
    every = (margins or measure_margins(run.conditions)).every
    for condition in run.conditions:
        records = list(condition.records.values())
        found += _stale(condition)
        if not records:
            continue
        seen = ConditionAnswers(
            condition,
            records,
            condition.examples,
            condition.predictions(),
            every.get(condition.entry.fingerprint, ()),
        )
        rows = condition.entry.task, condition.entry.rows
        for name, check in _EACH.items():
            if name == "duplicates" and rows in counted:
                continue  # the same rows in every condition: told once
            found += [Finding(condition.entry.fingerprint, name, *one) for one in check(seen)]
        counted.add(rows)
    return found + list(_same_answers(run))


def summarize_findings(
    conditions: Sequence[ConditionResult],
    findings: Sequence[Finding],
    most: int | None = None,
    run: str = "RUN",
) -> list[str]:
    """Write the findings about some conditions in lines, one for each check, the gravest first.

    A line quotes the condition in which the finding is worst, and counts the others with it. Of
    more than ``most`` lines the last one counts those left out, and says what shows them.
    """
    called = name_conditions(conditions)
    lines = []
    for name in CHECKS:
        same = [one for one in findings if one.name == name and one.condition in called]
        if not same:
            continue
        worst = max(same, key=lambda one: one.count / one.of)
        who = f"{called[worst.condition]}: " if called[worst.condition] else ""
        others = len({one.condition for one in same}) - 1
        more = f" (and {others} more condition{'s' if others > 1 else ''})" if others else ""
        lines.append(f"check: {who}{worst.text}{more}")
    if most is None or len(lines) <= most:
        return lines
    left = len(lines) - most
    return [*lines[:most], f"{left} more check{'s' * (left > 1)}: icl show {run} --details"]


def name_conditions(conditions: Sequence[ConditionResult]) -> dict[str, str]:
    """Fingerprint -> the values of the axes in which these conditions differ."""
    axes = find_telling_axes(conditions)
    return {
        one.entry.fingerprint: " · ".join(
            f"{_NONE.get(word, word)} shots"
            if axis == "shots" and word.isdigit()
            else name_place(axis, word)
            for axis in axes
            if (word := one.axes.get(axis))
        )
        for one in conditions
    }


_EACH: dict[str, Check] = {
    # Something was asked or read wrongly, and no number means what it says.
    "spanning": spanning,
    "nothing_found": nothing_found,
    # The model does something else than the task.
    "one_answer": one_answer,
    "marks_nothing": marks_nothing,
    "copied_input": copied_input,
    "copied_shot": copied_shot,
    "off_target": off_target,
    # It does the task, and adds nothing that is shown.
    "below_baseline": baseline,
    "below_vote": retrieval,
    # Some rows are lost, or cannot be right.
    "never_predicted": never,
    "over_length": make_share_check(
        lambda p: p.finish == "length", "answers were cut at max_tokens; raise it, or check stop"
    ),
    "unended": make_share_check(
        lambda p: p.finish == "reasoning", "answers ended while still reasoning"
    ),
    "filtered": make_share_check(
        lambda p: p.finish == "filter", "answers were withheld or cut by the server's filter"
    ),
    "refused": make_share_check(lambda p: p.finish == "refusal", "rows were refused an answer"),
    "empty": make_share_check(lambda p: p.error == EMPTY, "answers are empty"),
    "unparsed": make_share_check(unparsed, "answers cannot be read by the parser"),
    "broken": make_share_check(
        lambda p: p.faults.get("broken", 0) > 0,
        "answers hold brackets that make no mark, or JSON that breaks off; its words are kept",
    ),
    "unknown": make_share_check(
        lambda p: p.faults.get("unknown", 0) > 0, "answers name slots that the data does not have"
    ),
    "altered": make_share_check(
        lambda p: p.faults.get("altered", 0) > 0,
        "answers change the words of the row; their slots are aligned with it",
    ),
    "invented": make_share_check(
        lambda p: p.faults.get("invented", 0) > 0,
        "answers give values that do not stand in the row, each of which counts as wrong",
    ),
    "lost_shots": lost_shots,
    "shortened": make_share_check(
        lambda p: p.shortened, "prompts lost the end of their marked span", least=0
    ),
    # What a reader of the number should know.
    "ties": ties,
    "form_changes": form_changes,
    "gold_missing": gold_missing,
    "few_rows": few_rows,
    "duplicates": duplicates,
}
_NONE = {"0": "no"}
CHECKS = ("stale_scores", "same_answers", *_EACH)
"""Names of all checks, the gravest first."""


def _stale(condition: ConditionResult) -> Iterator[Finding]:
    """Find scores computed from another number of rows than there are records now."""
    there, made = len(condition.records), [s for s in condition.scores if s.kind == "model"]
    old = [score for score in made if score.n > there]
    if made and not old and all(score.n != there for score in made):
        old = made  # a judge may lack verdicts, but then another score has all rows
    if old:
        yield Finding(
            condition.entry.fingerprint,
            "stale_scores",
            old[0].n,
            max(old[0].n, there),
            f"{old[0].name} was computed from {old[0].n} rows, {there} have records now: run the "
            "experiment again, or icl score for the rows that are there",
        )


def _same_answers(run: Run) -> Iterator[Finding]:
    """Find two widths of the same weights with exactly the same numbers in all answers."""
    groups: dict[str, list[tuple[str, ConditionResult]]] = {}
    for condition in run.conditions:
        if not condition.records:
            continue
        identity = condition.store.condition().identity
        engine = identity.engine
        width = engine.get("width", engine.get("dtype"))
        if "weights" in engine and width is not None:
            kept = {**identity.json, "engine": [engine["weights"], engine.get("tokenizer")]}
            groups.setdefault(repr(kept), []).append((str(width), condition))
    for (width, first), *others in groups.values():
        for other_width, other in others:
            common = [name for name in first.records if name in other.records]
            if (
                width != other_width
                and common
                and all(
                    _answered(first.records[name]) == _answered(other.records[name])
                    for name in common
                )
            ):
                yield Finding(
                    other.entry.fingerprint,
                    "same_answers",
                    len(common),
                    len(common),
                    f"all {len(common)} answers at {other_width} are those at {width} to the last "
                    "digit: nothing here shows that the width was changed",
                )


def _answered(record: Record) -> object:
    return record.logprobs, tuple(output.text for output in record.outputs)
