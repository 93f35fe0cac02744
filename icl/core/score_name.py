"""What the name of a score says, and which of several scores comes first.

``accuracy@text+batch`` is the accuracy of answers that the parser ``text`` read and the calibrator
``batch`` corrected; ``vote/accuracy`` that of a baseline. Names are written and read here alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from icl.core.types import BASELINES, Ranking, Score, ScoreKind

__all__ = ["PartialRanking", "ScoreName", "own_scores", "partial", "primary"]


PartialRanking: TypeAlias = Literal["first_token", "generate"]
"""How a server ranked otherwise than by all tokens of the choices."""

_WRITTEN: dict[PartialRanking, str] = {"first_token": "first_token", "generate": "written"}
_READ: dict[str, PartialRanking] = {text: ranking for ranking, text in _WRITTEN.items()}


@dataclass(frozen=True, slots=True)
class ScoreName:
    """The name of a score in its parts; what is empty or None is not written.

    Any text can be read, and is written again as it was. A metric may be called by its user with
    the marks ``@``, ``+`` and ``/``: a part is read from the right, and only where there is
    something on both sides of its mark.

    >>> str(ScoreName("accuracy", ranking="first_token", calibrator="batch"))
    'accuracy@first_token+batch'
    >>> ScoreName.of("vote/accuracy").role, ScoreName.of("chrf@text").parser
    ('vote', 'text')
    """

    metric: str
    """What the metric, or the count, is called."""
    parser: str = ""
    """The parser that read the answers, where it is another one than the experiment's."""
    ranking: PartialRanking | None = None
    """How a server ranked the choices, where it was not by all their tokens."""
    calibrator: str = ""
    """What corrected the ranking."""
    role: str = ""
    """The baseline whose answers are scored; empty for a model's."""

    @classmethod
    def of(cls, text: str, kind: ScoreKind | None = None) -> ScoreName:
        """Read a name.

        Args:
            text: the name.
            kind: of its score, where it is known: what stands before the ``/`` is a baseline in
                the name of a baseline's score and nowhere else. Where it is not known, the
                baselines are told by their names.
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
        """Read the name of a score."""
        return cls.of(score.name, score.kind)

    def __str__(self) -> str:
        role = f"{self.role}/" if self.role else ""
        way = f"@{self.way}" if self.way else ""
        calibrator = f"+{self.calibrator}" if self.calibrator else ""
        return f"{role}{self.metric}{way}{calibrator}"

    @property
    def way(self) -> str:
        """How the answers were read or ranked, as the name says it; empty where as usual."""
        return _WRITTEN[self.ranking] if self.ranking else self.parser

    @property
    def plain(self) -> ScoreName:
        """The same without a calibrator."""
        return replace(self, calibrator="")

    def calibrated(self, calibrator: str) -> ScoreName:
        """The same of answers that a calibrator corrected."""
        return replace(self, calibrator=calibrator)


def partial(ranking: Ranking | None) -> PartialRanking | None:
    """What a name says of a ranking: nothing where all tokens of the choices were scored."""
    return None if ranking == "echo" else ranking


def own_scores(scores: Iterable[Score]) -> list[Score]:
    """Scores of the model's own answers: neither calibrated, nor a baseline's, nor counts."""
    return [one for one in scores if one.kind == "model" and not ScoreName.of_score(one).calibrator]


def primary(scores: Iterable[Score]) -> Score | None:
    """The score that stands for a condition: the first of :func:`own_scores` that is a number."""
    for one in own_scores(scores):
        if one.value is not None and math.isfinite(one.value):
            return one
    return None


def _split(text: str, mark: str, forbidden: str) -> tuple[str, str]:
    """What stands before and behind the last mark; all of it before where there is no such part."""
    before, _, behind = text.rpartition(mark)
    if not before or not behind or set(behind) & set(forbidden):
        return text, ""
    return before, behind
