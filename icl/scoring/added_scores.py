"""Scores that were added to a run besides those of its experiment, and their removal.

``icl score RUN --parser NAME`` and the like add columns that stay. Scores of the experiment itself
are computed again by every ``icl score`` and are no additions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from icl.calibrators import make_calibrator
from icl.core.errors import ConfigError
from icl.core.registry import did_you_mean
from icl.core.score_name import ScoreName
from icl.core.types import Score
from icl.metrics import make_metric
from icl.records.results import ConditionResult, Run
from icl.records.score_files import write_calibrations, write_scores

__all__ = ["AddedScore", "list_added_scores", "remove_scores"]


@dataclass(frozen=True, slots=True)
class AddedScore:
    """A score that was added to one or more conditions of a run."""

    name: str
    settings: str
    """Its signature without the interval; several settings may have one name."""
    conditions: int
    """Number of conditions that have it."""

    @property
    def group(self) -> str:
        """Return the word that removes it and its like (one parser, one calibrator): ``@text``.

        The score's name if it has no parser or calibrator.
        """
        return _group(ScoreName.of(self.name)) or self.name


def list_added_scores(run: Run) -> list[AddedScore]:
    """List a run's scores that are not of its experiment, in the order of the tables."""
    found: dict[tuple[str, str], int] = {}
    for condition in run.conditions:
        for score in _added(condition):
            key = score.name, score.settings
            found[key] = found.get(key, 0) + 1
    return [AddedScore(name, settings, count) for (name, settings), count in found.items()]


def remove_scores(run: Run, names: Sequence[str]) -> Run:
    """Remove added scores from a run's ``scores.json``; the records stay.

    Args:
        run: from :func:`icl.load_run`.
        names: scores as :func:`list_added_scores` names them; ``@text`` removes all that the
            parser ``text`` read, ``+batch`` all that the calibrator ``batch`` corrected.

    Raises:
        ConfigError: no added score has this name; nothing is removed then.
    """
    for name in names:
        _check(run, name)
    conditions = tuple(_without(condition, names) for condition in run.conditions)
    write_scores(run.folder, [(c.entry.fingerprint, one) for c in conditions for one in c.scores])
    if any(condition.calibrations for condition in run.conditions):
        notes = [(c.entry.fingerprint, one) for c in conditions for one in c.calibrations]
        write_calibrations(run.folder, notes)
    return replace(run, conditions=conditions)


def _without(condition: ConditionResult, names: Sequence[str]) -> ConditionResult:
    added = _added(condition)
    left = [one for one in added if any(_is_meant(one, name) for name in names)]
    rest = [one for one in added if one not in left]
    if left and all(_stands_beside(one) for one in rest if ScoreName.of_score(one).calibrator):
        left += [one for one in rest if _stands_beside(one)]
    scores = tuple(one for one in condition.scores if one not in left)
    own = {make_calibrator(entry)[0] for entry in condition.entry.calibrate}
    used = own | {ScoreName.of_score(one).calibrator for one in scores}
    notes = tuple(one for one in condition.calibrations if one.name in used or one.refused)
    return replace(condition, scores=scores, calibrations=notes)


def _added(condition: ConditionResult) -> list[Score]:
    """Return the scores of a condition that are not of its experiment.

    Of several settings under one name of the experiment's the first is its own: a run is scored
    when it ends, and everything else comes later.
    """
    metrics = {make_metric(entry)[0] for entry in condition.entry.metrics}
    calibrators = {make_calibrator(entry)[0] for entry in condition.entry.calibrate}
    found, known = [], set()
    for one in condition.scores:
        name = ScoreName.of_score(one)
        own = not name.parser and (
            one.kind == "count"
            or (name.calibrator in calibrators | {""} and _of(name.metric) in metrics)
            or (calibrators and _of(name.metric) == "ece" and name.calibrator == "none")
            or (_of(name.metric) == "ece" and name.calibrator in calibrators)
        )
        if not own or one.name in known:
            found.append(one)
        known.add(one.name)
    return found


def _stands_beside(score: Score) -> bool:
    """Return whether a score is the plain calibration error, computed only for comparisons."""
    name = ScoreName.of_score(score)
    return name.calibrator == "none" and _of(name.metric) == "ece"


def _of(metric: str) -> str:
    """Return the metric of a score, as ``ece`` of ``ece:chance``."""
    return metric.partition(":")[0]


def _group(name: ScoreName) -> str:
    if name.calibrator:
        return f"+{name.calibrator}"
    return f"@{name.parser}" if name.parser else ""


def _is_meant(score: Score, name: str) -> bool:
    """Return whether a name given for removal means a score; a metric's includes its baselines."""
    read = ScoreName.of_score(score)
    if name in (score.name, _group(read)):
        return True
    return score.kind == "baseline" and str(replace(read, role="")) == name


def _check(run: Run, name: str) -> None:
    added = [one for condition in run.conditions for one in _added(condition)]
    if any(_is_meant(one, name) for one in added):
        return
    known = dict.fromkeys(
        text for one in added for text in (one.name, _group(ScoreName.of_score(one))) if text
    )
    there = {one.name for condition in run.conditions for one in condition.scores}
    if name in there:
        raise ConfigError(
            f"--remove {name}: it is a score of the experiment itself, which every icl score "
            "makes again; take it out of metrics: or calibrate: in the experiment file"
        )
    if not known:
        raise ConfigError(
            f"--remove {name}: no score was added to {run.name}, so there is nothing to remove"
        )
    raise ConfigError(f"--remove {name}: not among the added scores{did_you_mean(name, known)}")
