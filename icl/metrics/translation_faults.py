"""Faults of translations: another language, the source copied, more than was wanted.

Languages are identified by script first, then by py3langid among the languages of the pair, after
the off-target rate of Zhang et al. 2020 (arXiv 2004.11867).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from icl.core.errors import DataError, MetricError
from icl.core.languages import find_language, measure_script_share
from icl.core.segmentation import split_words
from icl.core.stats import Stats, proportion
from icl.core.types import Example, Prediction
from icl.metrics import pair_up

__all__ = ["CopiedSource", "OffTarget", "OverGeneration", "LanguageConfusion"]


OWN_SCRIPT = 0.5
"""Share of a text's letters in the script of the target language, below which it is another."""
TOO_LONG = 2
"""An answer of more than this many times the words of its longest target is too long."""


@dataclass(frozen=True, slots=True)
class OffTarget:
    """Answers in another language than the target, in percent, with Wilson's interval.

    An answer without letters is in no language and does not count. ``target_mistaken`` tells how
    often the same rule is wrong about the right answers.
    """

    languages: tuple[str, ...] = ()
    """Tags of further languages that an answer may be in, besides source and target."""

    name = "off_target"
    label = "off-target %"
    better = "lower"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [hit, 1]: whether the answer is in another language.  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, a row names no pair of languages, or
                py3langid is missing or does not know the target language.
        """
        hits = [
            _is_elsewhere(prediction.value or "", example, self.languages, self.name)
            for prediction, example in pair_up(predictions, examples, self.name)
        ]
        return proportion(hits, _sign(self.name, self.languages))


@dataclass(frozen=True, slots=True)
class LanguageConfusion:
    """Right answers that identification takes for another language, in percent, with an interval.

    It is the error of ``off_target``, whose rate cannot be trusted below it.
    """

    languages: tuple[str, ...] = ()
    """Tags of further languages that an answer may be in, besides source and target."""

    name = "target_mistaken"
    label = "mistaken %"
    better = "none"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [hit, 1]: whether the first target passes for another.  # (n, 2)

        Raises:
            MetricError: see :meth:`OffTarget.stats`.
        """
        hits = [
            _is_elsewhere(example.targets[0], example, self.languages, self.name)
            for _, example in pair_up(predictions, examples, self.name)
        ]
        return proportion(hits, _sign(self.name, self.languages))


@dataclass(frozen=True, slots=True)
class CopiedSource:
    """Answers with the words of the source and no others, in percent, with Wilson's interval.

    Case, punctuation and white space do not count. A source that is its own translation counts,
    too, unless a target says the same.
    """

    field: str = "source"
    """Field of the text that is translated."""

    name = "copied_source"
    label = "copied %"
    better = "lower"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [hit, 1]: whether the answer is the source.  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or a row has no such field.
        """
        hits = []
        for prediction, example in pair_up(predictions, examples, self.name):
            source = example.fields.get(self.field)
            if not isinstance(source, str):
                raise MetricError(
                    f"{self.name}: example {example.id!r} has no text in a field {self.field!r}; "
                    f"name the text, as in {{metric: {self.name}, field: text}}"
                )
            words = split_words(source)
            right = any(split_words(target) == words for target in example.targets)
            hits.append(bool(words) and not right and split_words(prediction.value or "") == words)
        return proportion(hits, f"{self.name}|field:{self.field}|words:unicode")


@dataclass(frozen=True, slots=True)
class OverGeneration:
    """Answers that go on too long, in percent, with Wilson's interval.

    They have more than twice the words of their longest target, or the most tokens that were
    allowed.
    """

    name = "over_generation"
    label = "too long %"
    better = "lower"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [hit, 1]: whether the answer is too long.  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or an example has no target.
        """
        hits = []
        for prediction, example in pair_up(predictions, examples, self.name):
            wanted = max(len(split_words(target)) for target in example.targets)
            said = len(split_words(prediction.value or ""))
            hits.append(prediction.finish == "length" or said > TOO_LONG * wanted)
        return proportion(hits, f"{self.name}|above:{TOO_LONG}x|cut:counts|words:unicode")


def _sign(name: str, languages: Sequence[str]) -> str:
    from importlib.metadata import version

    make_identifier(())
    more = f"|languages:{','.join(sorted(languages))}" if languages else ""
    return f"{name}|script:first|py3langid:{version('py3langid')}{more}"


def _is_elsewhere(text: str, example: Example, more: Sequence[str], metric: str) -> bool:
    """Return whether a text is in another language than the row's target."""
    tags = [example.meta.get("target"), example.meta.get("source")]
    if tags[0] is None:
        raise MetricError(
            f"{metric}: example {example.id!r} names no language to translate into; give `pair:` "
            "under rows, or leave the metric out"
        )
    try:
        share = measure_script_share(text, tags[0])
        found = [find_language(tag) for tag in (*tags, *more) if tag is not None]
    except DataError as error:
        raise MetricError(f"{metric}: {error}") from error
    target, others = found[0], [one for one in found[1:] if one.code != found[0].code]
    letters = any(character.isalpha() for character in text)
    if not letters:
        return False
    if share is not None and share < OWN_SCRIPT:
        return True
    rivals = [one.code for one in others if one.script == target.script]
    if not rivals:
        return False
    known = make_identifier(()).labels
    if target.code not in known:
        raise MetricError(
            f"{metric}: py3langid does not know {target.code!r} ({target.tag}), so it cannot tell "
            "it from others of its script; leave the metric out"
        )
    candidates = tuple(sorted({target.code, *(code for code in rivals if code in known)}))
    return bool(make_identifier(candidates).classify(text)[0] != target.code)


@lru_cache(maxsize=64)
def make_identifier(candidates: tuple[str, ...]) -> Any:
    """Return an identifier among some languages; among all it knows if none are given."""
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError as error:
        raise MetricError(
            "off_target identifies languages with py3langid, which is not here: "
            'pip install "icl-workbench[languages]"'
        ) from error
    made = LanguageIdentifier.from_model_file(MODEL_FILE)
    if candidates:
        made.set_languages(list(candidates))
    return made
