"""Records and examples as lines of JSON, the same bytes for the same content."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Any

from icl.core.types import (
    FINISHES,
    ROLES,
    Choice,
    Example,
    Output,
    Record,
    canonical,
    narrow,
)

__all__ = ["ABOUT", "example_line", "misshapen", "parse_example", "parse_record", "record_line"]


ABOUT: dict[str, Any] = {
    "task": str,
    "method": str,
    "sampling": dict | None,
    "identity": {"engine": dict, "rows": list},
    "template": {"name": str, "text": str, "words": dict, "labels": dict, "fallbacks": list},
}
"""The least that :meth:`icl.experiment.condition.Condition.about` writes."""


def misshapen(value: Any, shape: Any, name: str = "") -> str:
    """What is missing of a shape or of another kind, the first of it; "" if nothing is.

    >>> misshapen({"task": {"name": 3}}, {"task": {"name": str}})
    'task.name is 3'
    """
    if not isinstance(shape, dict):
        return "" if isinstance(value, shape) else f"{name} is {repr(value)[:40]}"
    if not isinstance(value, dict):
        return f"{name or 'the file'} is no mapping"
    for key, inner in shape.items():
        whole = f"{name}.{key}" if name else key
        wrong = misshapen(value[key], inner, whole) if key in value else f"{whole} is missing"
        if wrong:
            return wrong
    return ""


def _float32(value: float) -> float:
    """The shortest decimal that is the same float32: 0.6 KB a record instead of 1.2."""
    import numpy

    return float(str(numpy.float32(value)))


def record_line(record: Record) -> str:
    """A record as one line of JSON; fields at their defaults are left out."""
    values: dict[str, Any] = {}
    for spec in fields(Record):
        value = getattr(record, spec.name)
        if value != spec.default:
            values[spec.name] = value
    if record.outputs:
        outputs = (asdict(output).items() for output in record.outputs)
        values["outputs"] = [{k: v for k, v in items if v is not None} for items in outputs]
    if record.logprobs:
        values["logprobs"] = [_float32(value) for value in record.logprobs]
    if record.choices:
        values["choices"] = [[one.label, one.text, one.end] for one in record.choices]
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def parse_record(line: str) -> Record:
    """What :func:`record_line` wrote.

    Raises:
        ValueError: not JSON, or, as KeyError, TypeError and AttributeError, not a record.
    """
    values = json.loads(line)
    values["outputs"] = tuple(
        Output(**{**output, "finish": narrow(output["finish"], FINISHES, "finish")})
        for output in values.get("outputs", ())
    )
    values["role"] = narrow(values.get("role", "test"), ROLES, "role")
    values["shots"] = tuple(
        (str(shot), label, score) for shot, label, score in values.get("shots", ())
    )
    values["choices"] = tuple(Choice(*one) for one in values.get("choices", ()))
    for name in ("logprobs", "choice_tokens", "dropped", "shortened"):
        values[name] = tuple(values.get(name, ()))
    return Record(**values)


def example_line(example: Example) -> str:
    """An example as one line of JSON."""
    return canonical(
        {
            "id": example.id,
            "fields": dict(example.fields),
            "targets": list(example.targets),
            "meta": dict(example.meta),
            "gold": list(example.gold),
        }
    )


def parse_example(line: str) -> Example:
    """What :func:`example_line` wrote.

    Raises:
        ValueError: not JSON, or, as KeyError and TypeError, not an example.
    """
    row = json.loads(line)
    return Example(row["id"], row["fields"], tuple(row["targets"]), row["meta"], tuple(row["gold"]))
