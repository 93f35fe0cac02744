"""The prediction of a record: its most probable choice, or the parsed text, by majority."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from icl.core.errors import ParseError
from icl.core.types import Choice, Example, Output, Prediction, Record
from icl.tasks.label_sets import SetRule
from icl.tasks.patterns import ParserEntry, make_parser

__all__ = ["predict", "read_gold"]


def predict(
    record: Record, choices: Sequence[Choice], parser: ParserEntry, rule: SetRule | None = None
) -> Prediction:
    """Find the answer of a record: the likeliest choice, or the parsed generated text.

    Of equally probable choices the first is taken. Of several outputs the most frequent value is
    taken, of equally frequent ones the first; outputs that cannot be parsed do not count.

    Args:
        record: what the model answered.
        choices: those that all records share; a record's own come first.
        parser: a registered name, or an entry with options.
        rule: where answers are sets of labels, what is in the set; the parser then reads each
            label of an output.
    """
    labels = tuple(label for _, label, _ in record.shots if label is not None)
    scores = tuple(score for _, label, score in record.shots if label is not None)
    made = Prediction(record.id, None, "", labels, scores, shortened=bool(record.shortened))
    answers = record.choices or choices
    if record.logprobs and rule is not None:
        value = rule.take(record.logprobs, [choice.label for choice in answers])
        return replace(made, value=value, error=None)
    if record.logprobs:
        best = record.logprobs.index(max(record.logprobs))  # of equals the first
        return replace(made, value=answers[best].label, error=None)
    values: list[str | None] = []
    errors: list[str] = []
    for output in record.outputs:
        try:
            values.append(_read(output, parser, answers, rule))
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
    return replace(made, value=value, error=None, finish=finish, votes=most, tied=tied)


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


def _read(
    output: Output, parser: ParserEntry, choices: Sequence[Choice], rule: SetRule | None
) -> str:
    """Read the answer in an output; refuse one cut off in its reasoning, refused or filtered."""
    if output.finish == "reasoning":
        raise ParseError(
            f"the reasoning did not end within {output.output_tokens} tokens; raise max_tokens, or "
            "set thinking_tokens to close it"
        )
    if output.finish == "refusal":
        raise ParseError(f"the model refused to answer: {output.text!r}")
    if output.finish == "filter" and not output.text.strip():
        raise ParseError("the server's content filter withheld the answer")
    if rule is not None:
        return rule.read(output.text, parser, choices)
    return str(make_parser(parser)(output.text, choices))
