"""Export of a condition as one file without dependencies on icl: prompt, shots, settings.

The file contains golden rows with the prompts of the records, and can compare itself with them.
"""

from __future__ import annotations

import json
import pprint
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from icl.core.errors import ConfigError, StoreError
from icl.core.registry import did_you_mean
from icl.core.safe_text import clean
from icl.core.types import JSON, Choice, Example, Method, Prompt, Record
from icl.experiment.settings import join_axes
from icl.prompts.jinja_sandbox import TemplateHalf
from icl.prompts.template import Template
from icl.records.results import ConditionResult, Run
from icl.reports.export_chat import (
    Conversion,
    write_messages_function,
    write_render_function,
)
from icl.reports.jinja_to_python import HELPERS, TranslationError, write_function

__all__ = ["FORMATS", "FrozenCondition", "export", "freeze", "write_message_lines", "write_python"]


FORMATS = ("python", "openai", "messages")
GOLDEN_ROWS = 5


@dataclass(frozen=True)
class FrozenCondition:
    """A condition with its shots fixed."""

    title: str
    """Run, condition and axes."""
    template: Template
    method: Method
    shots: tuple[tuple[str, str], ...]
    """(input, target) of each shot, as sent."""
    shot_ids: tuple[str, ...]
    choices: tuple[Choice, ...]
    answer_tokens: int
    """Tokens of the longest answer: ``max_tokens``, or those of the longest choice."""
    sampling: Mapping[str, JSON]
    golden: tuple[tuple[Example, Prompt], ...]
    sent: tuple[str, ...]
    """The text sent for each golden prompt."""
    conversion: Conversion
    measured: bool
    """Whether the golden prompts are those of records; otherwise the run sent other shots."""


def export(run: Run, name: str, kind: str, shots_of: str | None = None) -> str:
    """Write a condition of a run as the text of a file.

    Args:
        run: a loaded run.
        name: the condition; see :meth:`icl.records.results.Run.condition`.
        kind: one of :data:`FORMATS`.
        shots_of: id of the example whose shots are frozen, if they differ from row to row.

    Raises:
        ConfigError: unknown kind.
        StoreError: no such condition, no records, prompts that differ from those of the records,
            or shots that differ from row to row and no ``shots_of``.
    """
    if kind not in FORMATS:
        raise ConfigError(f"--as {kind}: unknown{did_you_mean(kind, FORMATS)}")
    condition = run.condition(name)
    if kind == "messages":
        if shots_of is not None:
            raise ConfigError("messages keep the shots of every row; leave out --shots-of")
        return "".join(write_message_lines(condition))
    return write_python(freeze(run, condition, shots_of), openai=kind == "openai")


def _prompts(condition: ConditionResult) -> Iterator[tuple[Record, Prompt]]:
    """Yield every record with its prompt, after checking that it equals what was sent."""
    if not condition.records:
        raise StoreError(f"{condition.store.folder}: no records yet; run the experiment first")
    if condition.entry.method == "channel":
        raise StoreError(
            f"{condition.store.folder}: the noisy channel needs one prompt per label, which no "
            "single prompt holds; export a condition with method: rank or generate"
        )
    if condition.asks_each:
        raise StoreError(
            f"{condition.store.folder}: its template asks a question for each slot, which no "
            "single prompt holds; export a condition with `output: marked` or `output: json`"
        )
    for record in condition.records.values():
        prompt = condition.prompt(record)
        if condition.hash_again(record) != record.request:
            raise StoreError(
                f"{condition.store.folder}: the prompt of {record.id!r} rendered again is not "
                "what was sent; run the experiment again with this version, then export"
            )
        yield record, prompt


def write_message_lines(condition: ConditionResult) -> Iterator[str]:
    """Write one line of JSON for every record: ``id``, ``messages``, ``targets``."""
    examples = {example.id: example for example in condition.examples}
    conversion = _conversion(condition)
    for record, prompt in _prompts(condition):
        row = {
            "id": record.id,
            "messages": conversion.make_turns(prompt),
            "targets": list(examples[record.id].targets),
        }
        yield json.dumps(row, ensure_ascii=False) + "\n"


def _conversion(condition: ConditionResult) -> Conversion:
    return Conversion.of(condition.store.condition().identity.engine)


def freeze(run: Run, condition: ConditionResult, shots_of: str | None = None) -> FrozenCondition:
    """Fix the shots of a condition; see :func:`export`."""
    sent = list(_prompts(condition))
    whole = [(record, prompt) for record, prompt in sent if not record.dropped]
    sets = {tuple(name for name, _, _ in record.shots) for record, _ in whole}
    place = list(run.conditions).index(condition) + 1
    axes = join_axes(condition.axes, " · ")
    if len(sets) != 1 and shots_of is None:
        example = next(iter(condition.records))
        raise StoreError(
            f"{run.name}#{place} ({axes}) sent other shots with every row, so no one file holds "
            f"them; freeze those of one row, as in --shots-of {example}, or export a condition "
            "with `file:` or `scope: run`"
        )
    examples = {example.id: example for example in condition.examples}
    if shots_of is None:
        golden = [(examples[record.id], prompt) for record, prompt in whole[:GOLDEN_ROWS]]
    else:
        golden = list(_frozen_to(condition, condition.record(shots_of), examples))
    kept = condition.store.condition()
    ranked = kept.method == "rank"
    longest = max(condition.store.choice_tokens(), default=0)
    return FrozenCondition(
        title=f"{run.name}#{place} ({axes}), condition {condition.entry.fingerprint}",
        template=condition.template(),
        method=kept.method,
        shots=golden[0][1].shots,
        shot_ids=golden[0][1].shot_ids,
        choices=tuple(condition.store.choices()),
        answer_tokens=longest if ranked or kept.max_tokens is None else kept.max_tokens,
        sampling=kept.sampling or {},
        golden=tuple(golden),
        sent=tuple(condition.sent(prompt) for _, prompt in golden),
        conversion=_conversion(condition),
        measured=len(sets) == 1,
    )


def _frozen_to(
    condition: ConditionResult, record: Record, examples: Mapping[str, Example]
) -> Iterator[tuple[Example, Prompt]]:
    """Yield the first rows with the shots of one record."""
    template = condition.template()
    shots = condition.shots(record)
    for example in list(examples.values())[:GOLDEN_ROWS]:
        yield example, template.prompt(example, shots)


def write_python(frozen: FrozenCondition, openai: bool = False) -> str:
    """Write a module with ``render(row)``, ``messages(row)`` and ``check()``; see :data:`FORMATS`.

    It is run once here: a module that fails its own check is a bug and raises.
    """
    functions, helpers, reasons = _halves(frozen)
    made = frozen.conversion
    settings: dict[str, Any] = {
        "SEPARATOR": frozen.golden[0][1].separator,
        "STOP": list(frozen.golden[0][1].stop),
        "SHOTS": list(frozen.shots),
        **made.list_settings(),
    }
    if frozen.choices:
        settings["CHOICES"] = {choice.label: choice.text for choice in frozen.choices}
    if openai:
        settings["REQUEST"] = _request(frozen)
    elif frozen.method == "generate":
        settings["SAMPLING"] = dict(frozen.sampling)
    imports = dict.fromkeys(made.imports)
    imports |= dict.fromkeys(["import json"] if "_json" in helpers or reasons else [])
    imports |= dict.fromkeys(["import jinja2.sandbox"] if reasons or made.format else [])
    golden = [_golden(frozen, *one) for one in zip(frozen.golden, frozen.sent, strict=True)]
    turns = made.make_turns(frozen.golden[0][1])
    parts = [
        _needs(frozen, reasons) + _docstring(frozen, reasons, openai),
        "\n".join(sorted(imports)),
        _assigned(settings),
        *(HELPERS[name] for name in sorted(helpers)),
        JINJA if reasons else "",
        *functions,
        write_messages_function(made),
        write_render_function(made),
        LABEL if frozen.choices else "",
        _openai(made) if openai else "",
        _assigned({"GOLDEN": golden, **({} if made.server else {"GOLDEN_MESSAGES": turns})}),
        CHECK_TURNS if made.server else CHECK,
    ]
    source = "\n\n".join(part.strip("\n") + "\n" for part in parts if part)
    namespace: dict[str, Any] = {"__name__": "exported"}
    exec(compile(source, "<export>", "exec"), namespace)  # made here, of constants and halves
    namespace["check"]()
    return source


def _assigned(values: Mapping[str, Any]) -> str:
    """Write ``NAME = value`` for each value, long ones over several lines."""
    lines: list[str] = []
    for name, value in values.items():
        text = pprint.pformat(value, width=96, sort_dicts=False)
        if "\n" in text and isinstance(value, list | dict):
            text = f"{text[0]}\n {text[1:-1]},\n{text[-1]}"
        lines.append(f"{name} = {text}")
    return "\n".join(lines)


def _halves(frozen: FrozenCondition) -> tuple[list[str], set[str], list[str]]:
    """Write functions for system, instruction and query, with helpers and reasons for Jinja."""
    file = frozen.template.file
    found: dict[str, TemplateHalf | None] = {
        "system": file.system, "instruction": file.instruction, "query": file.query or file.input,
    }  # fmt: skip
    functions: list[str] = []
    helpers: set[str] = set()
    reasons: list[str] = []
    for name, half in found.items():
        if half is None:
            functions.append(f'def _{name}(row):\n    return ""\n')
            continue
        constants = _constants(frozen, half)
        try:
            source, called = write_function(f"_{name}", half, constants)
        except TranslationError as reason:
            reasons.append(f"[[{name}]] uses {reason}")
            source = (
                f"def _{name}(row):\n"
                f"    return _ENVIRONMENT.from_string({half.source!r}).render(\n"
                f"        {{**row, **{constants!r}}}\n    )\n"
            )
            called = set()
        functions.append(source)
        helpers |= called
    return functions, helpers, reasons


def _constants(frozen: FrozenCondition, half: TemplateHalf) -> dict[str, JSON]:
    """Return the reserved variables that the half reads, with one value for all rows."""
    made = [frozen.template.constants(half, example) for example, _ in frozen.golden]
    if any(one != made[0] for one in made):
        raise StoreError(
            f"{frozen.title}: names of languages differ from row to row, so they cannot be "
            "frozen; export one locale or pair at a time"
        )
    return {name: value for name, value in made[0].items() if name in half.names}


def _golden(frozen: FrozenCondition, golden: tuple[Example, Prompt], sent: str) -> dict[str, Any]:
    """Return a row's fields with what was sent for it: the text, or to a server the turns."""
    example, prompt = golden
    file = frozen.template.file
    halves = [file.system, file.instruction, file.query or file.input]
    read = {name for half in halves if half is not None for name in half.names}
    reserved = {"labels", "words"}
    row = {name: value for name, value in example.fields.items() if name in read - reserved}
    if frozen.conversion.server:
        turns = frozen.conversion.make_turns(prompt)
        return {"id": example.id, "row": row, "messages": turns}
    return {"id": example.id, "row": row, "prompt": sent}


def _openai(made: Conversion) -> str:
    """Write the functions that make the bodies of requests."""
    if not made.server:
        return OPENAI
    if not made.extra:
        return SERVER
    return SERVER.replace(
        "    return {",
        "    body = {",
    ) + (
        "    body |= EXTRA\n"
        "    return {name: value for name, value in body.items() if value is not None}\n"
    )


def _needs(frozen: FrozenCondition, reasons: Sequence[str]) -> str:
    """Write the first line of a file that needs Jinja, with the reasons."""
    reasons = [
        *reasons,
        *(["the model's chat template is Jinja"] if frozen.conversion.format else []),
    ]
    if not reasons:
        return ""
    return f"# Needs the package jinja2: {' and '.join(map(_one_line, reasons))}.\n"


def _one_line(text: str) -> str:
    return " ".join(clean(text).split())


def _request(frozen: FrozenCondition) -> dict[str, Any]:
    """Return the settings of a request as OpenAI's API names them."""
    made: dict[str, Any] = {"max_tokens": frozen.answer_tokens, "temperature": 0.0}
    for name in ("temperature", "top_p", "top_k", "min_p", "n", "seed"):
        inert = {"top_p": 1.0, "top_k": 0, "min_p": 0.0, "n": 1}
        if name in frozen.sampling and frozen.sampling[name] != inert.get(name):
            made[name] = frozen.sampling[name]
    stop = list(frozen.golden[0][1].stop) or (["\n"] if frozen.choices else [])
    return {**made, "stop": stop} if stop else made


def _docstring(frozen: FrozenCondition, reasons: Sequence[str], openai: bool) -> str:
    conversion = frozen.conversion
    if conversion.format:
        reasons = [*reasons, "the model's chat template is Jinja"]
    lines = [
        f"Prompt {frozen.template.name} of {frozen.title}.",
        "",
        "Written by `icl export`; made of "
        + (f"jinja2, since {' and '.join(reasons)}." if reasons else "plain Python alone."),
        f"Shots: {', '.join(frozen.shot_ids) or 'none'}.",
    ]
    if not frozen.measured:
        lines += ["In the run every row had its own shots: its scores are not valid for this file."]
    if frozen.method == "rank":
        lines += ["The run ranked CHOICES by their log-probability after the prompt."]
    lines += [""]
    if conversion.format:
        lines += [
            "render(row)    the text that is sent, by the model's chat template; it holds the BOS",
            "               token where the model wants one: tokenize it without another",
            "messages(row)  the turns that the template receives",
        ]
    elif conversion.server:
        lines += ["messages(row)  the turns that are sent to the server"]
    else:
        lines += [
            "render(row)    the text that is sent, for a row with the fields of the golden ones",
            "messages(row)  the same as chat turns",
        ]
    if openai and conversion.server:
        lines += ["chat(row, model)  body for /v1/chat/completions of a compatible server"]
    elif openai:
        lines += [
            "completion(row, model), chat(row, model)  bodies for /v1/completions and",
            "               /v1/chat/completions of a compatible server",
        ]
    if frozen.choices:
        lines += ["label(text)    the label of a written answer, or None"]
    lines += ["check()        compares the golden rows; `python FILE` does it too"]
    text = clean("\n".join(lines)).replace("\\", "\\\\").replace('"""', r"\"\"\"")
    return f'"""{text}\n"""\n'


JINJA = """
_ENVIRONMENT = jinja2.sandbox.ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined, keep_trailing_newline=True
)
_ENVIRONMENT.filters["json"] = lambda value: json.dumps(value, ensure_ascii=False)
_ENVIRONMENT.filters["quoted"] = lambda words: ", ".join(f'"{word}"' for word in words)
_ENVIRONMENT.filters["unpunct"] = lambda text: text.rstrip().rstrip(".。!?！？।")
_ENVIRONMENT.filters["decap"] = lambda text: text[:1].lower() + text[1:]


def _places(text, word):
    found = [at for at in range(len(text)) if word and text.startswith(word, at)]
    ends = [(at, text[max(at - 1, 0) : at] + text[at + len(word) :][:1]) for at in found]
    return [at for at, around in ends if not any(f"a{char}".isidentifier() for char in around)]


_ENVIRONMENT.filters["places"] = _places
"""

LABEL = """
def label(text):
    for name, choice in CHOICES.items():
        if text.strip() == choice.strip():
            return name
    return None
"""

OPENAI = """
def completion(row, model):
    return {"model": model, "prompt": render(row), **REQUEST}


def chat(row, model):
    return {"model": model, "messages": messages(row), **REQUEST}
"""

SERVER = """
def chat(row, model):
    return {"model": model, "messages": messages(row), **REQUEST}
"""

CHECK_TURNS = """
def check():
    for golden in GOLDEN:
        if messages(golden["row"]) != golden["messages"]:
            raise ValueError(f"row {golden['id']}: the turns are not those that were sent")
    return len(GOLDEN)


if __name__ == "__main__":
    print(f"{check()} golden rows: the same turns")
"""

CHECK = """
def check():
    for golden in GOLDEN:
        if render(golden["row"]) != golden["prompt"]:
            raise ValueError(f"row {golden['id']}: the prompt is not the one that was sent")
    if messages(GOLDEN[0]["row"]) != GOLDEN_MESSAGES:
        raise ValueError("the messages of the first row are not those that belong to it")
    return len(GOLDEN)


if __name__ == "__main__":
    print(f"{check()} golden rows: the same prompts")
"""
