"""Tables of a run as plain text, and the details of one of its records."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from icl.core.errors import IclError, join_lines
from icl.core.number_text import format_interval, format_number, format_percent
from icl.core.probabilities import label_shares
from icl.core.safe_text import clean
from icl.core.score_name import ScoreName
from icl.records.results import Run, find_varying_axes
from icl.reports.errors import Confusion, count_confusions
from icl.reports.groups import Row, group_conditions, title_score
from icl.reports.notes import FALLBACK
from icl.reports.prompt_parts import PromptPiece, bound_pieces, split_record_prompt
from icl.reports.safe_text import shorten_middle
from icl.reports.tables import FACTS
from icl.scoring.sensitivity import Spread
from icl.tasks.baselines import describe_tie
from icl.workbench.browse_runs import OpenCondition, RecordPage

__all__ = [
    "RecordView",
    "TextTable",
    "condition_table",
    "mix_ups",
    "page_table",
    "record_view",
    "settings",
    "spread_table",
    "task_of",
]


CELL_CHARS, NAME_CHARS, PROMPT_CHARS, LABELS = 300, 40, 100_000, 8
"""Most characters of a cell, a setting and a prompt; most bars of a record besides the right
one."""


@dataclass(frozen=True, slots=True)
class TextTable:
    """Headers and rows of text that is safe to show."""

    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def _table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> TextTable:
    return TextTable(tuple(map(_cell, headers)), tuple(tuple(map(_cell, row)) for row in rows))


def _cell(text: str) -> str:
    return clean(shorten_middle(" ".join(text.split()), CELL_CHARS))


def _baseline_cell(row: Row, role: str) -> str:
    """Format the value of a baseline, followed by its ties."""
    said = format_number(row.baseline(role))
    tied = [describe_tie(s) for s in row.baselines() if ScoreName.of_score(s).role == role]
    return f"{said} ({tied[0]})" if any(tied) else said


def condition_table(run: Run) -> TextTable:
    """Make a table with a row for each condition: fingerprint, settings, scores, baselines, counts.

    Scores come from the run folder; no record is read.
    """
    found = group_conditions(run)
    axes = find_varying_axes(run.conditions) or ["shots"]
    plain = list(
        dict.fromkeys(
            ScoreName.of_score(s).role for g in found for r in g.rows for s in r.baselines()
        )
    )
    counts = [
        name
        for name in dict.fromkeys(n for group in found for n in group.names("count"))
        if any(
            row.scores[name].value for group in found for row in group.rows if name in row.scores
        )
    ]
    lacking = [FALLBACK] if any(one.entry.fallbacks for one in run.conditions) else []
    headers = [
        "condition",
        *axes,
        "score",
        "95 % interval",
        "rows",
        *plain,
        *(FACTS.get(name, name) for name in counts),
        *lacking,
        "others",
    ]
    rows = [
        [
            row.condition.entry.fingerprint[:8],
            *(_short_name(row.condition.axes.get(axis, "")) for axis in axes),
            *_score_cells(row),
            _count(row),
            *(_baseline_cell(row, name) for name in plain),
            *(
                format_number(row.scores[name].value) if name in row.scores else "–"
                for name in counts
            ),
            *([str(len(row.condition.entry.fallbacks))] if lacking else []),
            _others(row),
        ]
        for row in sorted((row for g in found for row in g.rows), key=lambda row: row.number)
    ]
    return _table(headers, rows)


def _short_name(text: str) -> str:
    """Shorten a setting to its beginning and end."""
    return text if len(text) <= NAME_CHARS else f"{text[: NAME_CHARS - 15]}…{text[-14:]}"


def _score_cells(row: Row) -> tuple[str, str]:
    score = row.primary
    if score is None:
        return "–", ""
    return f"{title_score(score.name, [score])} {format_number(score.value)}", format_interval(
        score
    )


def _others(row: Row) -> str:
    """List all scores of the model's answers but the first, calibrated ones included."""
    own = [score for score in row.of_kind("model") if score is not row.primary]
    return ", ".join(
        f"{title_score(score.name, [score])} {format_number(score.value)}" for score in own
    )


def _count(row: Row) -> str:
    """Count the scored rows and, for an unfinished condition, the requested ones."""
    left = f" ({len(row.condition.unscored)} unscored)" if row.condition.unscored else ""
    asked = len(row.condition.ids) - len(row.condition.unscored)
    scored = row.primary.n if row.primary is not None else 0
    return (f"{scored:,}" if scored == asked else f"{scored:,} of {asked:,}") + left


def page_table(page: RecordPage, compared: bool) -> TextTable:
    """Make a table with a row for each record; the whole id comes first, so it names the record."""
    headers = [
        "id",
        "verdict",
        "answer",
        *(["other"] if compared else []),
        "right answer",
        "score",
        "sure",
        "row",
    ]
    rows = [
        (
            clean(line.id),
            line.verdict,
            _answer_cell(line.answer),
            *([_answer_cell(line.other)] if compared else []),
            _cell(line.right),
            format_number(line.value),
            "" if line.confidence is None else format_percent(line.confidence, 0),
            _cell(line.text),
        )
        for line in page.lines
    ]
    return TextTable(tuple(headers), tuple(rows))


def _answer_cell(text: str | None) -> str:
    return "–" if text is None else _cell(text)


def mix_ups(opened: OpenCondition) -> tuple[Confusion, TextTable] | None:
    """Count how often each right label got each answer; list the most frequent confusions.

    Returns None for tasks whose answers are not labels.
    """
    if opened.condition.task.kind.labels is None:
        return None
    found = count_confusions(list(opened.answers.values()), pairs=15)
    if found is None:
        return None
    pairs = [
        [gold, "(none)" if said is None else said, f"{count} of {of}"]
        for gold, said, count, of in found.pairs
    ]
    return found, _table(["right", "answered", "rows"], pairs)


def spread_table(found: Sequence[Spread]) -> TextTable:
    """Make a table of the spread over seeds, orders, prompts and layouts, and of chance alone."""
    headers = (
        "where",
        "over",
        "of",
        "metric",
        "mean",
        "95 % interval",
        "sd",
        "worst",
        "best",
        "spread",
        "by chance",
        "p (Holm)",
    )
    rows = [
        [
            " · ".join(filter(None, (task_of(one), name))),
            ", ".join(one.over),
            str(len(one.values)),
            one.title,
            format_number(one.mean.value),
            format_interval(one.mean),
            format_number(one.sd),
            format_number(one.worst),
            format_number(one.best),
            format_number(one.spread),
            format_number(one.by_chance),
            f"{one.p_holm:.3f}",
        ]
        for name, one in zip(settings(found), found, strict=True)
    ]
    return _table(headers, rows)


def settings(found: Sequence[Spread]) -> list[str]:
    """Name each spread by the settings in which it differs from others of its task."""
    return [
        _spread_name(one, [like for like in found if task_of(like) == task_of(one)])
        for one in found
    ]


def task_of(one: Spread) -> str:
    """Return the task of a spread."""
    return one.where.get("task", "")


def _spread_name(one: Spread, all_: Sequence[Spread]) -> str:
    inert = {"task", *(("k", "select") if "shots" in one.where else ())}  # in "8 bm25" they stand
    words = [
        f"{key} {said}" if said.isdigit() else said
        for key, said in one.where.items()
        if said and key not in inert and len({like.where.get(key, said) for like in all_}) > 1
    ]
    return " · ".join(map(_short_name, words))


@dataclass(frozen=True, slots=True)
class RecordView:
    """The details of one record, ready to show."""

    facts: str
    prompt: tuple[PromptPiece, ...]
    bars: tuple[tuple[str, float], ...]
    """(label, share of the choices' probability), right ones marked with a tick; empty for text."""
    output: str
    """The generated text, preceded by its reasoning; empty for ranked labels."""


def record_view(opened: OpenCondition, key: str) -> RecordView:
    """Describe a record; render its prompt again and compare it with the hash of what was sent.

    Raises:
        StoreError: the condition has no such record.
    """
    condition, record = opened.condition, opened.condition.record(key)
    one = opened.answers[key]
    said, targets = one.prediction, one.example.targets
    shown_as = partial(condition.show_answer, one.example)
    answer = "–" if said.value is None else shown_as(said.value)
    again = ""
    try:
        shown, same = split_record_prompt(condition, record)
        again = "the same as was sent" if same else "NOT what was sent"
    except IclError as error:
        shown, again = [], join_lines(error)
    lines = [
        f"answer     {answer}  ({opened.verdict(key)})",
        f"right      {' | '.join(map(shown_as, targets)) or '–'}",
        *([f"unparsed   {said.error}"] if said.error else []),
        *([f"score      {format_number(one.value)}"] if one.value is not None else []),
        *(
            f"shot {place:<6}{name}  {label or ''}"
            + (f"  {score:.3f}" if score is not None else "")
            for place, (name, label, score) in enumerate(record.shots, 1)
        ),
        *([f"dropped    {', '.join(record.dropped)} (did not fit)"] if record.dropped else []),
        *([f"votes      {said.votes} of {said.samples}"] if said.samples > 1 else []),
        f"prompt     {record.prompt_tokens:,} tokens; rendered again: {again}",
        f"request    {record.request[:16]}  condition {opened.fingerprint[:8]}",
    ]
    return RecordView(
        clean("\n".join(lines)),
        tuple(bound_pieces(shown, PROMPT_CHARS)),
        _bars(opened, key),
        _outputs(opened, key),
    )


def _bars(opened: OpenCondition, key: str) -> tuple[tuple[str, float], ...]:
    one = opened.answers[key]
    if not one.record.logprobs:
        return ()
    choices, shares = opened.condition.choices(one.record), label_shares(one.record.logprobs)
    order = sorted(range(len(shares)), key=lambda place: -shares[place])
    known = opened.condition.right_labels(one.example)
    right = [place for place in order[LABELS:] if choices[place].label in known]
    return tuple(
        (
            ("✓ " if choices[at].label in known else "") + _cell(choices[at].label),
            shares[at],
        )
        for at in [*order[:LABELS], *right]
    )


def _outputs(opened: OpenCondition, key: str) -> str:
    found = []
    for output in opened.answers[key].record.outputs:
        if output.reasoning is not None:
            found.append(f"── reasoning\n{output.reasoning}")
        found.append(f"── {output.finish}, {output.output_tokens} tokens\n{output.text}")
    return clean("\n".join(found))
