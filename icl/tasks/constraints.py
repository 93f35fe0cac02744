"""Constraints on the answers of a task, and the form of each row that follows from them.

A constraint is plain data, kept with the records, so that a row's form can be made again without
a model.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from icl.core.answer_forms import (
    AnswerForm,
    FormKind,
    SourceOutput,
    add_intent,
    choice_form,
    grammar_form,
    json_source_form,
    marked_source_form,
    regex_form,
    schema_form,
)
from icl.core.errors import ConfigError, DataError, join_lines
from icl.core.slot_answers import read_slot_source
from icl.core.types import JSON, Choice, Example

__all__ = ["Constraint", "check_form", "read_grammar", "read_schema"]


@dataclass(frozen=True, slots=True)
class Constraint:
    """The constraint on the answers of a condition.

    >>> Constraint("regex", text="[0-9]+", lead=" ").form(Example("1", {}), ()).lead
    ' '
    """

    kind: FormKind
    text: str = ""
    """The expression, the schema as JSON, or the grammar."""
    lead: str = ""
    """White space in front of an answer."""
    field: str = ""
    """Of ``source``: the field with the words."""
    names: tuple[str, ...] = ()
    """Of ``source``: the names of marks."""
    output: SourceOutput = "marked"
    separator: str = ""
    """Of ``choice`` where an answer is a set of labels: the text between them."""
    none: str = ""
    """Of ``choice`` where an answer is a set of labels: the text for none."""
    intents: tuple[str, ...] = ()
    """Of ``source`` where an answer also names the intent: all of them."""
    divider: str = ""
    """Of ``source`` with intents and marks: the text between them."""

    def identity(self) -> dict[str, JSON]:
        """Return the fields that are set, as they are hashed and saved with the records."""
        made = asdict(self) | {"names": list(self.names), "intents": list(self.intents)}
        blank = Constraint(self.kind)
        return {
            name: value
            for name, value in made.items()
            if name == "kind" or value not in (getattr(blank, name), [])
        }

    def form(self, example: Example, choices: Sequence[Choice]) -> AnswerForm:
        """Make the form of one row's answer.

        Args:
            example: the row.
            choices: its own, or those that all rows share, as they stand behind the prompt.

        Raises:
            DataError: the row lacks the field with its words.
        """
        if self.kind == "choice":
            return choice_form([one.text for one in choices], self.separator, self.none)
        if self.kind == "regex":
            return regex_form(self.text, self.lead)
        if self.kind == "json_schema":
            return schema_form(json.loads(self.text), self.lead)
        if self.kind == "grammar":
            return grammar_form(self.text, self.lead)
        text = example.inputs.get(self.field)
        if not isinstance(text, str) or not text.strip():
            raise DataError(
                f"example {example.id!r}: constrain: source holds an answer to the words of the "
                f"field {self.field!r}, which is {text!r} here; name a field with text, as in "
                "`constrain: {field: utt}`"
            )
        try:
            locale = example.meta.get("locale")
            source = read_slot_source(example.inputs, self.field, None, locale)
        except ValueError as error:
            raise DataError(
                f"example {example.id!r}: {error}; correct the field 'tokens', or leave it out"
            ) from error
        make = json_source_form if self.output == "json" else marked_source_form
        made = make(
            text.strip(),
            self.names,
            unspaced=source.unspaced,
            lead=self.lead,
            tokens=source.tokens,
        )
        return add_intent(made, self.intents, self.divider) if self.intents else made


def check_form(form: AnswerForm, where: str) -> AnswerForm:
    """Check that a form can be read and allows an answer; no model is needed for it.

    Args:
        form: what is checked.
        where: begins the message: a key, or a file.

    Raises:
        ConfigError: with line and column where they are known.
    """
    from llguidance import LLMatcher, LLParserLimits, LLTokenizer

    limits = LLParserLimits(verbose_errors=False)
    matcher = LLMatcher(LLTokenizer("byte"), form.grammar(), log_level=0, limits=limits)
    if matcher.is_error():
        raise ConfigError(f"{where}{_explain(form, matcher.get_error())}")
    matcher.compute_bitmask()  # where nothing is allowed it says so only then
    if matcher.is_error() or (matcher.is_stopped() and not matcher.is_accepting()):
        raise ConfigError(
            f"{where}: allows no answer at all; write one that some text keeps, such as [0-9]+"
        )
    return form


def _explain(form: AnswerForm, message: str) -> str:
    """Say in one line what llguidance says in several, with line and column."""
    place = re.match(r"(?:at )?(\d+)\((\d+)\): (.*)", message)
    if form.kind == "regex":
        caret = re.search(r"^( {4})( *)\^", message, re.M)
        error = re.search(r"^error: (.*)", message, re.M)
        at = f":1:{len(caret[2]) + 1}" if caret else ""
        why = error[1] if error else join_lines(message)
        return f"{at}: {why}; write a regular expression as of Rust's regex, without look-around"
    if place:
        why = place[3].strip()
        return f":{place[1]}:{place[2]}: {why}; write the grammar in Lark, beginning with `start:`"
    return f": {join_lines(message)}; write what llguidance reads"


def read_schema(given: JSON, base: Path, where: str) -> tuple[str, str]:
    """Return a JSON schema as text, and its place: that of an entry, or of the file it names.

    Raises:
        ConfigError: no file, or no JSON in it (with line and column).
    """
    if not isinstance(given, str):
        return json.dumps(given, ensure_ascii=False), where
    text, path = _read_file(given, base, where)
    try:
        made = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError(
            f"{path}:{error.lineno}:{error.colno}: {error.msg}; write a JSON schema"
        ) from error
    if not isinstance(made, dict):
        raise ConfigError(f'{path}: a JSON schema is an object, as in {{"type": "string"}}')
    return json.dumps(made, ensure_ascii=False), str(path)


def read_grammar(given: str, base: Path, where: str) -> tuple[str, str]:
    """Return a grammar in Lark, and its place: a text with a rule, or that of a file.

    Raises:
        ConfigError: no such file.
    """
    if "\n" in given or re.search(r"^\s*\w+\s*:", given):
        return given, where
    text, path = _read_file(given, base, where)
    return text, str(path)


def _read_file(given: str, base: Path, where: str) -> tuple[str, Path]:
    path = base / Path(given).expanduser()
    try:
        return path.read_text("utf-8"), path
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "is not UTF-8 text"
        raise ConfigError(
            f"{where}: {path}: {why}; name a file, or write the form itself in its place"
        ) from error
