"""Options of plug-ins against the types of their fields, and the words for these types."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pytest

from icl.core.errors import ConfigError
from icl.core.option_types import describe_type
from icl.core.registry import construct, register

if TYPE_CHECKING:
    from decimal import Decimal


@dataclass
class Strange:
    """A plug-in of somebody else."""

    k: int = 1
    share: float | None = None
    names: tuple[str, ...] = ()
    table: Mapping[str, Sequence[int]] = field(default_factory=dict)
    file: Path = Path()
    way: Literal["a", "b"] = "a"
    own: Decimal | None = None
    inner: list[Strange] = field(default_factory=list)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"k": "x"}, "k: 'x' is not accepted; accepted: a whole number"),
        ({"k": True}, "k: True is not accepted; accepted: a whole number"),
        ({"share": "x"}, "share: 'x' is not accepted; accepted: a number, or null"),
        ({"names": [1]}, "names: [1] is not accepted; accepted: a list of texts"),
        ({"names": 5}, "names: 5 is not accepted; accepted: a list of texts"),
        ({"table": {"a": 1}}, "accepted: a mapping of texts to lists of whole numbers"),
        ({"file": 3}, "file: 3 is not accepted; accepted: a path"),
        ({"way": "c"}, "way: 'c' is not accepted; accepted: a or b"),
        ({"k": ["y" * 200]}, "…"),
    ],
)
@pytest.mark.usefixtures("own_registry")
def test_an_option_of_another_type_is_told_with_what_is_accepted(
    options: dict[str, Any], told: str
) -> None:
    register("metric", "strange")(Strange)
    with pytest.raises(ConfigError) as error:
        construct("metric", "strange", options, "here")
    assert str(error.value).startswith("here: the metric 'strange': ")
    assert told in str(error.value)
    assert len(str(error.value)) < 200


@pytest.mark.usefixtures("own_registry")
def test_what_fits_and_what_yaml_cannot_name_is_left_alone() -> None:
    register("metric", "strange")(Strange)
    given = {"k": 2, "share": 1, "names": ["a"], "table": {"a": [1]}, "file": "x", "own": 5}
    made = construct("metric", "strange", {**given, "inner": "whatever"}, "here")
    assert (made.share, made.names, made.own) == (1, ("a",), 5)


def test_words_for_types() -> None:
    assert describe_type(tuple[int, int]) == "a list of 2 whole numbers"
    assert describe_type(Mapping[str, Any] | str) == "a mapping of texts to anything, or a text"
