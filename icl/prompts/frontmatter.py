"""The front matter of a template file, and the checks on each kind of template."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

from icl.core.errors import ChoiceError, DataError, TemplateError
from icl.core.extraction import normalise_value
from icl.core.kinds import Kind, kind_of, kinds
from icl.core.label_sets import gather_labels
from icl.core.languages import find_language
from icl.core.registry import did_you_mean
from icl.core.slot_answers import OUTPUTS
from icl.core.strict_yaml import PlainLoader, load_yaml
from icl.core.types import canonicalize, normalise_label
from icl.prompts.jinja_sandbox import TemplateHalf

__all__ = [
    "FrontMatter",
    "GOLD",
    "read_answers",
    "check_channel",
    "check_kind",
    "read_row_choices",
    "split_front_matter",
]


GOLD = frozenset({"label", "target", "targets"})
"""Variable names that hold the answer in every template."""
CHOICE_ENDS = ("auto", "always", "never")
QUESTIONS = ("shots", "all")
_LISTS = ("stop", "shared_fields", "answer_fields", "choices", "choice_labels")
_RULE = re.compile(r"^---[ \t]*\n", re.M)


@dataclass(frozen=True)
class FrontMatter:
    """The keys accepted between the ``---`` lines of a template file."""

    task: str = "generate"
    labels: Any = None
    label_field: str | None = None
    choices: tuple[str, ...] = ()
    """Fields with the row's own choices, one each; a single field holds a list of them."""
    choice_labels: tuple[str, ...] = ("index",)
    """The form in which an answer names a choice: ``index`` from 0, ``text``, a label for each
    choice, or the one field of the row that lists its labels."""
    stop: tuple[str, ...] = ()
    separator: str = "\n\n"
    choice_end: str = "auto"
    shared_fields: tuple[str, ...] = ()
    answer_fields: tuple[str, ...] = ()
    label_separator: str = ", "
    """Separator of the labels in an answer that is a set of them."""
    no_labels: str = "none"
    """The text of an answer that is the empty set."""
    output: str = "marked"
    """Of slots: ``marked`` writes the text with marks, ``json`` an object of values, ``per_slot``
    asks for the values of each slot by itself."""
    questions: str = "shots"
    """Slots with a question each: those that the ``shots`` show (without shots all), or all."""
    text_field: str | None = None
    """Of slots: the field with the text that they are in."""
    intent_field: str | None = None
    """Of slots: the field with the intent, where the answer names that too."""
    fallback: str | None = None
    about: str = ""
    source: str = ""
    author: str = ""

    @property
    def kind(self) -> Kind:
        """The kind of task named under ``task:``."""
        return kind_of(self.task)

    @property
    def asks_each(self) -> bool:
        """Return whether a row has several questions, one for each slot."""
        return self.kind.gold == "spans" and self.output == "per_slot"


def split_front_matter(text: str, path: Path) -> tuple[FrontMatter, str, int]:
    """Split a template into front matter, the text after it, and the line where that text begins.

    Raises:
        TemplateError: not YAML, an unknown key or a wrong value; names the line if it is known.
    """
    opening = _RULE.match(text)
    if opening is None:
        return FrontMatter(), text, 1
    closing = _RULE.search(text, opening.end())
    if closing is None:
        raise TemplateError(f"{path}:1: the front matter has no closing line `---`")
    raw = text[opening.end() : closing.start()]
    try:
        values = load_yaml(raw, PlainLoader) or {}
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        at = f":{mark.line + 2}" if mark else ""
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise TemplateError(f"{path}{at}: the front matter is not YAML: {problem}") from error
    if not isinstance(values, dict):
        raise TemplateError(f"{path}:2: the front matter must be `key: value` lines")
    return _front_matter(values, path), text[closing.end() :], raw.count("\n") + 3


def _front_matter(values: dict[Any, Any], path: Path) -> FrontMatter:
    """Check the keys and values of the front matter one by one."""
    known = {f.name for f in fields(FrontMatter)}
    checked = dict(values)
    for key, value in values.items():
        if key not in known:
            raise TemplateError(
                f"{path}: unknown front matter key {key!r}{did_you_mean(key, known)}"
            )
        if key in _LISTS:
            many = [value] if isinstance(value, str) else value
            if not isinstance(many, list) or not all(isinstance(one, str) for one in many):
                raise TemplateError(f'{path}: {key}: {value!r} is no list of texts such as ["\\n"]')
            checked[key] = tuple(many)
        elif key in ("task", "choice_end", "output", "questions"):
            accepted: Sequence[str] = {
                "task": list(kinds()),
                "choice_end": CHOICE_ENDS,
                "output": OUTPUTS,
                "questions": QUESTIONS,
            }[key]
            if value not in accepted:
                raise TemplateError(f"{path}: {key}: {value!r}{did_you_mean(str(value), accepted)}")
        elif key != "labels" and not isinstance(value, str):
            raise TemplateError(f"{path}: {key}: {value!r} is no text; put it in quotes")
    head = FrontMatter(**checked)
    if "" in head.stop:
        raise TemplateError(f"{path}: an empty stop string would end every output at once")
    for name in head.shared_fields:
        if name in GOLD or name == head.label_field:
            raise TemplateError(f"{path}: shared_fields: {name!r} is the answer and stays hidden")
    if bool(head.choices) != (head.kind.labels == "row"):
        raise TemplateError(
            f"{path}: choices: names the fields that hold the choices of a row, in a template of "
            "kind `task: choose` and in no other"
        )
    _check_slots(head, path, {*checked})
    own = {"label_separator", "no_labels"} & {*checked}
    if own and head.kind.gold != "set" and not head.asks_each:
        raise TemplateError(
            f"{path}: {min(own)}: is for templates whose answers are sets of labels, as those of "
            f"`task: labels`; this one is of kind {head.task!r}, so remove it"
        )
    if not head.label_separator or not head.no_labels.strip():
        raise TemplateError(
            f"{path}: label_separator and no_labels must not be empty: write the separator of "
            'two labels, as in ", ", and the text for no label, as in "none"'
        )
    if head.fallback is not None:
        try:
            find_language(head.fallback)
        except DataError as error:
            raise TemplateError(f"{path}: fallback: {error}") from error
    return head


def _check_slots(head: FrontMatter, path: Path, given: Set[str]) -> None:
    """Check the keys of a template for slots, which other templates must not have."""
    own = {"output", "questions", "text_field", "intent_field"} & given
    if head.kind.gold != "spans":
        if own:
            raise TemplateError(
                f"{path}: {min(own)}: is for templates whose answers are the slots of a text, as "
                f"those of `task: slots`; this one is of kind {head.task!r}, so remove it"
            )
        return
    for key in ("text_field", "label_field"):
        if getattr(head, key) is None:
            raise TemplateError(
                f"{path}: {key}: is missing; a template for slots names the field with the text, "
                "as in `text_field: utt`, and the one with its slots, as in `label_field: "
                "annot_utt`"
            )
    if "questions" in given and not head.asks_each:
        raise TemplateError(
            f"{path}: questions: {head.questions!r} says which slots are asked about one by one, "
            f"and `output: {head.output}` asks for all at once; remove it, or write `output: "
            "per_slot`"
        )
    if head.asks_each and head.intent_field is not None:
        raise TemplateError(
            f"{path}: intent_field: {head.intent_field!r} has no place in questions about one slot "
            "each; remove it, or write `output: marked` or `output: json`"
        )


def _check_slot_target(path: Path, head: FrontMatter, target: TemplateHalf) -> None:
    """Check that the target of a template for slots reads the variables of its output."""
    reads = set(target.names)
    needed = {"marked": "marked", "json": "slots", "per_slot": "value"}[head.output]
    if needed not in reads:
        how = {
            "marked": "||| {{ marked }}",
            "json": "||| {{ slots | json }}",
            "per_slot": "||| {{ value }}",
        }[head.output]
        raise TemplateError(
            f"{path}:{target.first_line}: the target of a template with `output: {head.output}` "
            f"must read `{needed}`, as in `{how}`"
        )
    if ("intent" in reads) != (head.intent_field is not None):
        raise TemplateError(
            f"{path}:{target.first_line}: the answer names the intent if the target reads `intent` "
            "and the front matter names its field, as in `intent_field: intent`; do both or neither"
        )


def check_kind(
    path: Path,
    head: FrontMatter,
    target: TemplateHalf,
    before: TemplateHalf,
    query: TemplateHalf | None,
    others: Sequence[TemplateHalf | None],
) -> None:
    """Check which variables the halves of a template read, and where a span is marked ``fit``.

    Raises:
        TemplateError: the halves do not suit the template's kind.
    """
    needed = head.kind.variable
    reads = set(target.names) - {"labels", "words"}
    if head.kind.labels == "shared" and reads - {"label"}:
        raise TemplateError(
            f"{path}:{target.first_line}: the target of a {head.task} template may read only "
            f"`label`, since every label is rendered with it; it reads {sorted(reads - {'label'})}"
        )
    if head.kind.gold == "spans":
        _check_slot_target(path, head, target)
    if needed is not None and needed not in reads:
        raise TemplateError(
            f"{path}:{target.first_line}: the target of a {head.task} template must read "
            f"`{needed}`, as in `||| {{{{ {needed} }}}}`"
        )
    if head.kind.labels == "row" and reads & {*GOLD, head.label_field}:
        answer = sorted(reads & {*GOLD, head.label_field})
        raise TemplateError(
            f"{path}:{target.first_line}: the target of a {head.task} template is rendered with "
            f"every choice, so it cannot read the answer {answer}"
        )
    for half in (target, *others):
        if half is not None and half.fits:
            raise TemplateError(
                f"{path}:{half.fits[0]}: `fit` marks the span of the query that may shrink; it "
                "belongs into the input of [[example]] or into [[query]]"
            )
    for half in (before, query):
        if half is not None and len(half.fits) > 1:
            raise TemplateError(
                f"{path}:{half.fits[1]}: `fit` appears twice; one span may shrink, mark the longest"
            )


def check_channel(path: Path, head: FrontMatter, given: TemplateHalf, scored: TemplateHalf) -> None:
    """Check that ``[[channel]]`` reads the label in its first half only, and has no ``fit``.

    Raises:
        TemplateError: the halves do not suit the template's kind, or a span is marked ``fit``.
    """
    needed = head.kind.variable
    if needed is None:
        raise TemplateError(
            f"{path}:{given.first_line}: [[channel]] ranks the labels of a classify template or "
            f"the choices of a choose template; this one is of kind {head.task!r}"
        )
    reads = set(given.names) - {"labels", "words"}
    if needed not in reads:
        raise TemplateError(
            f"{path}:{given.first_line}: [[channel]] gives the label, so the part before ||| "
            f"must read `{needed}`, as in `Intent: {{{{ {needed} }}}}`"
        )
    if head.kind.labels == "shared" and reads - {"label"}:
        raise TemplateError(
            f"{path}:{given.first_line}: the part before ||| in [[channel]] is rendered with "
            f"every label, so it may read only `label`; it reads {sorted(reads - {'label'})}: "
            "move the input after |||"
        )
    if head.kind.labels == "row" and reads & {*GOLD, head.label_field}:
        raise TemplateError(
            f"{path}:{given.first_line}: the part before ||| in [[channel]] is rendered with "
            "every choice, so it cannot read the answer "
            f"{sorted(reads & {*GOLD, head.label_field})}"
        )
    for half in (given, scored):
        if half.fits:
            raise TemplateError(
                f"{path}:{half.fits[0]}: `fit` has no place in [[channel]], whose input is scored "
                "whole for every label"
            )


def read_answers(head: FrontMatter, where: str, value: Any) -> tuple[str, ...]:
    """Return the right answers in the ``label_field`` of a row; none if it is null.

    Raises:
        DataError: the kind compares items, and the answer is neither an object nor a list.
    """
    if value is None:
        return ()
    if head.kind.gold == "set":
        many = value if isinstance(value, list | tuple) else [value]
        texts = [one if isinstance(one, str) else json.dumps(one) for one in many]
        return (gather_labels(texts, head.label_separator),)
    if head.kind.gold != "items":
        return (value if isinstance(value, str) else json.dumps(value, ensure_ascii=False),)
    try:
        found = json.loads(value) if isinstance(value, str) else value
        return (canonicalize(normalise_value(found)),)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"{where}: the answer in {head.label_field!r} of a task of kind {head.task!r} must be "
            f'a JSON object or list, as in {{"person": ["Ann"]}}; it is {value!r}'
        ) from error


def read_row_choices(head: FrontMatter, where: str, fields: Mapping[str, Any]) -> dict[str, str]:
    """Read label -> text of each choice of a row, in its order.

    Raises:
        ChoiceError: two choices have the same label.
        TemplateError: a field is missing or not a text, or there are too few labels.
    """
    for name in head.choices:
        if name not in fields:
            raise TemplateError(f"{where}: choices: no field {name!r}{did_you_mean(name, fields)}")
    held: Any = [fields[name] for name in head.choices]
    if len(head.choices) == 1:
        held = held[0]
        if not isinstance(held, list | tuple):
            raise TemplateError(
                f"{where}: choices: the field {head.choices[0]!r} must hold a list of texts, or "
                f"name a field for each choice; it holds {held!r}"
            )
    texts = [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in held]
    if None in held:
        raise TemplateError(f"{where}: the choice {held.index(None) + 1} of {len(held)} is null")
    if head.choice_labels == ("text",):
        labels = texts
    elif head.choice_labels == ("index",):
        labels = [str(place) for place in range(len(texts))]
    elif len(head.choice_labels) == 1:
        labels = _own_labels(head.choice_labels[0], where, fields, len(texts))
    else:
        labels = list(head.choice_labels[: len(texts)])
    labels = [normalise_label(label) for label in labels]
    if len(labels) < len(texts):
        raise TemplateError(
            f"{where}: {len(texts)} choices, but `choice_labels:` has {len(labels)}; give each its "
            "label, or write `choice_labels: index` (from 0), `text`, or a field that lists them"
        )
    if len(set(labels)) < len(labels):
        twice = next(label for label in labels if labels.count(label) > 1)
        raise ChoiceError(
            f"{where}: two choices have the label {twice!r}; repair the row, or leave it out of "
            "the data"
        )
    return dict(zip(labels, texts, strict=True))


def _own_labels(name: str, where: str, fields: Mapping[str, Any], count: int) -> list[str]:
    """Read the labels that a row lists for its choices in the field ``name``."""
    if name not in fields:
        raise TemplateError(
            f"{where}: choice_labels: no field {name!r}{did_you_mean(name, fields)} (accepted: "
            "index, text, a list with a label for each choice, or a field that lists them)"
        )
    held = fields[name]
    if not isinstance(held, list | tuple) or len(held) != count:
        raise TemplateError(
            f"{where}: choice_labels: the field {name!r} must list a label for each of {count} "
            f"choices; it holds {held!r}"
        )
    return [one if isinstance(one, str) else json.dumps(one, ensure_ascii=False) for one in held]
