"""The constraint of a condition: what its entry asks for, completed by task, template and data."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from icl.core.answer_forms import FORM_KINDS, FormKind
from icl.core.bio import read_marks
from icl.core.errors import ConfigError, DataError
from icl.core.types import Choice, Example, Method
from icl.engines.protocol import Engine, FormEngine
from icl.experiment.entries import ConstrainEntry, TaskEntry
from icl.experiment.method import write_choices
from icl.prompts.template import Template
from icl.tasks import Task
from icl.tasks.constraints import Constraint, SourceMarks, check_form, read_grammar, read_schema

__all__ = ["check_engine_forms", "find_form_kind", "make_constraint"]


def find_form_kind(given: str | ConstrainEntry) -> FormKind:
    """Return the kind of form that an entry asks for."""
    name = given if isinstance(given, str) else given.kind
    return next(kind for kind in FORM_KINDS if kind == name)


def make_constraint(
    entry: TaskEntry,
    task: Task,
    method: Method,
    template: Template,
    engine: Engine,
    rows: Sequence[Example],
    base: Path,
) -> Constraint | None:
    """Make what the answers of a condition are held to; None if to nothing.

    Args:
        entry: of the experiment file.
        task: may say itself how the words of a row are written.
        method: how choices are answered with.
        template: its target half says which white space begins an answer.
        engine: writes the answer; in a chat no white space begins one.
        rows: those that shots come from, and those that are asked; names of marks are theirs.
        base: the folder that paths start from.

    Raises:
        ConfigError: nothing is written, a form that cannot be read or kept, or no words are known.
    """
    given = entry.constrain
    if given is None:
        return None
    where = f"the task {entry.task!r}: constrain"
    if method != "generate":
        raise ConfigError(
            f"{where}: holds what a model writes to a form, and the method here is {method}, which "
            "writes nothing; add `method: generate`, or remove it"
        )
    kind, lead = find_form_kind(given), find_lead(template, engine)
    if kind == "choice":
        return _choice(where, template)
    if kind == "source":
        asked = given if isinstance(given, ConstrainEntry) else None
        marks = _find_marks(where, asked, task, rows)
        return Constraint(kind, "", lead, marks.field, marks.names, marks.output)
    assert isinstance(given, ConstrainEntry)
    where = f"{where}.{kind}"
    text, place = given.regex or "", where
    if given.json_schema is not None:
        text, place = read_schema(given.json_schema, base, where)
    elif given.grammar is not None:
        text, place = read_grammar(given.grammar, base, where)
    made = Constraint(kind, text, lead)
    check_form(made.form(Example("", {}), ()), place)
    return made


def check_engine_forms(kind: FormKind, engine: Engine, name: str) -> None:
    """Check that an engine holds answers to forms of this kind.

    Raises:
        ConfigError: it does not; the message says what it takes.
    """
    taken = engine.list_forms() if isinstance(engine, FormEngine) else ()
    if kind not in taken:
        told = f"takes {', '.join(taken)}" if taken else "takes no forms"
        raise ConfigError(
            f"the model {name!r} {told}, and constrain: asks for {kind}; remove constrain:, or "
            "answer with a model of the engine hf, which takes all"
        )


def find_lead(template: Template, engine: Engine) -> str:
    """Return the white space that begins the answers of a template, as the engine writes them."""
    source = template.file.target.source
    lead = source[: len(source) - len(source.lstrip())]
    return write_choices(engine, [Choice("", f"{lead}x")])[0].text.removesuffix("x")


def _choice(where: str, template: Template) -> Constraint:
    file = template.file
    if file.kind.labels is None:
        raise ConfigError(
            f"{where}: choice holds an answer to one of the choices, and {file.kind.name!r} has "
            "none; write source, or a regex, json_schema or grammar"
        )
    if file.kind.gold == "set":
        separator, none = file.head.label_separator, file.head.no_labels
        return Constraint("choice", separator=separator, none=none or "")
    return Constraint("choice")


def _find_marks(
    where: str, asked: ConstrainEntry | None, task: Task, rows: Sequence[Example]
) -> SourceMarks:
    """Find field, names and output: of the entry, else of the task, else of the rows."""
    own = task.find_marks(rows) if task.find_marks is not None else None
    field = (asked and asked.field) or (own.field if own else None) or _only_text(where, rows)
    names = asked.names if asked else None
    names = list(own.names) if own and names is None else names
    written = (asked and asked.written) or (own.output if own else "marked")
    if names is None:
        found = (read_marks(row.targets[0]).pieces for row in rows if row.targets)
        names = sorted({name for pieces in found for _, name in pieces if name is not None})
    if strange := next((name for name in names if re.search(r"[\[\]:\n]", name)), None):
        raise ConfigError(
            f"{where}: the name {strange!r} of a mark holds a bracket, a colon or a line break, "
            "which end a name; give it another name"
        )
    if not names:
        raise ConfigError(
            f"{where}: source needs the names of the marks, and the answers of the pool have none, "
            "such as [time : five am]; list them, as in "
            "`constrain: {names: [time, date]}`"
        )
    return SourceMarks(field, tuple(names), written)


def _only_text(where: str, rows: Sequence[Example]) -> str:
    """Return the one input field that holds text."""
    if not rows:
        raise DataError(f"{where}: there are no rows to take words from; give `rows:` some")
    texts = [name for name, value in rows[0].inputs.items() if isinstance(value, str)]
    if len(texts) != 1:
        raise ConfigError(
            f"{where}: source takes over the words of one field, and a row has "
            f"{', '.join(map(repr, texts)) or 'none with text'}; name it, as in "
            f"`constrain: {{field: {texts[0] if texts else 'utt'}}}`"
        )
    return texts[0]
