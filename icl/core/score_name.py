"""The parts of a score's name, and the choice of the score that represents a condition.

``accuracy@text+batch`` is the accuracy of answers that the parser ``text`` read and the calibrator
``batch`` corrected; ``vote/accuracy`` that of a baseline. Only this module writes and reads names.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from icl.core.types import BASELINES, Ranking, Score, ScoreKind

__all__ = ["PartialRanking", "ScoreName", "own_scores", "partial", "primary"]


PartialRanking: TypeAlias = Literal["first_token", "generate"]
"""Way in which a server ranked choices if it could not score all their tokens."""

_WRITTEN: dict[PartialRanking, str] = {"first_token": "first_token", "generate": "written"}
_READ: dict[str, PartialRanking] = {text: ranking for ranking, text in _WRITTEN.items()}


@dataclass(frozen=True, slots=True)
class ScoreName:
    """The parts of a score's name; empty ones are left out of its text.

    Any text can be parsed, and ``str`` gives the same text back. Users may name a metric with the
    marks ``@``, ``+`` and ``/``: a part is read from the right, and only if there is text on both
    sides of its mark.

    >>> str(ScoreName("accuracy", ranking="first_token", calibrator="batch"))
    'accuracy@first_token+batch'
    >>> ScoreName.of("vote/accuracy").role, ScoreName.of("chrf@text").parser
    ('vote', 'text')
    """

    metric: str
    """Name of the metric or of the count."""
    parser: str = ""
    """Parser that read the answers, if it is not the experiment's own."""
    ranking: PartialRanking | None = None
    """Way in which a server ranked the choices, if it did not score all their tokens."""
    calibrator: str = ""
    """Calibrator that corrected the ranking."""
    role: str = ""
    """The baseline whose answers are scored; empty for a model's."""

    @classmethod
    def of(cls, text: str, kind: ScoreKind | None = None) -> ScoreName:
        """Parse the name of a score.

        Args:
            text: the name.
            kind: kind of the score, if known. Only a baseline's score has a baseline before the
                ``/``; if the kind is unknown, the known names of baselines decide.
        """
        role, rest = "", text
        if kind in (None, "baseline"):
            before, _, behind = text.partition("/")
            if before and behind and (kind == "baseline" or before in BASELINES):
                role, rest = before, behind
        rest, calibrator = _split(rest, "+", "@/|")  # none of which a calibrator's name may have
        metric, way = _split(rest, "@", "")
        ranking = _READ.get(way)
        return cls(metric, "" if ranking else way, ranking, calibrator, role)

    @classmethod
    def of_score(cls, score: Score) -> ScoreName:
        """Parse the name of a score, using the score's kind."""
        return cls.of(score.name, score.kind)

    def __str__(self) -> str:
        role = f"{self.role}/" if self.role else ""
        way = f"@{self.way}" if self.way else ""
        calibrator = f"+{self.calibrator}" if self.calibrator else ""
        return f"{role}{self.metric}{way}{calibrator}"

    @property
    def way(self) -> str:
        """Return how the answers were parsed or ranked, as in the name; empty for the usual way."""
        return _WRITTEN[self.ranking] if self.ranking else self.parser

    @property
    def plain(self) -> ScoreName:
        """Return the same name without a calibrator."""
        return replace(self, calibrator="")

    def calibrated(self, calibrator: str) -> ScoreName:
        """Return the same name with a calibrator."""
        return replace(self, calibrator=calibrator)


def partial(ranking: Ranking | None) -> PartialRanking | None:
    """Return how a score's name writes a ranking; None if all tokens of the choices were scored."""
    return None if ranking == "echo" else ranking


def own_scores(scores: Iterable[Score]) -> list[Score]:
    """Select the scores of the model's own answers: no calibrated ones, baselines or counts."""
    return [one for one in scores if one.kind == "model" and not ScoreName.of_score(one).calibrator]


def primary(scores: Iterable[Score]) -> Score | None:
    """Return the score that represents a condition: the first finite one of :func:`own_scores`."""
    for one in own_scores(scores):
        if one.value is not None and math.isfinite(one.value):
            return one
    return None


def _split(text: str, mark: str, forbidden: str) -> tuple[str, str]:
    """Split at the last mark; return the whole text and "" if a side is empty or not allowed."""
    before, _, behind = text.rpartition(mark)
    if not before or not behind or set(behind) & set(forbidden):
        return text, ""
    return before, behind
