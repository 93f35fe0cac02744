"""The reading of an output, or of a ranking, as a set of labels.

The threshold that the pool chooses lets as many labels through a row as the rows of the pool have
on average (Read, Pfahringer, Holmes and Frank 2011, https://doi.org/10.1007/s10994-011-5256-5).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from icl.core.errors import ConfigError
from icl.core.label_sets import read_labels, split_labels, write_labels
from icl.core.probabilities import label_shares
from icl.core.types import Choice
from icl.tasks.parsers import fold, text
from icl.tasks.patterns import ParserEntry, make_parser

__all__ = ["POOL", "SetRule", "Take", "choose_threshold", "count_mean_labels", "make_rule"]


POOL = "pool"
"""Word for the labels above a threshold that is chosen by the pool."""

Take = str | int | float
"""Rule for ranked labels: ``pool``, a number of labels, or the share of probability above which a
label is taken."""


@dataclass(frozen=True, slots=True)
class SetRule:
    """A rule for which labels of an answer are in the set."""

    separator: str = ", "
    """Separator of the labels of a text."""
    empty: str = "none"
    """Text for the empty set."""
    most: int | None = None
    """For a ranking: number of labels to take, the likeliest first."""
    above: float | None = None
    """For a ranking: share of the labels' probability above which a label is taken."""

    def read(self, output: str, parser: ParserEntry, choices: Sequence[Choice]) -> str:
        """Read the labels that an output lists, each by a parser; return their normal form.

        Its first line counts, unless lines are what separates labels.

        Raises:
            ParseError: the output is empty, or a piece of it is no label.
        """
        answer = text(output)
        if not any(end in self.separator for end in "\r\n"):
            answer = answer.splitlines()[0].rstrip()
        if fold(answer) == fold(self.empty):
            return write_labels(())
        read = make_parser(parser)
        return write_labels(read(one, choices) for one in split_labels(answer, self.separator))

    def take(self, scores: Sequence[float], labels: Sequence[str]) -> str:
        """Return the labels that a ranking takes, in normal form; of equals the first."""
        if self.above is not None:
            shares = label_shares(scores)
            named = zip(shares, labels, strict=True)
            return write_labels(label for share, label in named if share > self.above)
        order = sorted(range(len(labels)), key=lambda place: -scores[place])
        return write_labels(labels[place] for place in order[: self.most])


def count_mean_labels(pool_labels: Mapping[str, int]) -> float:
    """Compute the mean number of labels of a pool row.

    >>> count_mean_labels({'["joy"]': 1, '["anger","joy"]': 3})
    1.75

    Raises:
        ConfigError: the pool has no row with an answer.
    """
    rows = sum(pool_labels.values())
    if not rows:
        raise ConfigError(
            "take: pool counts the labels of pool rows, and there are none; give the task a pool "
            "with answers, or say how many labels are taken, as in take: 2"
        )
    return sum(len(read_labels(one)) * count for one, count in pool_labels.items()) / rows


def choose_threshold(rows: Sequence[Sequence[float]], pool_labels: Mapping[str, int]) -> float:
    """Choose the share above which labels are taken, so that rows get as many as pool rows have.

    Args:
        rows: log-probabilities of the labels, a row an example.
        pool_labels: set of labels in normal form -> rows of the pool that have it.

    Raises:
        ConfigError: see :func:`count_mean_labels`.
    """
    shares = sorted((share for row in rows for share in label_shares(row)), reverse=True)
    wanted = round(count_mean_labels(pool_labels) * len(rows))
    higher = shares[wanted - 1] if wanted else 1.0
    lower = shares[wanted] if wanted < len(shares) else 0.0
    return (higher + lower) / 2


def make_rule(
    separator: str,
    empty: str,
    take: Take,
    rows: Sequence[Sequence[float]],
    pool_labels: Mapping[str, int],
) -> SetRule:
    """Make the rule of a condition; choose its threshold if ``take`` is the pool.

    A single row says too little to choose a threshold by: it gets as many labels as pool rows
    have on average, rounded.

    Raises:
        ConfigError: see :func:`count_mean_labels`.
    """
    rows = [row for row in rows if len(row)]
    if not rows:
        return SetRule(separator, empty)
    if take != POOL:
        return (
            SetRule(separator, empty, most=take)
            if isinstance(take, int)
            else SetRule(separator, empty, above=float(take))
        )
    if len(rows) == 1:
        return SetRule(separator, empty, most=round(count_mean_labels(pool_labels)))
    return SetRule(separator, empty, above=choose_threshold(rows, pool_labels))
