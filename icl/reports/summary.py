"""The description of a group of conditions: the task, the best result, and its baselines."""

from __future__ import annotations

from collections.abc import Iterator

from icl.core.number_text import format_interval, format_number
from icl.core.score_name import ScoreName
from icl.reports.groups import Group, Row, title_score
from icl.reports.margins import format_margin
from icl.reports.notes import note_unscored
from icl.scoring.against import Margins
from icl.scoring.compare import Comparison
from icl.tasks.baselines import describe_tie

__all__ = ["BASELINES", "summarize_group"]


BASELINES = {
    "chance": "drawing a label at random",
    "majority": "always answering the pool's most frequent label",
    "vote": "taking the most frequent label among the shots, without a model",
    "copy": "copying the source",
    "lead3": "taking the document's first three sentences",
    "nearest": "changing the lemma as the most similar shot changes its own",
    "no_slots": "finding no slot at all",
}
METHODS = {
    "rank": "ranking {} by their log-probability",
    "channel": "ranking {} by the log-probability of the input given each",
    "generate": "writing text",
}


def summarize_group(group: Group, margins: Margins) -> Iterator[str]:
    """Yield the sentences that a reader needs before the table."""
    yield _asked(group)
    yield from _unfinished(group)
    best = group.best
    if best is None or best.primary is None:
        yield "Nothing is scored yet, so there is nothing to compare."
        return
    score = best.primary
    said = f"{title_score(score.name, [score])} {format_number(score.value)}"
    if format_interval(score):
        said += f", 95 % interval {format_interval(score)}"
    said += f", {score.n} rows"
    if len(group.rows) == 1:
        yield f"One condition: {said}."
    else:
        yield (
            f"Best of {len(group.rows)} conditions: {best.name}, with {said}. It was picked on the "
            "same rows that it is scored on, so this number is a little too good."
        )
    yield _against_baseline(margins.strongest.get(best.condition.entry.fingerprint), best)


def _asked(group: Group) -> str:
    asked = sorted({len(row.condition.ids) for row in group.rows})
    available = {row.condition.entry.rows_available for row in group.rows}
    sources = list(dict.fromkeys(row.source for row in group.rows if row.source))
    counted = f"{asked[0]:,}" if len(asked) == 1 else f"{asked[0]:,} to {asked[-1]:,}"
    if len(available) == 1 and (whole := available.pop()) not in (None, asked[-1]):
        counted += f" of {whole:,}"
    where = sources[0] if len(sources) == 1 else f"{len(sources)} sets of {group.data}"
    labels = max((row.condition.entry.labels for row in group.rows), default=0)
    choices = f"{labels} labels" if labels else "each row's own choices"
    methods = dict.fromkeys(
        METHODS.get(row.condition.entry.method, "{}").format(choices) for row in group.rows
    )
    each = " each" if len(group.rows) > 1 else ""
    how = " or ".join(methods)
    return f"Data: {counted} rows of {where or 'data not read yet'}{each}, by {how}."


def _unfinished(group: Group) -> Iterator[str]:
    """Yield sentences on conditions with unanswered or missing rows, or not begun."""
    for row in group.rows:
        yield from (f"{row.name}: {note}." for note in note_unscored(row.condition))
    partly = [row for row in group.rows if row.condition.n_missing]
    if partly:
        done = sum(len(row.condition.records) for row in partly)
        whole = sum(len(row.condition.ids) for row in partly)
        few = ", ".join(row.name for row in partly[:3]) + (", …" if len(partly) > 3 else "")
        yield (
            f"Unfinished: {done:,} of {whole:,} rows of {len(partly)} of {len(group.rows)} "
            f"conditions are answered so far ({few}). The same icl run continues them."
        )


def _against_baseline(one: Comparison | None, best: Row) -> str:
    """Describe by the paired test whether the best condition beats its strongest baseline."""
    if one is None or one.difference.value is None:
        return "No baseline is defined for this metric here."
    how = BASELINES.get(one.a, one.a)
    if one.a == "vote" and best.condition.task.kind.gold == "spans":
        how = "marking the words that are slots in the shots, without a model"
    scores = [s for s in best.baselines() if ScoreName.of_score(s).role == one.a]
    if any(tied := [describe_tie(score) for score in scores]):
        how += f" ({tied[0]})"
    said = f"The strongest baseline, {how}, has {format_number(one.value_a)} on these rows"
    value = one.difference.value * (-1 if one.better == "lower" else 1)
    gain = format_margin(one)
    if one.shown:
        found = "better" if value > 0 else "worse"
        return f"{said}; the model is shown to be {found}, {gain}."
    if value <= 0:
        return f"{said}: the model does not beat it, {gain}."
    return f"{said}; it is not shown that the model adds anything, {gain}."
