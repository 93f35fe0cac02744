"""Valid JSON: the percentage of predictions that a JSON parser reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from icl.core.errors import MetricError
from icl.core.stats import Stats, proportion
from icl.core.types import Example, Prediction
from icl.metrics import pair_up

__all__ = ["ValidJSON"]


_TYPES: dict[str, type] = {"object": dict, "list": list, "any": object}


@dataclass(frozen=True, slots=True)
class ValidJSON:
    """Share of predictions that are JSON by RFC 8259, in percent, with Wilson's interval.

    Whether it is the right JSON is not checked. NaN, a repeated key, text around the value and a
    code fence are faults: use the parser ``text``, so that the whole output is checked. A
    prediction that could not be parsed is wrong and counts in n.
    """

    type: Literal["object", "list", "any"] = "any"
    """Required type of the value."""

    name = "json_valid"
    label = "JSON"

    def __post_init__(self) -> None:
        if self.type not in _TYPES:
            raise MetricError(f"json_valid: type is {self.type!r}; accepted: {', '.join(_TYPES)}")

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Compute rows [hit, 1]: whether the prediction is valid JSON.  # (n, 2)

        Raises:
            MetricError: the sequences do not run parallel, or an example has no target.
        """
        hits = [
            prediction.value is not None and self._valid(prediction.value)
            for prediction, _ in pair_up(predictions, examples, self.label)
        ]
        return proportion(hits, f"json_valid|type:{self.type}")

    def _valid(self, text: str) -> bool:
        try:
            value = json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
        except (ValueError, RecursionError):
            return False
        return isinstance(value, _TYPES[self.type])


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key appears twice")
    return found


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON value")
