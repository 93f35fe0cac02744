"""Notes on the rows behind a table: lost shots, unscored rows, words of a fallback language."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from icl.core.number_text import format_number
from icl.core.score_name import ScoreName
from icl.records.results import ConditionResult, find_varying_axes
from icl.scoring.checks import name_conditions
from icl.scoring.unscored import score_if_wrong

__all__ = [
    "FALLBACK",
    "count_rows",
    "define_terms",
    "name_settings",
    "note_fallbacks",
    "note_gold",
    "note_shots",
    "note_unscored",
]


ERROR_CHARS = 120
"""Most characters of an error below a table; the record has all of it."""


def count_rows(row: ConditionResult, whole: bool = True) -> str:
    """Format the number of answered rows: ``198 (2 unscored)``.

    ``whole`` adds the number of all rows if some were not sent yet: ``40 of 200``.
    """
    text = f"{len(row.records):,}"
    if whole and row.n_missing:
        text += f" of {len(row.ids):,}"
    return text + (f" ({len(row.unscored)} unscored)" if row.unscored else "")


def note_unscored(row: ConditionResult) -> Iterator[str]:
    """Yield a note on rows without an answer: how many, why, and the score if they were wrong."""
    if not row.unscored:
        return
    first = next(iter(row.unscored.values()))
    why = " ".join(first.error.split())
    why = why if len(why) <= ERROR_CHARS else f"{why[: ERROR_CHARS - 1]}…"
    case = score_if_wrong(row)
    wrong, several = "", len(row.unscored) > 1
    if case is not None:
        numbers = [format_number(number) for number in (case.if_wrong, case.value)]
        wrong = (
            f"; were {'they' if several else 'it'} wrong, {case.title} would be {numbers[0]} "
            f"instead of {numbers[1]}"
        )
    yield (
        f"{len(row.unscored)} of {len(row.ids)} rows {'are' if several else 'is'} unscored and "
        f"left out of n{wrong}; the next icl run tries {'them' if several else 'it'} again "
        f"({first.id}: {why})"
    )


def note_shots(rows: Sequence[ConditionResult]) -> Iterator[str]:
    """Yield notes on prompts that lost shots to fit the window or had fewer than k, by locale."""
    prompts: Counter[str] = Counter()
    lost: Counter[str] = Counter()
    shots: Counter[str] = Counter()
    fewer: Counter[str] = Counter()
    for row in rows:
        place = row.axes.get("locale", "")
        k = row.settings.get("k", "all")
        for record in row.records.values():
            prompts[place] += 1
            lost[place] += bool(record.dropped)
            shots[place] += len(record.dropped)
            found = len(record.shots) + len(record.dropped)
            fewer[place] += k != "all" and found < int(k)
    if lost.total():
        yield (
            f"{lost.total()} of {prompts.total()} prompts lost {shots.total()} shots to fit the "
            f"window{_by_place(lost)}"
        )
    if fewer.total():
        yield (
            f"{fewer.total()} of {prompts.total()} prompts have fewer shots than k: their selector "
            f"found no more{_by_place(fewer)}"
        )


FALLBACK = "fallback"
"""Head of the column that counts words and labels from the template's fallback language."""
WORDS = 4
"""Most words and labels that a note names."""


def note_fallbacks(rows: Sequence[ConditionResult]) -> Iterator[str]:
    """Yield the words and labels that a language lacks, once for each locale."""
    found: dict[tuple[str, str], tuple[str, ...]] = {}
    for row in rows:
        if row.entry.fallbacks:
            place = row.axes.get("locale") or row.axes.get("language") or "all rows"
            found[place, row.axes["prompt"]] = row.entry.fallbacks
    for (place, prompt), words in found.items():
        told = f"{len(words)} words of {prompt} are from its fallback language"
        yield f"{place}: {told}: {_few(words)}"


TERMS = {
    "chance": "a random answer",
    "majority": "the pool's most frequent answer",
    "vote": "the shots' most frequent label",
    "copy": "the input itself",
    "lead3": "the first three sentences",
    "no_slots": "no slot at all",
    "nearest": "the form of the most similar shot",
}
"""Baseline -> what it answers, for whoever meets its name in a table."""


def define_terms(conditions: Sequence[ConditionResult]) -> str:
    """Explain in a line the words of tables: what a condition is, and what each baseline answers.

    Only baselines that the conditions were scored against are explained.
    """
    scored = {
        ScoreName.of(score.name, "baseline").role
        for row in conditions
        for score in row.scores
        if score.kind == "baseline"
    }
    told = "; ".join(f"{name}, {text}" for name, text in TERMS.items() if name in scored)
    line = "condition: a row of a table, one combination of settings"
    return f"{line}; baselines (no model): {told}" if told else line


def name_settings(rows: Sequence[ConditionResult], name: str) -> dict[str, str]:
    """Map the settings of one score to their conditions, in brackets; to "" if all are alike.

    BLEU of Japanese and of German are counted by two tokenizers, and are no one measure.
    """
    found: dict[str, list[ConditionResult]] = {}
    for row in rows:
        for score in row.scores:
            if score.name == name:
                found.setdefault(score.settings, []).append(row)
    if len(found) < 2:
        return dict.fromkeys(found, "")
    called = name_conditions(rows)
    words = {key: [called[one.entry.fingerprint] for one in some] for key, some in found.items()}
    for axis in find_varying_axes(rows):
        values = {
            key: dict.fromkeys(o.axes.get(axis, "") for o in some) for key, some in found.items()
        }
        if sum(map(len, values.values())) == len({v for some in values.values() for v in some}):
            words = {key: list(some) for key, some in values.items()}
            break
    return {key: f" ({_few(some)})" for key, some in words.items()}


def _few(words: Sequence[str]) -> str:
    return ", ".join(words[:WORDS]) + (", …" if len(words) > WORDS else "")


def note_gold(rows: Sequence[ConditionResult]) -> Iterator[str]:
    """Yield a note if gold is the data's answer although the prompt shows it changed."""
    count = sum(bool(row.raw_gold) for row in rows)
    if count:
        yield (
            f"gold is the raw answer of the data, although the part after ||| changes it, in "
            f"{count} of {len(rows)} conditions: their folders are of an earlier version; icl run "
            "again stores gold as the prompt shows it"
        )


def _by_place(counts: Mapping[str, int]) -> str:
    """Write ``: sw-KE 10, de-DE 2``, largest first; empty if there is only one place."""
    if len(counts) < 2:
        return ""
    found = sorted(((n, place) for place, n in counts.items() if n), key=lambda one: -one[0])
    return ": " + ", ".join(f"{place} {n}" for n, place in found)
