"""The constraint of a condition: what its entry asks for, completed by task, template and data."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from icl.core.answer_forms import FORM_KINDS, FormKind, SourceOutput
from icl.core.bio import read_marks
from icl.core.errors import ConfigError, DataError
from icl.core.types import Choice, Example, Method
from icl.engines.protocol import Engine, FormEngine
from icl.experiment.entries import ConstrainEntry, TaskEntry
from icl.experiment.method import write_choices
from icl.prompts.slot_values import write_slot_values
from icl.prompts.template import Template
from icl.tasks import Task
from icl.tasks.constraints import Constraint, check_form, read_grammar, read_schema
from icl.tasks.slots import count_intents

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
        task: of slots it follows from the template how the words of a row are written.
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
    if template.file.head.asks_each:
        raise ConfigError(
            f"{where}: holds one answer a row to a form, and {template.name} asks a question for "
            "each slot; take a template with `output: marked` or `output: json`, or remove it"
        )
    kind, lead = find_form_kind(given), find_lead(template, engine)
    if kind == "choice":
        return _choice(where, template)
    if kind == "source":
        asked = given if isinstance(given, ConstrainEntry) else None
        if task.kind.gold == "spans":
            return replace(_make_slot_source(where, asked, template, rows), lead=lead)
        return replace(_make_source(where, asked, rows), lead=lead)
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


def _make_source(where: str, asked: ConstrainEntry | None, rows: Sequence[Example]) -> Constraint:
    """Find field, names and way of writing: of the entry, else of the rows."""
    field = (asked and asked.field) or _only_text(where, rows)
    names = asked.names if asked else None
    if names is None:
        found = (read_marks(row.targets[0]).pieces for row in rows if row.targets)
        names = sorted({name for pieces in found for _, name in pieces if name is not None})
    if not names:
        raise ConfigError(
            f"{where}: source needs the names of the marks, and the answers of the pool have none, "
            "such as [time : five am]; list them, as in "
            "`constrain: {names: [time, date]}`"
        )
    written = (asked and asked.written) or "marked"
    return Constraint("source", field=field, names=_check_names(where, names), output=written)


def _make_slot_source(
    where: str, asked: ConstrainEntry | None, template: Template, rows: Sequence[Example]
) -> Constraint:
    """Take field, names, way of writing and intents from a template of slots and its rows."""
    head = template.file.head
    asks = (asked and asked.field, asked and asked.written)
    for key, given, own in zip(
        ("field", "written"), asks, (head.text_field, head.output), strict=True
    ):
        if given and given != own:
            raise ConfigError(
                f"{where}.{key}: {given!r}, and the template {template.name} says {own!r}; remove "
                f"`{key}:`, or take another template"
            )
    names = (asked.names if asked else None) or list(template.labels.values())
    if not names:
        raise ConfigError(
            f"{where}: source needs the names of the slots, and neither pool nor rows have one; "
            "list them under `labels:` of the template"
        )
    answered = [row for row in rows if row.targets]
    intents: list[str] = []
    if head.intent_field is not None:
        intents = sorted(count_intents([row.targets[0] for row in answered]))
    assert head.text_field is not None and head.output != "per_slot"
    output: SourceOutput = "json" if head.output == "json" else "marked"
    divider = _find_divider(where, template, answered[0], output) if answered else ""
    return Constraint(
        "source",
        field=head.text_field,
        names=_check_names(where, names),
        output=output,
        intents=tuple(intents),
        divider=divider,
    )


def _find_divider(where: str, template: Template, row: Example, output: SourceOutput) -> str:
    """Return what a template writes between intent and marked text; nothing without an intent.

    Raises:
        ConfigError: it writes slots in a way of its own, which the form would not allow.
    """
    head = template.file.head
    shown = template.target(row).strip()
    values = write_slot_values(head, template.name, row, template.labels, "")
    intent, marked, slots = values["intent"], str(values["marked"]), values["slots"]
    if output == "json":
        assert isinstance(slots, dict)
        named = {"intent": intent} if intent is not None else {}
        if shown == json.dumps({**named, **slots}, ensure_ascii=False):
            return ""
        usual = "{{ dict(intent=intent, **slots) | json }}" if named else "{{ slots | json }}"
    else:
        usual = "{{ intent }} | {{ marked }}" if intent is not None else "{{ marked }}"
        front = shown.removesuffix(marked)
        if shown.endswith(marked) and intent is None and not front:
            return ""
        divider = front.removeprefix(str(intent))
        divided = shown.endswith(marked) and front.startswith(str(intent))
        if divided and re.fullmatch(r"[ \t]*[|\n]\s*", divider):
            return divider
    raise ConfigError(
        f"{where}: source holds answers to what `||| {usual}` writes, and {template.name} writes "
        f"{shown[:60]!r}; write its target half so, or hold answers to a regex or grammar"
    )


def _check_names(where: str, names: Sequence[str]) -> tuple[str, ...]:
    """Check that a name ends where its mark says."""
    if strange := next((name for name in names if re.search(r"[\[\]:\n]", name)), None):
        raise ConfigError(
            f"{where}: the name {strange!r} of a mark holds a bracket, a colon or a line break, "
            "which end a name; give it another name"
        )
    return tuple(names)


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
