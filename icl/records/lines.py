"""Records and examples as lines of JSON; equal content gives equal bytes."""

from __future__ import annotations

import json
from dataclasses import asdict, fields
from typing import Annotated, Any

import msgspec

from icl.core.answer_forms import FormUse
from icl.core.strict_json import Count, ShapeError, check_depth, decode, decoder
from icl.core.types import JSON, Choice, Example, Finish, Output, Record, Role, UnscoredRow

__all__ = [
    "parse_example",
    "parse_record",
    "parse_unscored",
    "write_example_line",
    "write_record_line",
    "write_unscored_line",
]


class FormUseLine(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """The effect of a form on an output; see :class:`icl.core.answer_forms.FormUse`."""

    steps: Count
    changed: Count
    forced: Count


class OutputLine(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One generated text in a record's line."""

    text: str
    finish: Finish
    prompt_tokens: Count
    output_tokens: Count
    sample: Count = 0
    reasoning: str | None = None
    form: FormUseLine | None = None


class ChoiceLine(msgspec.Struct, array_like=True, forbid_unknown_fields=True, gc=False):
    """A choice in the line of a record that has its own choices."""

    label: str
    text: str
    end: str


Logprob = Annotated[float, msgspec.Meta(ge=-1e9, le=1e9)]


class RecordLine(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """A record's line of JSON; see :class:`icl.core.types.Record`."""

    id: str
    condition: str
    request: str
    shots: tuple[tuple[str, str | None, float | None], ...] = ()
    dropped: tuple[str, ...] = ()
    prompt_tokens: Count = 0
    outputs: tuple[OutputLine, ...] = ()
    logprobs: tuple[Logprob, ...] = ()
    choice_tokens: tuple[Count, ...] = ()
    choices: tuple[ChoiceLine, ...] = ()
    spanning: Count = 0
    shortened: Annotated[tuple[Count, ...], msgspec.Meta(max_length=2)] = ()
    role: Role = "test"


class UnscoredLine(msgspec.Struct, forbid_unknown_fields=True):
    """A row without an answer; see :class:`icl.core.types.UnscoredRow`."""

    error: str
    record: RecordLine


class ExampleLine(msgspec.Struct, forbid_unknown_fields=True):
    """An example's line of JSON; see :class:`icl.core.types.Example`."""

    id: str
    fields: dict[str, Any]
    targets: tuple[str, ...]
    meta: dict[str, str]
    gold: tuple[str, ...]
    gold_texts: tuple[str, ...] = ()


def _float32(value: float) -> float:
    """Round to the shortest decimal of the same float32, which halves a record's 1.2 KB."""
    import numpy

    return float(str(numpy.float32(value)))


def write_record_line(record: Record) -> str:
    """Encode a record as one line of JSON; leave out fields at their defaults."""
    return json.dumps(
        _record_values(record), ensure_ascii=False, separators=(",", ":"), allow_nan=False
    )


def write_unscored_line(row: UnscoredRow) -> str:
    """Encode a row without an answer as one line of JSON."""
    values = {"error": row.error, "record": _record_values(row.record)}
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def _record_values(record: Record) -> dict[str, Any]:
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
    return values


def parse_record(line: bytes) -> Record:
    """Parse a line of :func:`write_record_line`.

    Raises:
        TornLineError: the line is no JSON.
        ShapeError: it is not a record.
    """
    return _make_record(decode(line, _RECORD))


def parse_unscored(line: bytes) -> UnscoredRow:
    """Read what :func:`write_unscored_line` wrote.

    Raises:
        TornLineError: no JSON.
        ShapeError: not a row without an answer.
    """
    made = decode(line, _UNSCORED)
    return UnscoredRow(_make_record(made.record), made.error)


def _make_record(made: RecordLine) -> Record:
    if made.shortened and (len(made.shortened) != 2 or not made.shortened[1]):
        raise ShapeError(
            "shortened: expected the number of characters left and the original number"
        )
    return Record(
        made.id,
        made.condition,
        made.request,
        made.shots,
        made.dropped,
        made.prompt_tokens,
        tuple(
            [
                Output(
                    one.text,
                    one.finish,
                    one.prompt_tokens,
                    one.output_tokens,
                    one.sample,
                    one.reasoning,
                    None
                    if one.form is None
                    else FormUse(one.form.steps, one.form.changed, one.form.forced),
                )
                for one in made.outputs
            ]
        ),
        made.logprobs,
        made.choice_tokens,
        tuple([Choice(one.label, one.text, one.end) for one in made.choices]),
        made.spanning,
        made.shortened,
        made.role,
    )


def write_example_line(example: Example) -> str:
    """Write an example as one line of JSON; values inside a field keep their order.

    The fields themselves are sorted: a template reads them by name, and cannot see their order,
    but it can write a whole field with ``{{ field | json }}``.

    >>> write_example_line(Example("7", {"b": {"y": 1, "x": 2}, "a": 0}))
    '{"fields":{"a":0,"b":{"y":1,"x":2}},"gold":[],"id":"7","meta":{},"targets":[]}'

    Raises:
        ShapeError: a field is nested too deeply to be read again.
    """
    values: dict[str, JSON] = {
        "fields": dict(sorted(example.fields.items())),
        "gold": list(example.gold),
        "id": example.id,
        "meta": dict(sorted(example.meta.items())),
        "targets": list(example.targets),
    }
    if example.gold_texts:
        values["gold_texts"] = list(example.gold_texts)
    line = json.dumps(values, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    try:
        check_depth(line.encode("utf-8", "surrogatepass"))
    except ShapeError as error:
        raise ShapeError(f"example {example.id!r}: {error}") from error
    return line


def parse_example(line: bytes) -> Example:
    """Parse a line of :func:`write_example_line`.

    Raises:
        TornLineError: the line is no JSON.
        ShapeError: it is not an example.
    """
    row = decode(line, _EXAMPLE)
    return Example(row.id, row.fields, row.targets, row.meta, row.gold, row.gold_texts)


_RECORD, _EXAMPLE = decoder(RecordLine), decoder(ExampleLine)
_UNSCORED = decoder(UnscoredLine)
