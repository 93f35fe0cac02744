"""The task of inflecting a word: the form of a lemma that features such as ``V;PST`` describe.

Scored as in SIGMORPHON's shared tasks: exact match, here after NFC, and edit distance (Cotterell
et al. 2016, https://aclanthology.org/W16-2002).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from icl.core.errors import MetricError
from icl.core.features import count_shared_ending, measure_overlap, read_features
from icl.core.kinds import Kind
from icl.core.types import Example, Prediction
from icl.tasks import OwnAnswers, Task

__all__ = ["INFLECTION", "Change", "answer_inflections", "find_change", "find_nearest"]


@dataclass(frozen=True, slots=True)
class Change:
    """The change of a word's beginning and end by which it is inflected."""

    prefix: str
    new_prefix: str
    suffix: str
    new_suffix: str

    def apply(self, lemma: str) -> str:
        """Change a word; an end that it does not have is added to and not replaced.

        >>> Change("", "ge", "en", "t").apply("sagen")
        'gesagt'
        """
        begin = len(self.prefix) if lemma.startswith(self.prefix) else 0
        end = len(self.suffix) if lemma[begin:].endswith(self.suffix) else 0
        return self.new_prefix + lemma[begin : len(lemma) - end] + self.new_suffix


def find_change(lemma: str, form: str) -> Change:
    """Find the change from a lemma to its form: all but their longest common part.

    >>> find_change("machen", "gemacht")
    Change(prefix='', new_prefix='ge', suffix='en', new_suffix='t')
    """
    match = SequenceMatcher(None, lemma, form, autojunk=False).find_longest_match()
    return Change(
        lemma[: match.a],
        form[: match.b],
        lemma[match.a + match.size :],
        form[match.b + match.size :],
    )


def find_nearest(row: Example, shots: Sequence[Example]) -> Example:
    """Find the shot whose features share most with the row's; of several that of like ending.

    Raises:
        MetricError: a row has no text in ``lemma`` or ``features``.
    """
    lemma, features = _read(row, "lemma"), read_features(_read(row, "features"))
    return max(
        shots,
        key=lambda shot: (
            measure_overlap(features, read_features(_read(shot, "features"))),
            count_shared_ending(lemma, _read(shot, "lemma")),
        ),
    )


def answer_inflections(rows: Sequence[Example], shots: Sequence[Sequence[Example]]) -> OwnAnswers:
    """Answer rows without a model: ``copy`` by the lemma, ``nearest`` by the change of a shot.

    Args:
        rows: the rows that are answered.
        shots: the shots of each row; ``nearest`` is left out where no row has any.

    Raises:
        MetricError: a row has no text in ``lemma`` or ``features``.
    """
    made = {"copy": [[Prediction(row.id, _read(row, "lemma"))] for row in rows]}
    answered = [[shot for shot in own if shot.targets] for own in shots]
    if any(answered):
        made["nearest"] = [
            list(_answer_nearest(row, own)) for row, own in zip(rows, answered, strict=True)
        ]
    return made


def _answer_nearest(row: Example, shots: Sequence[Example]) -> Iterator[Prediction]:
    if not shots:
        yield Prediction(row.id, None, "no shots")
        return
    shot = find_nearest(row, shots)
    change = find_change(_read(shot, "lemma"), shot.targets[0])
    yield Prediction(row.id, change.apply(_read(row, "lemma")))


def _read(row: Example, field: str) -> str:
    value = row.fields.get(field)
    if not isinstance(value, str):
        raise MetricError(
            f"inflection reads the field {field!r} as text, and example {row.id!r} has "
            f"{', '.join(sorted(row.fields)) or 'no fields'}; name the column in fields:, as in "
            f"fields: {{{field}: COLUMN}}"
        )
    return value


INFLECTION = Task(
    name="inflection",
    kind=Kind(
        name="inflection",
        metrics=("exact_match", "edit_distance"),
        baselines=("copy", "nearest"),
        needs_stop=True,
        samples="inflection",
        starter="inflection/arrow",
    ),
    methods=("generate",),
    parser="first_line",
    metrics=("exact_match", "edit_distance"),
    baselines=("copy", "nearest"),
    answer_alone=answer_inflections,
)
"""The form of a lemma that features describe."""
