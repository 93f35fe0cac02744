"""What a metric says of itself: what it needs, and which of its values are better."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from icl.core.errors import ConfigError
from icl.core.registry import lookup, names, register
from icl.core.stats import Stats, mean
from icl.core.types import Example, Prediction
from icl.metrics import asks_judge, find_direction, make_metric, needs, starts_program


@dataclass(frozen=True)
class Half:
    """A metric that says nothing of itself."""

    name = "half"
    label = "half"

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """One half for every row."""
        return mean([0.5] * len(predictions), "half")


def test_of_the_built_in_metrics_two_need_more_than_answers() -> None:
    found = {name: needs(lookup("metric", name)) for name in names("metric")}
    assert {name: what for name, what in found.items() if what} == {
        "command": "program",
        "judge": "verdicts",
    }
    lower = {name for name in names("metric") if find_direction(lookup("metric", name)) == "lower"}
    assert lower == {"ter", "edit_distance", "off_target", "copied_source", "over_generation"}


def test_a_metric_that_says_nothing_needs_nothing() -> None:
    assert needs(Half()) is None and find_direction(Half) == "higher"
    assert not starts_program(Half()) and not asks_judge(Half())


@pytest.mark.parametrize(
    ("said", "line"),
    [
        (
            {"needs": "programs"},
            r"Odd: needs is 'programs'; accepted: None, verdicts, program; cor",
        ),
        ({"better": "more"}, r"Odd: better is 'more'; accepted: higher, lower, none; correct its"),
        ({"needs": "program"}, r"'odd' says that it needs 'program' and lacks .*ProgramMetric"),
        ({"needs": "verdicts"}, r"'odd' says that it needs 'verdicts' and lacks .*VerdictMetric"),
    ],
)
def test_what_it_says_must_hold(own_registry: None, said: dict[str, str], line: str) -> None:
    odd = dataclass(frozen=True)(type("Odd", (Half,), said))
    register("metric", "odd")(odd)
    with pytest.raises(ConfigError, match=line):
        find_direction(make_metric("odd")[1])
