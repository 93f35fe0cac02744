"""JSON Schemas (draft 2020-12) of the experiment file and of a template's front matter.

Editors use them to complete and check YAML. They are generated from the classes that check the
files, so that both always agree; names of installed plug-ins are offered too.
"""

from __future__ import annotations

import ast
import inspect
import json
import sys
import textwrap
from dataclasses import fields, is_dataclass
from typing import Any, get_args, get_type_hints

from icl.core.errors import ConfigError
from icl.core.kinds import kinds
from icl.core.registry import did_you_mean, lookup, names
from icl.core.slot_answers import OUTPUTS
from icl.engines.hf.weights.widths import WIDTHS
from icl.experiment.entries import ExperimentEntry, ShotsHolder
from icl.experiment.samples import list_built_in_data
from icl.prompts.frontmatter import CHOICE_ENDS, QUESTIONS, FrontMatter
from icl.prompts.template_file import list_templates

__all__ = ["SCHEMAS", "make_experiment_schema", "write_schema", "make_template_schema"]


DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SCALARS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}
_OFFERED = {
    ("TaskEntry", "task"): "task",
    ("TaskEntry", "parser"): "parser",
    ("TaskEntry", "metrics"): "metric",
    ("TaskEntry", "calibrate"): "calibrator",
    ("DataEntry", "format"): "format",
    ("ShotsEntry", "select"): "selector",
}
"""Entry and key -> the kind of registered names that it accepts."""
_AXES = {
    "model": (
        "usual",
        "Models to run, by their names under `models`; all of them by default.",
    ),
    "shots": ("basic", "Number of shots, and their selection; a number alone is `k`."),
    "layout": ("usual", "Layouts of all templates; f0 is the file as written."),
}
"""Axis of the grid -> its level and meaning."""
_BASIC_OPTIONS = ("source",)
_USUAL_OPTIONS = (
    "engine",
    "width",
    "device",
    "window",
    "chat",
    "model",
    "api_key_env",
    "price",
    "max_cost",
)
"""Options of engines with the level ``usual``; those of plug-ins are ``rare``."""
_FRONT_MATTER = {
    "about": "One line on what is special about this form.",
    "source": "Source of the form: a paper, or 'Written for this project.'",
    "author": "Author of the template.",
    "task": "The kind of answer: one of some labels, or free text.",
    "labels": "The labels and their words: a list, `label: word`, `label: {en: word}`, or the "
    "name of a table in the library.",
    "label_field": "The field of the data that holds the answer; it is hidden from inputs.",
    "answer_fields": "More fields that give the answer away, and so are hidden from inputs.",
    "shared_fields": "Fields that an input may read although the target reads them.",
    "choices": "For choose: fields that hold a row's options, or one field with a list.",
    "choice_labels": "For choose: how the answer names an option: index, text, these labels, or "
    "the field that lists them.",
    "stop": "Texts that end an answer; the first one is also the end of a choice.",
    "separator": "What joins system, instruction, shots and query.",
    "choice_end": "Choices after which the end of the answer is scored.",
    "label_separator": "For labels, and for slots with a question each: separator of the labels or "
    "values of an answer.",
    "no_labels": "For labels, and for slots with a question each: text of an answer without a "
    "label or value.",
    "output": "For slots: marked (the text with marks), json (an object of values), or per_slot (a "
    "question for each slot).",
    "questions": "For slots with a question each: which are asked about, those that the shots show "
    "or all.",
    "text_field": "For slots: the field of the data with the text that they are in.",
    "intent_field": "For slots: the field with the intent, where the answer names that, too.",
    "fallback": "Language to take words and labels from where one is missing.",
}


def make_experiment_schema() -> dict[str, Any]:
    """Make the schema of an experiment file."""
    schema = ExperimentEntry.model_json_schema()
    shots = ShotsHolder.model_json_schema()
    kinds = schema["$defs"] = {**schema["$defs"], **shots["$defs"]}
    for entry in (*kinds.values(), schema):
        _describe(entry)
    for (entry_name, key), kind in _OFFERED.items():
        _offer(kinds[entry_name]["properties"][key], names(kind))
    _offer(kinds["RowsEntry"]["properties"]["data"], sorted(list_built_in_data()))
    _offer(kinds["TaskEntry"]["properties"]["prompt"], list_templates())
    properties = schema["properties"]
    properties["models"]["additionalProperties"] = models = _model_schema()
    width = models["properties"]["width"]
    told = {**_AXES, "width": (width["level"], width["description"])}
    axes = {
        "model": {"type": "string"},
        "shots": shots["properties"]["shots"],
        "width": {"enum": list(WIDTHS)},
        "layout": {"type": "string", "pattern": r"^f\d+$"},
    }
    properties["grid"] |= {
        "properties": {
            axis: {
                "description": told[axis][1],
                "level": told[axis][0],
                "type": "array",
                "items": items,
            }
            for axis, items in axes.items()
        },
        "patternProperties": {r"^(tasks|models)\.[^.]+\..+$": {"type": "array"}},
        "additionalProperties": False,
    }
    return {"$schema": DRAFT, **_without_titles(schema), "title": "icl experiment"}


def make_template_schema() -> dict[str, Any]:
    """Make the schema of a template's front matter."""
    hints = get_type_hints(FrontMatter)
    properties: dict[str, Any] = {}
    for spec in fields(FrontMatter):
        made: dict[str, Any] = {"type": "string"}
        if spec.name == "task":
            _offer(made, list(kinds()))
        elif spec.name == "choice_end":
            made = {"enum": list(CHOICE_ENDS)}
        elif spec.name == "output":
            made = {"enum": list(OUTPUTS)}
        elif spec.name == "questions":
            made = {"enum": list(QUESTIONS)}
        elif spec.name == "labels":
            made = {"type": ["array", "object", "string"]}
        elif hints[spec.name] == tuple[str, ...]:
            made = {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}
        if isinstance(spec.default, str) and spec.default:
            made["default"] = spec.default
        properties[spec.name] = {"description": _FRONT_MATTER[spec.name], **made}
    return {
        "$schema": DRAFT,
        "title": "icl template front matter",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


SCHEMAS = {"experiment": make_experiment_schema, "template": make_template_schema}


def write_schema(kind: str) -> str:
    """Write a schema as the text of a file.

    Raises:
        ConfigError: there is no such kind.
    """
    if kind not in SCHEMAS:
        raise ConfigError(f"no schema of {kind!r}{did_you_mean(kind, SCHEMAS)}")
    return json.dumps(SCHEMAS[kind](), ensure_ascii=False, indent=1) + "\n"


def _describe(schema: dict[str, Any]) -> None:
    """Put the meaning of each key on one line, in Markdown."""
    for key in schema.get("properties", {}).values():
        if "description" in key:
            key["description"] = _one_line(key["description"])


def _one_line(text: str) -> str:
    return " ".join(text.replace("``", "`").split())


def _field_docs(kind: type) -> dict[str, str]:
    """Read field -> docstring below it from a class's source, including base classes."""
    if kind.__module__ == "builtins":
        return {}
    inherited = [_field_docs(base) for base in kind.__bases__ if is_dataclass(base)]
    (body,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(body, ast.ClassDef)
    found: dict[str, str] = {name: doc for docs in inherited for name, doc in docs.items()}
    for field, text in zip(body.body, body.body[1:], strict=False):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(field.target, ast.Name)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            found[field.target.id] = _one_line(str(text.value.value))
    return found


def _offer(schema: dict[str, Any], known: list[str]) -> None:
    """Add names to choose from wherever text is accepted; other text stays accepted (plug-ins)."""
    if schema.get("type") == "string" and "enum" not in schema:
        del schema["type"]
        schema["anyOf"] = [{"enum": known}, {"type": "string"}]
        return
    for part in [*schema.get("anyOf", ()), *filter(None, [schema.get("items")])]:
        _offer(part, known)


def _model_schema() -> dict[str, Any]:
    """Make the schema of a model entry: ``engine``, and the options of all known engines."""
    properties: dict[str, Any] = {
        "engine": {
            "description": "The engine that runs the model.",
            "level": "usual",
            "default": "hf",
            "anyOf": [{"enum": names("engine")}, {"type": "string"}],
        }
    }
    engines = {name: lookup("engine", name) for name in names("engine")}
    engines = {name: engine for name, engine in engines.items() if is_dataclass(engine)}
    told = {
        name: _field_docs(engine) if isinstance(engine, type) else {}
        for name, engine in engines.items()
    }
    for engine in engines.values():
        for spec in fields(engine):
            if spec.init and spec.name not in properties:
                takers = [one for one in engines if spec.name in _options(engines[one])]
                by_meaning: dict[str, list[str]] = {}
                for one in takers:
                    by_meaning.setdefault(told[one].get(spec.name, ""), []).append(one)
                lines = (
                    f"{', '.join(by)}: {text}".strip(" :")
                    for text, by in by_meaning.items()
                    if text
                )
                properties[spec.name] = {
                    "description": " ".join(lines),
                    "level": _level(spec.name),
                    **_type_of(engine, spec.type),
                }
                if spec.default and isinstance(spec.default, str | int | float):
                    properties[spec.name]["default"] = spec.default
    return {"type": "object", "properties": properties}


def _options(engine: Any) -> set[str]:
    """Return the names of the options that an entry may give to an engine."""
    return {spec.name for spec in fields(engine) if spec.init}


def _level(option: str) -> str:
    """Return how often an option of an engine is needed."""
    if option in _BASIC_OPTIONS:
        return "basic"
    return "usual" if option in _USUAL_OPTIONS else "rare"


def _type_of(engine: Any, written: Any) -> dict[str, Any]:
    """Make the schema of an annotation: plain types, or a list of values referred to by name."""
    modules = [sys.modules[base.__module__] for base in engine.__mro__]
    values = next((get_args(v) for m in modules if (v := getattr(m, str(written), None))), ())
    if values and all(isinstance(value, str) for value in values):
        return {"enum": list(values)}
    parts = [part.strip() for part in str(written).split("|")]
    kinds = [_SCALARS[part] for part in parts if part in _SCALARS]
    if len(kinds) < len(parts) - ("None" in parts):
        return {}
    return {"type": kinds[0] if len(kinds) == 1 else kinds}


def _without_titles(value: Any) -> Any:
    """Remove titles, which only repeat the key."""
    if isinstance(value, list):
        return [_without_titles(one) for one in value]
    if not isinstance(value, dict):
        return value
    return {
        key: _without_titles(one)
        for key, one in value.items()
        if not (key == "title" and isinstance(one, str))
    }
