"""Pattern: the percentage of predictions in which a regular expression is found."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import regex

from icl.core.bounded_regex import MOST_CHARS, BoundedRegex
from icl.core.stats import Stats, proportion
from icl.core.types import Example, Prediction
from icl.metrics import pair_up

__all__ = ["PatternMatch"]


_TARGET = "{target}"


@dataclass(frozen=True, slots=True)
class PatternMatch:
    """Share of predictions in which the pattern is found, in percent, with Wilson's interval.

    The first ``{target}`` in the pattern matches any of the row's targets, letter by letter. A
    prediction that could not be parsed is wrong and counts in n.
    """

    pattern: str = "{target}"
    """In the syntax of Python's library regex; it may be found anywhere, unless it says ``^``."""
    ignore_case: bool = False

    name = "regex"
    label = "regex"

    def __post_init__(self) -> None:
        self._compiled(("x",))  # refused before anything is scored

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [hit, 1]: whether the pattern is found in the prediction.  # (n, 2)

        Raises:
            ConfigError: the pattern works too long on a prediction.
            MetricError: the sequences do not run parallel, or an example has no target.
        """
        hits = [
            prediction.value is not None
            and self._compiled(example.targets).find(prediction.value, 0) is not None
            for prediction, example in pair_up(predictions, examples, self.label)
        ]
        case = "ignored" if self.ignore_case else "kept"
        return proportion(hits, f"regex|pattern:{self.pattern}|case:{case}")

    def _compiled(self, targets: tuple[str, ...]) -> BoundedRegex:
        if not isinstance(self.pattern, str) or _TARGET not in self.pattern:
            return _compile(self.pattern, self.ignore_case, MOST_CHARS)
        any_of = "|".join(regex.escape(target) for target in targets)
        # What the data adds is letters alone, which compile fast however many there are.
        most = MOST_CHARS + len(any_of)
        pattern = self.pattern.replace(_TARGET, f"(?:{any_of})", 1)
        return _compile(pattern, self.ignore_case, most)


@lru_cache(maxsize=256)
def _compile(pattern: str, ignore_case: bool, most_chars: int) -> BoundedRegex:
    return BoundedRegex(pattern, ignore_case, most_chars)
