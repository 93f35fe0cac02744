"""The prediction of a record: its most probable choice, or the parsed text, by majority."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from icl.core.errors import ParseError
from icl.core.types import Choice, Example, Output, Prediction, Record
from icl.tasks.label_sets import SetRule
from icl.tasks.patterns import ParserEntry, make_parser
from icl.tasks.slots import SlotReader

__all__ = ["predict", "read_gold"]


def predict(
    record: Record,
    choices: Sequence[Choice],
    parser: ParserEntry,
    rule: SetRule | SlotReader | None = None,
) -> Prediction:
    """Find the answer of a record: the likeliest choice, or the parsed generated text.

    Of equally probable choices the first is taken. Of several outputs the most frequent value is
    taken, of equally frequent ones the first; outputs that cannot be parsed do not count.

    Args:
        record: what the model answered.
        choices: those that all records share; a record's own come first.
        parser: a registered name, or an entry with options.
        rule: where answers are sets of labels, what is in the set; the parser then reads each
            label of an output. Where they are slots, what reads those of the record's row from
            what the parser leaves.
    """
    labels = tuple(label for _, label, _ in record.shots if label is not None)
    scores = tuple(score for _, label, score in record.shots if label is not None)
    made = Prediction(record.id, None, "", labels, scores, shortened=bool(record.shortened))
    answers = record.choices or choices
    if isinstance(rule, SlotReader) and rule.output == "per_slot":
        return _predict_each(made, record, parser, rule)
    if record.logprobs and isinstance(rule, SetRule):
        value = rule.take(record.logprobs, [choice.label for choice in answers])
        return replace(made, value=value, error=None)
    if record.logprobs:
        best = record.logprobs.index(max(record.logprobs))  # of equals the first
        return replace(made, value=answers[best].label, error=None)
    values: list[str | None] = []
    errors: list[str] = []
    faults: dict[str, Mapping[str, int]] = {}
    for output in record.outputs:
        try:
            _check_whole(output)
            if isinstance(rule, SlotReader):
                reading = rule.read(str(make_parser(parser)(output.text, answers)))
                faults.setdefault(reading.value, reading.faults)
                values.append(reading.value)
            elif rule is not None:
                values.append(rule.read(output.text, parser, answers))
            else:
                values.append(str(make_parser(parser)(output.text, answers)))
        except ParseError as error:
            values.append(None)
            errors.append(str(error))
    made = replace(made, samples=len(values))
    votes = Counter(value for value in values if value is not None)
    if not votes:
        return replace(made, error=errors[0], finish=record.outputs[0].finish, votes=0)
    (value, most), *others = votes.most_common(2)  # of equals the first that was given
    finish = record.outputs[values.index(value)].finish
    tied = bool(others) and others[0][1] == most
    return replace(
        made,
        value=value,
        error=None,
        finish=finish,
        votes=most,
        tied=tied,
        faults=faults.get(value, {}),
    )


def _predict_each(
    made: Prediction, record: Record, parser: ParserEntry, reader: SlotReader
) -> Prediction:
    """Find the answer of a record that has an output for each slot with a question.

    A question without a readable output counts as answered by no value.
    """
    said: dict[str, str] = {}
    errors: list[str] = []
    for choice, output in zip(record.choices, record.outputs, strict=True):
        try:
            _check_whole(output)
            said[choice.label] = str(make_parser(parser)(output.text, ()))
        except ParseError as error:
            said[choice.label] = ""
            errors.append(str(error))
    cut = any(output.finish == "length" for output in record.outputs)
    finish = "length" if cut else record.outputs[0].finish if record.outputs else ""
    try:
        reading = reader.read_each(said)
    except ParseError as error:
        reason = errors[0] if errors else str(error)
        return replace(made, error=reason, finish=finish, votes=0)
    return replace(made, value=reading.value, error=None, finish=finish, faults=reading.faults)


def read_gold(example: Example, parser: ParserEntry) -> Example:
    """Return the example with gold, the answers that count as right, for its targets.

    If the prompt's target half changes the targets, gold is the changed text as the model's parser
    reads it, or all of the text if that parser cannot read it.

    >>> read_gold(Example("1", {}, ("6 / 2 #### 3",), gold_texts=("3",)), "first_line").targets
    ('3',)
    """
    if not example.gold_texts:
        return example
    found: dict[str, None] = {}
    for text in example.gold_texts:
        try:
            found[str(make_parser(parser)(text, ()))] = None
        except ParseError:
            found[text] = None
    return replace(example, targets=tuple(found))


def _check_whole(output: Output) -> None:
    """Refuse an output that was cut off in its reasoning, refused or filtered."""
    if output.finish == "reasoning":
        raise ParseError(
            f"the reasoning did not end within {output.output_tokens} tokens; raise max_tokens, or "
            "set thinking_tokens to close it"
        )
    if output.finish == "refusal":
        raise ParseError(f"the model refused to answer: {output.text!r}")
    if output.finish == "filter" and not output.text.strip():
        raise ParseError("the server's content filter withheld the answer")
