"""A guess at the task of a table: its kind, its inputs, its answers, its labels.

Everything is guessed from what the columns hold, and each guess can be overruled by a word.
"""

from __future__ import annotations

import json
import re
import statistics
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from icl.core.errors import ConfigError
from icl.core.registry import did_you_mean
from icl.core.types import JSON, normalise_label
from icl.data.columns import ColumnTable
from icl.data.rows import is_chat
from icl.experiment.lint import fold_label

__all__ = ["MOST_LABELS", "TASKS", "TableTask", "guess_task", "is_empty"]


TASKS = ("classify", "labels", "choose", "extract", "generate", "translation", "summarization")
MOST_LABELS = 200
"""Most different answers that are labels, shown to the model and ranked."""
_ANSWERS = frozenset(
    re.findall(
        r"\w+",
        "answer answers label labels target targets class category intent sentiment emotion topic "
        "summary output response gold reference references translation entities solution wish",
    )
)
"""Usual names of columns that hold the answer."""
_CHOICES = ("choice", "option", "alternative", "ending", "answer", "sol", "candidate", "")
"""Usual names of columns with a row's choices, before their number or letter."""
_SHORT, _LONG = 80, 300
"""Most characters of a label, and the least median of an input that an answer may summarize."""
_MOST_MEMBERS, _SET_SHARE = 60, 0.1
"""For answers with separators: most different labels, and the least share of cells with several."""
_SEPARATORS = ("; ", ", ", " | ", ";", "|", ",")

Column = list[JSON]


@dataclass(frozen=True, slots=True)
class TableTask:
    """A guess at the task of a table; columns have their names in the table."""

    task: str
    """One of :data:`TASKS`."""
    inputs: tuple[str, ...]
    answer: str
    values: Column
    """The answer of each row, as the experiment reads it; None where a row has none."""
    why: str
    """The property of the answers that led to the task, in words."""
    labels: tuple[str, ...] = ()
    """For classify and labels: all labels of the rows, sorted."""
    choices: tuple[str, ...] = ()
    """For choose: the columns with a row's choices, or the one that lists them."""
    choice_labels: tuple[str, ...] = ()
    parsed: Mapping[str, Column] = field(default_factory=dict)
    """Columns of JSON texts -> their parsed values."""
    left_out: tuple[str, ...] = ()
    """Columns that give the answer away."""
    notes: tuple[str, ...] = ()


def is_empty(value: JSON) -> bool:
    """Return whether a cell is empty; an empty list is an answer, the empty set."""
    return value is None or (isinstance(value, str) and not value.strip())


def guess_task(
    table: ColumnTable,
    answer: str | None = None,
    inputs: Sequence[str] = (),
    task: str | None = None,
) -> TableTask:
    """Guess the task of a table from the contents of its columns.

    Args:
        table: the rows.
        answer: column with the right answers; None guesses it by its name.
        inputs: columns that the model reads; guessed if empty.
        task: one of :data:`TASKS`; None guesses it.

    Raises:
        ConfigError: no such column or task, answers that do not suit the task or any task, or no
            column to read besides the answer. The message says what was found and what is
            needed.
    """
    if task is not None and task not in TASKS:
        raise ConfigError(f"no task {task!r} can be made from a table{did_you_mean(task, TASKS)}")
    _check_columns(table, answer, inputs)
    if answer is None:
        answer = _guess_answer(table, inputs, task)
    values = _parse(table.values(answer))
    values = [None if is_empty(one) else one for one in values]
    _check_answers(table, answer, values)
    made = _guess_choices(table, answer, values) if task in (None, "choose") else None
    if made is None:
        if task == "choose":
            raise ConfigError(
                f"{table.path}: no columns hold the choices of a row; needed are columns such as "
                f"choice1 and choice2, or a column that lists them, and in {answer!r} the number, "
                "letter or text of the right one"
            )
        made = _guess_kind(table, answer, values, task)
    return _with_inputs(made, table, inputs)


def _check_columns(table: ColumnTable, answer: str | None, inputs: Sequence[str]) -> None:
    for name in (answer, *inputs):
        if name is not None and name not in table.names:
            raise ConfigError(f"{table.path}: no column {name!r}{did_you_mean(name, table.names)}")
    if answer in inputs:
        raise ConfigError(
            f"{answer!r} is the answer, which the model may not read; name another input, or "
            "another answer"
        )


def _guess_answer(table: ColumnTable, inputs: Sequence[str], task: str | None) -> str:
    others = [name for name in table.names if name not in inputs]
    named = [name for name in others if name.casefold() in _ANSWERS]
    if len(named) == 1:
        return named[0]
    if task == "translation":
        texts = [name for name in others if _is_text(table.values(name))]
        if len(texts) == 2 - bool(inputs):
            return texts[-1]
    if not named and len(others) == 2 - bool(inputs):
        return others[-1]
    listed = ", ".join(table.names[:20]) + (", …" if len(table.names) > 20 else "")
    raise ConfigError(
        f"{table.path}: which column holds the right answer? Name it, as in --answer "
        f"{(named or others)[-1]}; there are: {listed}"
    )


def _check_answers(table: ColumnTable, answer: str, values: Column) -> None:
    there = [one for one in values if one is not None]
    if not there:
        raise ConfigError(
            f"{table.path}: the column {answer!r} is empty in all {len(values)} rows; right "
            "answers are needed, in at least 4 rows"
        )
    if len(there) < 4:
        raise ConfigError(
            f"{table.path}: {len(there)} of {len(values)} rows have an answer in {answer!r}; at "
            "least 4 are needed, 2 to test and 2 as shots"
        )
    if len({json.dumps(one, sort_keys=True) for one in there}) == 1:
        raise ConfigError(
            f"{table.path}: the column {answer!r} holds one value, {_shown(there[0])}, in all "
            f"{len(there)} rows; at least two different ones are needed to learn or score anything"
        )
    if any(isinstance(one, list) and is_chat(one) for one in there):
        raise ConfigError(
            f"{table.path}: the column {answer!r} holds chats; a starter is made from columns of "
            "texts: put the question and the answer into a column each, or write the experiment "
            "by hand (docs/data.md, Chats)"
        )


def _shown(value: JSON) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return repr(text[:40] + ("…" if len(text) > 40 else ""))


def _parse(values: Column) -> Column:
    """Return the cells parsed as JSON, if all that are not empty are objects or lists."""
    made: Column = []
    for value in values:
        if is_empty(value):
            made.append(value)
            continue
        if not isinstance(value, str) or value.strip()[0] not in "[{":
            return values
        try:
            made.append(json.loads(value))
        except (ValueError, RecursionError):
            return values
    return made


def _text(value: JSON) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _guess_kind(table: ColumnTable, answer: str, values: Column, task: str | None) -> TableTask:
    there = [one for one in values if one is not None]
    if any(isinstance(one, dict | list) for one in there):
        return _guess_lists(table, answer, values, task)
    if task == "extract":
        raise ConfigError(
            f"{table.path}: the answer in {answer!r} is text, such as {_shown(there[0])}; to "
            'extract, JSON objects or lists are needed, as in {"person": ["Ann"]}; for text '
            "--task generate"
        )
    texts = [None if one is None else " ".join(_text(one).split()) for one in values]
    if task in (None, "labels"):
        found = _split_sets(texts, certain=task is None)
        if found:
            return _make_labels(answer, found, "several labels in one cell")
        if task == "labels":
            return _make_labels(answer, [[one] if one else None for one in texts], "--task")
    if task in (None, "classify"):
        made = _guess_labels(table, answer, texts, task)
        if made:
            return made
    if task is None:
        if _summarizes(table, answer, texts):
            return TableTask("summarization", (), answer, values, "shorter than a long text")
        return TableTask("generate", (), answer, values, "different texts")
    return TableTask(task, (), answer, values, "--task")


def _guess_labels(
    table: ColumnTable, answer: str, texts: list[str | None], task: str | None
) -> TableTask | None:
    """Make a task of labels if few answers repeat; refuse other answers that are no texts.

    Labels that differ in case alone are taken as one, in the spelling that most rows have.
    """
    spelt = Counter(one for one in texts if one)
    usual, notes = _merge_spellings(spelt)
    labels = sorted({*usual.values()})
    n, different = spelt.total(), len(labels)
    short = all(len(label) <= _SHORT for label in labels)
    enough = n >= different * (2 if different <= 10 else 3)
    if different <= MOST_LABELS and (enough and short if task is None else n > different):
        values: Column = [one and usual[one] for one in texts]
        why = f"{different} different answers in {n} rows"
        return TableTask("classify", (), answer, values, why, tuple(labels), notes=notes)
    code = all(" " not in label for label in labels)
    number = all(re.fullmatch(r"[-+]?\d+([.,]\d+)?", label) for label in labels)
    doubtful = short and (enough or number or (code and different > MOST_LABELS))
    if task == "classify" or doubtful:
        raise ConfigError(
            f"{table.path}: the column {answer!r} holds {different:,} different values in {n:,} "
            f"rows; to classify, at most {MOST_LABELS} are needed, each in at least two or three "
            "rows; --task generate has the model generate them"
        )
    return None


def _merge_spellings(spelt: Counter[str]) -> tuple[dict[str, str], tuple[str, ...]]:
    """Map each spelling of a label to the most frequent one; add a line if they differ.

    Spellings are those that look alike: in case, width or form of letters, or as 1 and 1.0.
    """
    likest: dict[str, str] = {}
    for one, _ in spelt.most_common():
        likest.setdefault(fold_label(one), normalise_label(one))
    usual = {one: likest[fold_label(one)] for one in spelt}
    twice = sorted(one for one, label in usual.items() if normalise_label(one) != label)
    told = ", ".join(f"{one} is taken as {usual[one]}" for one in twice[:3])
    return usual, (f"labels spelt in more than one way: {told}",) if twice else ()


def _guess_lists(table: ColumnTable, answer: str, values: Column, task: str | None) -> TableTask:
    there = [one for one in values if one is not None]
    flat = [one for cell in there for one in (cell if isinstance(cell, list) else [cell])]
    scalars = not any(isinstance(one, dict | list) or one is None for one in flat)
    words = statistics.median([len(_text(one).split()) for one in flat]) if flat else 0
    different = len({_text(one) for one in flat})
    few = scalars and different <= MOST_LABELS and len(flat) >= 2 * different
    if task in ("classify", "labels") and not scalars:
        raise ConfigError(
            f"{table.path}: the answer in {answer!r} is {_shown(there[0])}; labels are texts or "
            "lists of texts: --task extract takes objects"
        )
    if task in ("labels", None) and (few or task):
        if different > MOST_LABELS:
            raise ConfigError(
                f"{table.path}: the lists in {answer!r} hold {different:,} different values; at "
                f"most {MOST_LABELS} are needed for labels; --task extract has the model write them"
            )
        sets = [one if one is None else [_text(part) for part in _as_list(one)] for one in values]
        return _make_labels(answer, sets, "lists of few different labels")
    if task == "classify":
        raise ConfigError(
            f"{table.path}: the answers in {answer!r} are lists, such as {_shown(there[0])}; to "
            "classify, one label a row is needed; --task labels takes sets of them"
        )
    if task in ("generate", "translation", "summarization") or (
        task is None and scalars and words >= 4
    ):
        if not scalars:
            raise ConfigError(
                f"{table.path}: the answer in {answer!r} is {_shown(there[0])}, and a text or a "
                "list of texts is needed; --task extract takes objects"
            )
        return TableTask(task or "generate", (), answer, values, "lists of right answers")
    bare = [one for one in there if not isinstance(one, dict | list)]
    if bare:
        raise ConfigError(
            f"{table.path}: the column {answer!r} holds objects or lists in some rows, and in "
            f"others values such as {_shown(bare[0])}; to extract, an object or a list is needed "
            "in each row, or nothing"
        )
    return TableTask("extract", (), answer, values, "objects or lists of many different items")


def _as_list(value: JSON) -> list[JSON]:
    return value if isinstance(value, list) else [value]


def _split_sets(texts: list[str | None], certain: bool) -> list[list[str] | None] | None:
    """Split cells such as ``joy, anger`` if their members occur in several combinations."""
    there = [one for one in texts if one]
    for separator in _SEPARATORS:
        split = [[p for p in map(str.strip, one.split(separator)) if p] for one in there]
        members = Counter(part for parts in split for part in parts)
        several = sum(len(parts) > 1 for parts in split)
        if several and (
            not certain
            or (
                several >= _SET_SHARE * len(there)
                and len(members) <= _MOST_MEMBERS
                and len(members) < len(set(there))
                and members.total() >= 3 * len(members)
                and all(len(member.split()) <= 3 for member in members)
            )
        ):
            found = iter(split)
            return [next(found) if one else None for one in texts]
    return None


def _make_labels(answer: str, sets: Sequence[Sequence[str] | None], why: str) -> TableTask:
    spaced = [one if one is None else [" ".join(part.split()) for part in one] for one in sets]
    usual, notes = _merge_spellings(Counter(part for one in spaced for part in one or () if part))
    values: Column = [
        one if one is None else list(dict.fromkeys(usual[part] for part in one if part))
        for one in spaced
    ]
    labels = tuple(sorted({*usual.values()}))
    return TableTask("labels", (), answer, values, why, labels, notes=notes)


def _summarizes(table: ColumnTable, answer: str, texts: Iterable[str | None]) -> bool:
    """Return whether answers are sentences, much shorter than the longest column."""
    source = _find_longest(table, [name for name in table.names if name != answer])
    there = [one for one in texts if one]
    if source is None:
        return False
    length = statistics.median(len(_text(one)) for one in table.values(source))
    said = statistics.median(len(one) for one in there)
    words = statistics.median(len(one.split()) for one in there)
    return length >= _LONG and said <= length / 2 and (words >= 4 or said >= 20)


def _find_longest(table: ColumnTable, names: Iterable[str]) -> str | None:
    """Return the column with the longest texts."""
    lengths = {
        name: statistics.fmean(len(_text(one)) for one in table.values(name))
        for name in names
        if all(isinstance(one, str | None) for one in table.values(name))
    }
    return max(lengths, key=lambda name: lengths[name]) if lengths else None


def _guess_choices(table: ColumnTable, answer: str, values: Column) -> TableTask | None:
    """Make a task of row-wise choices, if columns hold choices and answers name one of them."""
    others = [name for name in table.names if name != answer]
    named: list[tuple[tuple[str, ...], list[list[JSON]]]] = []
    parsed: dict[str, Column] = {}
    for name in others:
        cells = _parse(table.values(name))
        if all(isinstance(one, list) and len(one) > 1 for one in cells):
            named.append(((name,), [one for one in cells if isinstance(one, list)]))
            parsed[name] = cells
    groups: dict[str, list[str]] = defaultdict(list)
    for name in others:
        if found := re.fullmatch(r"(.*?)[ _-]?(\d|[A-Ha-h])", name):
            groups[found[1].casefold()].append(name)
    for prefix, members in groups.items():
        rows = [list(row) for row in zip(*map(table.values, members), strict=True)]
        whole = not any(is_empty(one) for row in rows for one in row)
        if len(members) > 1 and whole and prefix.rstrip(" _-") in _CHOICES:
            named.append((tuple(members), rows))
    for columns, rows in named:
        labels = _find_choice_labels(columns, [[_text(one) for one in row] for row in rows], values)
        if labels:
            return TableTask(
                "choose",
                (),
                answer,
                [None if one is None else _text(one).strip() for one in values],
                f"it names one of the choices in {', '.join(columns)}",
                choices=columns,
                choice_labels=labels,
                parsed={name: cells for name, cells in parsed.items() if name in columns},
            )
    return None


def _find_choice_labels(
    columns: tuple[str, ...], rows: list[list[str]], values: Column
) -> tuple[str, ...] | None:
    """Return how answers name a choice, as ``choice_labels`` has it; None if they do not."""
    answered = [
        (_text(value).strip(), row)
        for value, row in zip(values, rows, strict=True)
        if value is not None
    ]
    most = max(len(row) for row in rows)
    if all(value in row for value, row in answered):
        return ("text",)
    zero, first = [str(n) for n in range(most)], [str(n + 1) for n in range(most)]
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[:most]
    ways: list[tuple[str, ...]] = [
        tuple(first),
        tuple(zero),
        tuple(letters),
        tuple(letters.lower()),
    ]
    if len(columns) > 1:
        ways.append(columns)
    for way in ways:
        if len(way) == most and all(value in way[: len(row)] for value, row in answered):
            return ("index",) if way == ways[1] else way
    return None


def _with_inputs(made: TableTask, table: ColumnTable, inputs: Sequence[str]) -> TableTask:
    """Add the columns that the model reads to a task: the named ones, or all with texts."""
    others = [name for name in table.names if name not in (made.answer, *made.choices)]
    away = [name for name in others if made.labels and _tells(table.values(name), made.values)]
    free = [
        name
        for name in others
        if name not in away and len({_text(one) for one in table.values(name)}) > 1
    ]
    if inputs:
        found = list(inputs)
    elif made.task in ("translation", "summarization"):
        longest = _find_longest(table, free)
        found = [longest] if longest else []
    else:
        found = [name for name in free if _is_text(table.values(name))]
        found = found or [name for name in free if _has_letters(table.values(name))]
        found = found or [name for name in free if _is_scalar(table.values(name))]
    if not found and not (made.choices and not others):
        told = f" ({', '.join(away)} gives the answer away)" if away else ""
        raise ConfigError(
            f"{table.path}: no column to read besides the answer {made.answer!r}{told}; a column "
            "of different texts or numbers is needed: name it, as in --input text"
        )
    if made.task in ("translation", "summarization") and len(found) > 1:
        raise ConfigError(
            f"a {made.task} reads one column, and {', '.join(found)} are named; name one, or give "
            "--task generate"
        )
    left = tuple(name for name in away if name not in found)
    return replace(made, inputs=tuple(found), left_out=left)


def _tells(values: Column, answers: Column) -> bool:
    """Return whether a column gives the answer away: each of its values goes with one answer."""
    pairs = {
        (_text(one), _text(answer))
        for one, answer in zip(values, answers, strict=True)
        if answer is not None
    }
    return (
        len(pairs) > 1
        and len({one for one, _ in pairs}) == len(pairs) == len({answer for _, answer in pairs})
        and len(pairs) < len(values)
    )


def _is_text(values: Column) -> bool:
    """Return whether most cells have several words, or are long in a script without spaces."""
    there = [one for one in values if not is_empty(one)]
    texts = [one for one in there if isinstance(one, str) and re.search(r"[^\W\d_]", one)]
    several = [one for one in texts if len(one.split()) > 1 or _is_unparted(one)]
    return len(texts) > 0.8 * len(there) and len(several) > 0.5 * len(there)


def _is_unparted(text: str) -> bool:
    """Return whether a text is longer than a word in a script without spaces between words."""
    return len(re.findall(r"[\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3040-\u9fff]", text)) > 4


def _has_letters(values: Column) -> bool:
    there = [one for one in values if not is_empty(one)]
    return all(isinstance(one, str) and re.search(r"[^\W\d_]", one) for one in there)


def _is_scalar(values: Column) -> bool:
    return all(isinstance(one, str | int | float | None) for one in values)
