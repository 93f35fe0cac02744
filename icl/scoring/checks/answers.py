"""Checks of the answers, row by row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from icl.core.errors import DataError
from icl.core.languages import measure_script_share
from icl.core.types import Example, Prediction
from icl.scoring.checks.base import Check, ConditionAnswers, Found
from icl.scoring.form_share import measure_forms
from icl.tasks.parsers import EMPTY
from icl.tasks.slots import name_slots

__all__ = [
    "copied_input",
    "copied_shot",
    "form_changes",
    "make_share_check",
    "marks_nothing",
    "never",
    "off_target",
    "one_answer",
    "strays",
    "ties",
    "unparsed",
]


SOME = 0.05
"""Smallest share of rows that is reported as unusual; smaller ones are only in the table."""
FEW = 3
"""Fewest rows of a label for which it is suspicious that it is never predicted."""


def one_answer(seen: ConditionAnswers) -> Iterator[Found]:
    """Find one answer that is given to half of the rows or more, but seldom right."""
    if seen.condition.task.kind.gold == "spans":
        return  # equal tags are no equal answers: see marks_nothing
    given = [p.value for p in seen.predictions if p.value is not None]
    targets = {target for example in seen.examples for target in example.targets}
    if len(given) < 5 or len(targets) < 2:
        return
    answer, count = Counter(given).most_common(1)[0]
    right = sum(answer in example.targets for example in seen.examples)
    if 2 * count >= seen.n and count >= 2 * right:
        rows = "every one" if count == seen.n else f"{count}"
        yield (
            count,
            seen.n,
            f"{_short(answer)!r} is the answer to {rows} of {seen.n} rows, and right for {right}",
        )


def never(seen: ConditionAnswers) -> Iterator[Found]:
    """Find labels that several rows have and that are never predicted."""
    if not any(seen.condition.choices(record) for record in seen.records[:1]):
        return
    gold = Counter(
        label
        for example in seen.examples
        if example.targets
        for label in seen.labels(example.targets[0])
    )
    common = [label for label, rows in gold.most_common() if rows >= FEW]
    given = {label for prediction in seen.predictions for label in seen.labels(prediction.value)}
    missing = [label for label in common if label not in given]
    if missing:
        rows = sum(gold[label] for label in missing)
        shown = ", ".join(repr(_short(label)) for label in missing[:3])
        shown += ", …" if len(missing) > 3 else ""
        yield (
            len(missing),
            len(common),
            f"{len(missing)} of the {len(common)} labels with {FEW} rows or more are never "
            f"predicted ({shown}): {rows} rows cannot be right",
        )


def off_target(seen: ConditionAnswers) -> Iterator[Found]:
    """Find translations in another script than requested, and copies of the source."""
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
        count,
        len(told),
        f"{count} of {len(told)} answers are off target, not in {tag}: "
        f"{' and '.join(parts)} (another language in the same script is not detected)",
    )


def copied_input(seen: ConditionAnswers) -> Iterator[Found]:
    """Find generated answers that repeat their own input, and are not right.

    Translations are left to :func:`off_target`, which tells copies of the source.
    """
    written = [
        (p.value, e)
        for p, e, r in zip(seen.predictions, seen.examples, seen.records, strict=True)
        if r.outputs and p.value is not None and "target" not in e.meta
    ]
    copies = [(value, name) for value, e in written if (name := _find_copied(value, e))]
    if copies and len(copies) >= SOME * len(written):
        value, name = copies[0]
        yield (
            len(copies),
            len(written),
            f"{len(copies)} of {len(written)} answers copy their input, and are not right, as "
            f"{_short(value)!r} from {name!r}",
        )


def _find_copied(value: str, example: Example) -> str:
    """Find the input that an answer repeats, by its name; empty if there is none.

    Only the longest text is an input to copy: a short field may be a choice to answer with.
    """
    texts = {name: text for name, text in example.inputs.items() if isinstance(text, str)}
    name = max(texts, key=lambda one: len(texts[one]), default="")
    said = _fold(value)
    copied = bool(said and name) and said == _fold(texts[name])
    return name if copied and said not in map(_fold, example.targets) else ""


def copied_shot(seen: ConditionAnswers) -> Iterator[Found]:
    """Find generated answers that repeat the answer of one of their shots, and are not right.

    An answer that is right for another row, as any label and any yes or no, is no copy.
    """
    kind = seen.condition.task.kind
    if kind.labels is not None or kind.gold == "spans":
        return
    right = {_fold(target) for example in seen.examples for target in example.targets}
    count = written = 0
    first = ""
    for record, prediction in zip(seen.records, seen.predictions, strict=True):
        if not record.outputs or prediction.value is None or not record.shots:
            continue
        written += 1
        said = _fold(prediction.value)
        shown = {_fold(t) for shot in seen.condition.shots(record) for t in shot.example.targets}
        if said and said in shown and said not in right:
            count += 1
            first = first or prediction.value
    if count and count >= SOME * written:
        yield (
            count,
            written,
            f"{count} of {written} answers repeat the answer of one of their shots, and are not "
            f"right, as {_short(first)!r}",
        )


def marks_nothing(seen: ConditionAnswers) -> Iterator[Found]:
    """Find answers without a slot to most rows that have some, which are right where none is."""
    if seen.condition.task.kind.gold != "spans":
        return
    rows = [
        (made.value is None or not name_slots([made.value]), bool(name_slots(example.targets)))
        for made, example in zip(seen.predictions, seen.examples, strict=True)
        if example.targets
    ]
    wanted = [nothing for nothing, has_slots in rows if has_slots]
    if wanted and 2 * sum(wanted) >= len(wanted):
        yield (
            sum(wanted),
            len(wanted),
            f"{sum(wanted)} of the {len(wanted)} rows with slots are answered with none; the "
            f"{len(rows) - len(wanted)} rows without any are right that way",
        )


def strays(value: str | None, example: Example) -> bool:
    """Return whether an answer is a translation in the wrong script, or a copy of the source."""
    if value is None or "target" not in example.meta:
        return False
    return _is_copy(value, example) or _is_foreign(value, example)


def _is_foreign(value: str, example: Example) -> bool:
    """Return whether most letters are from another script than the target language's."""
    try:
        share = measure_script_share(value, example.meta["target"])
    except DataError:  # files may be called anything; what is no language has no script
        return False
    return share is not None and share < 0.5


def _is_copy(value: str, example: Example) -> bool:
    source = example.fields.get("source")
    if not isinstance(source, str):
        return False
    said = _fold(value)
    return said == _fold(source) and said not in map(_fold, example.targets)


def make_share_check(hits: Callable[[Prediction], bool], text: str, least: float = SOME) -> Check:
    """Make a check that warns when at least ``least`` of the predictions match ``hits``."""

    def check(seen: ConditionAnswers) -> Iterator[Found]:
        count = sum(map(hits, seen.predictions))
        if count and count >= least * seen.n:
            yield count, seen.n, f"{count} of {seen.n} {text}"

    return check


def unparsed(prediction: Prediction) -> bool:
    """Return whether a parser refused an answer that exists and was finished."""
    named = ("reasoning", "filter", "refusal")  # told by checks of their own
    return prediction.value is None and prediction.error != EMPTY and prediction.finish not in named


def ties(seen: ConditionAnswers) -> Iterator[Found]:
    """Find rows decided only by order: equally likely choices, or equally many votes."""
    equal = [
        record
        for record in seen.records
        if record.logprobs and record.logprobs.count(max(record.logprobs)) > 1
    ]
    votes = sum(prediction.tied for prediction in seen.predictions)
    if equal:
        yield (
            len(equal),
            seen.n,
            f"{len(equal)} of {seen.n} rows have several likeliest choices; the first is taken",
        )
    if votes:
        yield votes, seen.n, f"{votes} of {seen.n} votes over samples are ties; the first is taken"


def form_changes(seen: ConditionAnswers) -> Iterator[Found]:
    """Find conditions whose form changed what the model would have written."""
    share = measure_forms(seen.records)
    if share is not None and share.changed:
        yield share.outputs_changed, share.outputs, str(share)


def _fold(text: str) -> str:
    return " ".join(text.casefold().split())


def _short(text: str, chars: int = 30) -> str:
    spaced = " ".join(text.split())
    return spaced if len(spaced) <= chars else spaced[: chars - 1] + "…"
