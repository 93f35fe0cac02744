"""What a reader of scores should be warned of, found from the records of a run alone.

The rules are written for the mistakes that few-shot studies report: tokens across the border of
prompt and answer, answers in the wrong language or copied (Bawden and Yvon 2023, arXiv
2303.01911), one label for everything (Zhao et al. 2021, arXiv 2102.09690), and retrieval that
does the work of the model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from icl.errors import DataError
from icl.languages import script_share
from icl.metrics import better, make
from icl.registry import lookup, names
from icl.results import ConditionResult, Run, varying
from icl.tasks.baselines import vote
from icl.tasks.parsers import EMPTY
from icl.types import Example, Prediction, Record, Score

__all__ = ["CHECKS", "Finding", "brief", "checks", "direction"]

SOME = 0.05
"""Share of rows from which unusual outputs are told of; fewer stand in the table's columns."""
FEW = 3
"""Rows of a label from which it is odd that it is never predicted."""
WIDE = 20.0
"""Points of an interval that settles little."""

Found = tuple[int, int, str]
"""(count, of, text) of a finding."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One warning about a condition, with its counts."""

    condition: str
    """Fingerprint of the condition; of several that share it, the first one's."""
    name: str
    """One of :data:`CHECKS`."""
    count: int
    """Rows, or labels, that it concerns."""
    of: int
    """Those that were looked at."""
    text: str
    """One sentence in plain text, counts included; may quote model output."""


@dataclass(frozen=True)
class _Seen:
    """A condition with its predictions, made once for all checks."""

    condition: ConditionResult
    records: Sequence[Record]
    examples: Sequence[Example]
    predictions: Sequence[Prediction]

    @property
    def n(self) -> int:
        return len(self.records)

    @property
    def primary(self) -> Score | None:
        """The first score of the model that has a value."""
        scores = (s for s in self.condition.scores if s.kind == "model" and s.value is not None)
        return next(scores, None)


def checks(run: Run) -> list[Finding]:
    """Every warning about a run, condition by condition, the gravest first in each.

    Only the run folder is read: no model is loaded, nothing is written. What is unusual but right
    (a label that two rows have and none is given) is not told.

    >>> checks(load_run("runs/quickstart"))[0].name                        # doctest: +SKIP
    'one_answer'

    Raises:
        StoreError: a condition folder is gone or corrupt.
    """
    found: list[Finding] = []
    counted: set[tuple[str, str]] = set()
    for condition in run.conditions:
        records = list(condition.records.values())
        if not records:
            continue
        seen = _Seen(condition, records, condition.examples, condition.predictions())
        rows = condition.entry["task"], condition.entry["rows"]
        for name, check in _EACH.items():
            if name == "duplicates" and rows in counted:
                continue  # the same rows in every condition: told once
            found += [Finding(condition.entry["fingerprint"], name, *one) for one in check(seen)]
        counted.add(rows)
    return found + list(_same_answers(run))


def direction(condition: ConditionResult, name: str) -> str:
    """Which values of a score are better: ``higher``, ``lower``, or ``none`` where none are.

    ``name`` is the score's, a parser or a calibrator behind it included.
    """
    plain = name.split("@")[0].split("+")[0]
    own = dict(make(entry) for entry in condition.entry["metrics"])
    if plain in own:
        return better(own[plain])
    return better(lookup("metric", plain)) if plain in names("metric") else "none"


def brief(
    conditions: Sequence[ConditionResult],
    findings: Sequence[Finding],
    most: int | None = 5,
    run: str = "RUN",
) -> list[str]:
    """The findings about some conditions in a line each, one a check, at most ``most``.

    A line quotes the condition where it is worst and says how many others it is found in.
    """
    called = short_names(conditions)
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
    return [*lines[:most], f"and {len(lines) - most} more checks:  icl report {run} --format text"]


def short_names(conditions: Sequence[ConditionResult]) -> dict[str, str]:
    """Fingerprint -> the values of the axes in which these conditions differ."""
    axes = varying(conditions)
    return {
        one.entry["fingerprint"]: " · ".join(one.axes[axis] for axis in axes if one.axes.get(axis))
        for one in conditions
    }


def _spanning(seen: _Seen) -> Iterator[Found]:
    count = sum(record.spanning > 0 for record in seen.records)
    if count:
        yield (
            count, seen.n,
            f"{count} of {seen.n} prompts end inside a token of their choices (spanning tokens); "
            "write the space behind ||| and not before it",
        )  # fmt: skip


def _below(seen: _Seen) -> Iterator[tuple[str, Score, Score]]:
    """Baselines of the primary metric that the score is not shown to be better than."""
    score = seen.primary
    if score is None or score.value is None:
        return
    way = direction(seen.condition, score.name)
    for other in seen.condition.scores:
        name, _, metric = other.name.partition("/")
        if other.kind != "baseline" or metric != score.name or other.value is None:
            continue
        reached = score.low if way == "higher" else score.high
        reached = score.value if reached is None else reached
        if way == "higher" and reached <= other.value or way == "lower" and reached >= other.value:
            yield name, score, other


def _vote(seen: _Seen) -> Iterator[Found]:
    for name, score, other in _below(seen):
        if name != "vote" or score.value is None or other.value is None:
            continue
        how = "worse than" if _worse(seen, score, other) else "not shown to be better than"
        text = f"{score.name} {score.value:.1f} is {how} the vote of its own shots, "
        text += f"{other.value:.1f}"
        trivial = [s.value for s in seen.condition.scores if s.value is not None
                   and s.name in (f"majority/{score.name}", f"chance/{score.name}")]  # fmt: skip
        retrieved = any(shot[2] is not None for record in seen.records for shot in record.shots)
        if retrieved and other.value > max(trivial, default=0.0):
            right = {e.id for e, p in zip(seen.examples, seen.predictions, strict=True)
                     if p.value in e.targets}  # fmt: skip
            voted = vote(seen.predictions) or []
            same = sum(p.value in e.targets and e.id in right
                       for e, p in zip(seen.examples, voted, strict=True))  # fmt: skip
            text += ": retrieval does most of the work"
            if right:
                text += f" ({same} of {len(right)} right answers are the vote's too)"
            yield same if right else seen.n, len(right) or seen.n, text
        else:
            yield seen.n, seen.n, text


def _baseline(seen: _Seen) -> Iterator[Found]:
    told: dict[str, list[str]] = {}
    for name, score, other in _below(seen):
        if name != "vote":
            how = "worse than" if _worse(seen, score, other) else "not shown to be better than"
            told.setdefault(how, []).append(f"{name} {other.value:.1f}")
    if told and (score := seen.primary):
        parts = " and ".join(f"{how} {', '.join(others)}" for how, others in told.items())
        yield seen.n, seen.n, f"{score.name} {score.value:.1f} is {parts}"


def _worse(seen: _Seen, score: Score, other: Score) -> bool:
    value, beside = score.value or 0.0, other.value or 0.0
    return value < beside if direction(seen.condition, score.name) == "higher" else value > beside


def _one_answer(seen: _Seen) -> Iterator[Found]:
    """One answer for half of the rows, or for all of them, though it is seldom right."""
    given = [p.value for p in seen.predictions if p.value is not None]
    targets = {target for example in seen.examples for target in example.targets}
    if len(given) < 5 or len(targets) < 2:
        return
    answer, count = Counter(given).most_common(1)[0]
    right = sum(answer in example.targets for example in seen.examples)
    if 2 * count >= seen.n and count >= 2 * right:
        rows = "every one" if count == seen.n else f"{count}"
        yield (
            count, seen.n,
            f"{_short(answer)!r} is the answer to {rows} of {seen.n} rows, and right for {right}",
        )  # fmt: skip


def _never(seen: _Seen) -> Iterator[Found]:
    if not any(seen.condition.choices(record) for record in seen.records[:1]):
        return
    gold = Counter(example.targets[0] for example in seen.examples if example.targets)
    common = [label for label, rows in gold.most_common() if rows >= FEW]
    given = {prediction.value for prediction in seen.predictions}
    missing = [label for label in common if label not in given]
    if missing:
        rows = sum(gold[label] for label in missing)
        shown = ", ".join(repr(_short(label)) for label in missing[:3])
        shown += ", …" if len(missing) > 3 else ""
        yield (
            len(missing), len(common),
            f"{len(missing)} of the {len(common)} labels with {FEW} rows or more are never "
            f"predicted ({shown}): {rows} rows cannot be right",
        )  # fmt: skip


def _off_target(seen: _Seen) -> Iterator[Found]:
    """Translations in another script than asked for, and copies of the source."""
    told = [
        (p.value, e)
        for p, e in zip(seen.predictions, seen.examples, strict=True)
        if p.value is not None and "target" in e.meta
    ]
    if not told:
        return
    tag = told[0][1].meta["target"]
    copied = [_is_copy(value, example) for value, example in told]
    foreign = [_is_foreign(value, example) for value, example in told]
    count = sum(a or b for a, b in zip(copied, foreign, strict=True))
    if count < SOME * len(told):
        return
    parts = []
    if any(foreign):
        parts.append(f"{sum(foreign)} in another script")
    if only := sum(a and not b for a, b in zip(copied, foreign, strict=True)):
        parts.append(f"{only} copied from the source")
    yield (
        count, len(told),
        f"{count} of {len(told)} answers are off target, not in {tag}: "
        f"{' and '.join(parts)} (another language of the same script is not seen)",
    )  # fmt: skip


def _is_foreign(value: str, example: Example) -> bool:
    """Whether most letters are of another script than that of the target language."""
    try:
        share = script_share(value, example.meta["target"])
    except DataError:  # files may be called anything; what is no language has no script
        return False
    return share is not None and share < 0.5


def _is_copy(value: str, example: Example) -> bool:
    source = example.fields.get("source")
    if not isinstance(source, str):
        return False
    said = _fold(value)
    return said == _fold(source) and said not in map(_fold, example.targets)


def _share(
    hits: Callable[[Prediction], bool], text: str, least: float = SOME
) -> Callable[[_Seen], Iterator[Found]]:
    """A check of predictions one by one, told from a share of the rows on."""

    def check(seen: _Seen) -> Iterator[Found]:
        count = sum(map(hits, seen.predictions))
        if count and count >= least * seen.n:
            yield count, seen.n, f"{count} of {seen.n} {text}"

    return check


def _unparsed(prediction: Prediction) -> bool:
    return (
        prediction.value is None and prediction.error != EMPTY and prediction.finish != "reasoning"
    )


def _lost_shots(seen: _Seen) -> Iterator[Found]:
    count = sum(bool(record.dropped) for record in seen.records)
    if count:
        shots = sum(len(record.dropped) for record in seen.records)
        yield (
            count, seen.n,
            f"{count} of {seen.n} prompts lost shots to fit the window ({shots} shots)",
        )  # fmt: skip


def _ties(seen: _Seen) -> Iterator[Found]:
    equal = [record for record in seen.records if record.logprobs
             and record.logprobs.count(max(record.logprobs)) > 1]  # fmt: skip
    votes = sum(prediction.tied for prediction in seen.predictions)
    if equal:
        yield (
            len(equal), seen.n,
            f"{len(equal)} of {seen.n} rows have several likeliest choices; the first is taken",
        )  # fmt: skip
    if votes:
        yield votes, seen.n, f"{votes} of {seen.n} votes over samples are ties; the first is taken"


def _gold_missing(seen: _Seen) -> Iterator[Found]:
    told = [
        (prediction, example)
        for prediction, example in zip(seen.predictions, seen.examples, strict=True)
        if prediction.shot_labels and example.targets
    ]
    count = sum(not {*p.shot_labels} & {*e.targets} for p, e in told)
    if told and 2 * count >= len(told):
        yield (
            count, len(told),
            f"the right label is missing among the shots of {count} of {len(told)} rows",
        )  # fmt: skip


def _few_rows(seen: _Seen) -> Iterator[Found]:
    score = seen.primary
    if score is None or score.low is None or score.high is None:
        return
    if (width := score.high - score.low) > WIDE:
        yield (
            seen.n, max(seen.n, int(seen.condition.entry["rows_available"])),
            f"few rows: the interval of {score.name} is {width:.0f} points wide with n = "
            f"{score.n}; about {4 * score.n} rows would halve it",
        )  # fmt: skip


def _duplicates(seen: _Seen) -> Iterator[Found]:
    contents = Counter(example.content for example in seen.examples)
    count = sum(times - 1 for times in contents.values())
    if count:
        yield count, seen.n, f"{count} of {seen.n} test inputs repeat another one of them"


_EACH: dict[str, Callable[[_Seen], Iterator[Found]]] = {
    "spanning": _spanning,
    "below_vote": _vote,
    "below_baseline": _baseline,
    "one_answer": _one_answer,
    "never_predicted": _never,
    "off_target": _off_target,
    "over_length": _share(
        lambda p: p.finish == "length", "answers were cut at max_tokens; raise it, or check stop"
    ),
    "unended": _share(lambda p: p.finish == "reasoning", "answers ended while still reasoning"),
    "empty": _share(lambda p: p.error == EMPTY, "answers are empty"),
    "unparsed": _share(_unparsed, "answers cannot be read by the parser"),
    "lost_shots": _lost_shots,
    "shortened": _share(
        lambda p: p.shortened, "prompts lost the end of their marked span", least=0
    ),
    "ties": _ties,
    "gold_missing": _gold_missing,
    "few_rows": _few_rows,
    "duplicates": _duplicates,
}
CHECKS = ("same_answers", *_EACH)
"""Names of all checks, the gravest first."""


def _same_answers(run: Run) -> Iterator[Finding]:
    """Two widths of the same weights that gave the same numbers to the last digit."""
    groups: dict[str, list[tuple[str, ConditionResult]]] = {}
    for condition in run.conditions:
        if not condition.records:
            continue
        identity = condition.store.condition()["identity"]
        engine = identity["engine"]
        width = engine.get("width", engine.get("dtype"))
        if "weights" in engine and width is not None:
            kept = {**identity, "engine": [engine["weights"], engine.get("tokenizer")]}
            groups.setdefault(repr(kept), []).append((str(width), condition))
    for (width, first), *others in groups.values():
        for other_width, other in others:
            common = [name for name in first.records if name in other.records]
            if width != other_width and common and all(
                _answered(first.records[name]) == _answered(other.records[name]) for name in common
            ):  # fmt: skip
                yield Finding(
                    other.entry["fingerprint"], "same_answers", len(common), len(common),
                    f"all {len(common)} answers at {other_width} are those at {width} to the last "
                    "digit: nothing here shows that the width was changed",
                )  # fmt: skip


def _answered(record: Record) -> object:
    return record.logprobs, tuple(output.text for output in record.outputs)


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())


def _short(text: str, chars: int = 30) -> str:
    spaced = " ".join(text.split())
    return spaced if len(spaced) <= chars else spaced[: chars - 1] + "…"
