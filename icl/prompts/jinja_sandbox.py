"""Jinja's sandbox, and template halves: the smallest pieces that are rendered separately.

The context holds only plain JSON values, nothing random or dated is available, and a missing
variable is an error. The sandbox limits what a template can reach, not its running time: the
command line renders the user's own templates.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Any

from jinja2 import StrictUndefined, meta, nodes, pass_context
from jinja2 import TemplateError as JinjaError
from jinja2.exceptions import SecurityError, TemplateSyntaxError, UndefinedError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from icl.core.errors import LeakError, TemplateError, join_lines
from icl.core.registry import did_you_mean
from icl.core.segmentation import shorten
from icl.core.types import JSON

__all__ = ["FIT", "NO_TOJSON", "ROW", "RowExpression", "TemplateHalf"]


FIT = "\0fit"
"""Context key for the number of characters left of a span marked ``fit``; no field's name."""


def _places(text: str, word: str) -> list[int]:
    """List the character offsets of a word where it is a whole word.

    What may go on in an identifier goes on in a word: letters, digits and combining marks.
    """
    found = [at for at in range(len(text)) if word and text.startswith(word, at)]
    ends = [(at, text[max(at - 1, 0) : at] + text[at + len(word) :][:1]) for at in found]
    return [at for at, around in ends if not any(f"a{char}".isidentifier() for char in around)]


def _unpunct(text: str) -> str:
    return text.rstrip().rstrip(".。!?！？।")


def _json(value: object) -> str:
    if isinstance(value, StrictUndefined):
        value = str(value)  # raises, and names what is not there
    return json.dumps(value, ensure_ascii=False)


@pass_context
def _fit(context: Context, text: object) -> str:
    """Return the text, shortened to the number of characters in the context if there is one."""
    if isinstance(text, StrictUndefined):
        text = str(text)  # raises, and names what is not there
    if not isinstance(text, str):
        raise TypeError(f"fit marks a text, this is {type(text).__name__}")
    keep = context.get(FIT)
    return text if keep is None else shorten(text, keep)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False
    )
    for name in ("lipsum", "cycler", "joiner"):
        del environment.globals[name]
    del environment.filters["random"]
    environment.filters["json"] = _json
    environment.filters["quoted"] = lambda words: ", ".join(f'"{word}"' for word in words)
    environment.filters["fit"] = _fit
    environment.filters["unpunct"] = _unpunct
    environment.filters["places"] = _places
    environment.filters["decap"] = lambda text: text[:1].lower() + text[1:]
    return environment


_ENVIRONMENT = _environment()
_BOUNDS = (RecursionError, MemoryError, SyntaxError)
"""Errors for templates that are too deep, too large, or nested deeper than Python compiles."""
_WRONG_VALUES = (ArithmeticError, AttributeError, LookupError, NameError, TypeError, ValueError)
"""Errors of Jinja's operators and filters for a value of the wrong type or range; a number too
large for a float is compiled to a name that Python does not know."""


@dataclass(frozen=True)
class TemplateHalf:
    """A piece of a template that is rendered separately, with its place in the file."""

    where: str
    """File name, for messages."""
    source: str
    first_line: int

    def tree(self) -> nodes.Template:
        """Parse the source into Jinja's syntax tree.

        Raises:
            TemplateError: the source is malformed.
        """
        try:
            return _ENVIRONMENT.parse(self.source)
        except TemplateSyntaxError as error:
            raise self._malformed(error) from error
        except _BOUNDS as error:
            raise self._failed(error) from error

    def _malformed(self, error: TemplateSyntaxError) -> TemplateError:
        where = f"{self.where}:{self.first_line + error.lineno - 1}"
        absent = re.fullmatch(r"No (filter|test) named '(.*)'\.", error.message or "")
        if absent:
            known = _ENVIRONMENT.filters if absent[1] == "filter" else _ENVIRONMENT.tests
            return TemplateError(
                f"{where}: no {absent[1]} is called {absent[2]!r}{did_you_mean(absent[2], known)}"
            )
        return TemplateError(
            f"{where}: {join_lines(error.message or '')} (the parts before and after ||| are "
            "compiled separately, so a block cannot cross it)"
        )

    def _failed(self, error: BaseException) -> TemplateError:
        line = self.first_line + _line(error.__traceback__) - 1
        return TemplateError(f"{self.where}:{line}: {type(error).__name__}: {join_lines(error)}")

    def is_only(self, name: str) -> bool:
        """Return whether the half is this variable and white space around it.

        >>> TemplateHalf("a.j2", " {{ target }}", 1).is_only("target")
        True
        """
        parts = [part for node in self.tree().body for part in getattr(node, "nodes", [node])]
        rest = [
            part
            for part in parts
            if not (isinstance(part, nodes.TemplateData) and not part.data.strip())
        ]
        return len(rest) == 1 and isinstance(rest[0], nodes.Name) and rest[0].name == name

    @property
    def names(self) -> dict[str, int]:
        """Variables that the half reads -> the line in the file where each is first read."""
        return _names(self)

    def find_names(self) -> dict[str, int]:
        """Compute :attr:`names`, which caches the result."""
        tree = self.tree()
        try:
            free = meta.find_undeclared_variables(tree)
        except TemplateSyntaxError as error:
            raise self._malformed(error) from error
        except _BOUNDS as error:
            raise self._failed(error) from error
        lines: dict[str, int] = {}
        for node in tree.find_all(nodes.Name):
            if node.name in free and node.ctx == "load":
                lines.setdefault(node.name, self.first_line + node.lineno - 1)
        return lines

    @property
    def words_used(self) -> set[str] | None:
        """Keys read from ``words``; None if they are only known when rendering."""
        used: set[str] = set()
        reads = 0
        tree = self.tree()
        for node in tree.find_all(nodes.Getattr):
            if isinstance(node.node, nodes.Name) and node.node.name == "words":
                used.add(node.attr)
                reads += 1
        for item in tree.find_all(nodes.Getitem):
            if isinstance(item.node, nodes.Name) and item.node.name == "words":
                if not isinstance(item.arg, nodes.Const):
                    return None
                used.add(str(item.arg.value))
                reads += 1
        named = sum(1 for node in tree.find_all(nodes.Name) if node.name == "words")
        return used if named == reads else None

    def lines_of_filter(self, name: str) -> list[int]:
        """List the lines in the file where a filter is used."""
        found = [node for node in self.tree().find_all(nodes.Filter) if node.name == name]
        return [self.first_line + node.lineno - 1 for node in found]

    @property
    def fits(self) -> list[int]:
        """Lines in the file where a span is marked ``fit``."""
        return self.lines_of_filter("fit")

    def unquoted(self, name: str) -> list[int]:
        """List the lines in the file where a variable is read without the filter ``json``."""
        tree = self.tree()
        quoted = set()
        for node in tree.find_all(nodes.Filter):
            inner = node.node
            if isinstance(inner, nodes.Filter) and inner.name == "fit":
                inner = inner.node
            if node.name == "json" and isinstance(inner, nodes.Name):
                quoted.add(id(inner))
        reads = [node for node in tree.find_all(nodes.Name) if node.name == name]
        return [self.first_line + one.lineno - 1 for one in reads if id(one) not in quoted]

    def refuse(self, answers: set[str]) -> None:
        """Raise LeakError if this half reads one of the ``answers``."""
        for name, line in self.names.items():
            if name in answers:
                cut = re.search(rf"\b{re.escape(name)}\s*\[\s*:\s*-\s*1\s*\]", self.source)
                remedy = (
                    f"if it lists the turns of a chat, write `answer: {name}` in the data, which "
                    f"takes the answer off, read all of {name!r} here and `target` behind |||"
                    if cut
                    else "move it after |||, or list it under `shared_fields:` if it gives "
                    "nothing away"
                )
                raise LeakError(
                    f"{self.where}:{line}: the input reads {name!r}, which holds the answer; "
                    f"{remedy}"
                )

    def render(self, context: Mapping[str, JSON], offered: Iterable[str] = ()) -> str:
        """Render the half with plain JSON values.

        Args:
            context: name -> value.
            offered: names to list in messages in addition to those of the context.

        Raises:
            TemplateError: a variable is not there, or the sandbox refused something.
        """
        try:
            return str(_compiled(self.source).render(context))
        except UndefinedError as error:
            line = self.first_line + _line(error.__traceback__) - 1
            known = sorted({*context, *offered})
            missing = re.search(r"'([^']+)' is undefined", str(error))
            guess = did_you_mean(missing[1], known) if missing else f". Variables: {known}"
            raise TemplateError(f"{self.where}:{line}: {join_lines(error)}{guess}") from error
        except SecurityError as error:
            raise TemplateError(
                f"{self.where}:{self.first_line + _line(error.__traceback__) - 1}: refused by the "
                f"sandbox: {join_lines(error)}"
            ) from error
        except TemplateSyntaxError as error:
            raise self._malformed(error) from error
        except (JinjaError, *_BOUNDS, *_WRONG_VALUES) as error:
            raise self._failed(error) from error


ROW = "row"
"""Name of the whole row in an expression, for columns whose names are no words of Jinja."""


@dataclass(frozen=True)
class RowExpression:
    """An expression of a data set's keys: ``{{ }}`` around it, a JSON value out of it."""

    source: str

    def _tree(self) -> nodes.Template:
        source = self.source.strip()
        try:
            tree = _ENVIRONMENT.parse(source)
        except (TemplateSyntaxError, *_BOUNDS) as error:
            raise self._failed(error) from error
        body = tree.body
        if (
            len(body) != 1
            or not isinstance(body[0], nodes.Output)
            or len(body[0].nodes) != 1
            or isinstance(body[0].nodes[0], nodes.TemplateData)
        ):
            raise TemplateError(
                f"{source} is no single expression; write one in {{{{ }}}}, and put texts together "
                "by ~, as in {{ first ~ ' ' ~ last }}"
            )
        return tree

    def _failed(self, error: BaseException) -> TemplateError:
        said = getattr(error, "message", None) or str(error)
        absent = re.fullmatch(r"No (filter|test) named '(.*)'\.", said)
        if absent:
            known = _ENVIRONMENT.filters if absent[1] == "filter" else _ENVIRONMENT.tests
            fault = f"no {absent[1]} is called {absent[2]!r}{did_you_mean(absent[2], known)}"
        else:
            fault = f"{type(error).__name__}: {join_lines(said)}"
        return TemplateError(f"{self.source.strip()}: {fault}")

    def find_columns(self) -> list[str]:
        """Return the columns that it reads, sorted; with ``row`` if some are not known by name.

        Raises:
            TemplateError: malformed, or it uses the filter tojson.
        """
        tree = self._tree()
        if any(node.name == "tojson" for node in tree.find_all(nodes.Filter)):
            raise TemplateError(f"{self.source.strip()}: {NO_TOJSON}")
        try:
            names = meta.find_undeclared_variables(tree) - set(_ENVIRONMENT.globals)
        except (TemplateSyntaxError, *_BOUNDS) as error:
            raise self._failed(error) from error
        if ROW not in names:
            return sorted(names)
        named: list[str] = []
        for node in tree.find_all(nodes.Getattr):
            if isinstance(node.node, nodes.Name) and node.node.name == ROW:
                named.append(node.attr)
        for item in tree.find_all(nodes.Getitem):
            if isinstance(item.node, nodes.Name) and item.node.name == ROW:
                named += [str(item.arg.value)] if isinstance(item.arg, nodes.Const) else []
        reads = sum(node.name == ROW for node in tree.find_all(nodes.Name))
        return sorted(names | {*named} if reads > len(named) else (names - {ROW}) | {*named})

    def evaluate(self, row: Mapping[str, JSON], offered: Iterable[str] = ()) -> JSON:
        """Evaluate the expression for a row, as plain JSON.

        Args:
            row: column -> value.
            offered: columns to name in messages besides those of the row.

        Raises:
            TemplateError: a column is not there, the sandbox refused something, or the value is
                none of JSON's.
        """
        try:
            return _plain_value(_compiled_expression(self.source)({ROW: row, **row}))
        except UndefinedError as error:
            missing = re.search(r"'([^']+)' is undefined", str(error))
            guess = did_you_mean(missing[1], {*row, *offered}) if missing else ""
            raise TemplateError(f"{self.source.strip()}: {join_lines(error)}{guess}") from error
        except (JinjaError, *_BOUNDS, *_WRONG_VALUES) as error:
            raise self._failed(error) from error


def _plain_value(value: Any) -> JSON:
    """Convert a value to plain JSON; a filter's iterator becomes a list."""
    if isinstance(value, StrictUndefined):
        value = str(value)  # raises, and names what is not there
    if isinstance(value, dict):
        return {str(key): _plain_value(one) for key, one in value.items()}
    if isinstance(value, str) or value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        if value != value or value in (float("inf"), float("-inf")):
            raise ValueError(f"the number {value}, which JSON has no form for")
        return value
    if isinstance(value, Iterable):
        return [_plain_value(one) for one in value]
    raise TypeError(f"a value of type {type(value).__name__}, which JSON has no form for")


@lru_cache(maxsize=64)
def _compiled_expression(source: str) -> Any:
    inner = re.sub(r"\A\{\{[-+]?|[-+]?\}\}\Z", "", source.strip())
    return _ENVIRONMENT.compile_expression(inner, undefined_to_none=False)


NO_TOJSON = (
    "the filter tojson writes \\u escapes, escapes for HTML and sorted keys into the prompt; write "
    "json, which keeps the text and the order of the data"
)
"""Reason why a template may not use the filter."""


@lru_cache(maxsize=512)
def _compiled(source: str) -> Any:
    return _ENVIRONMENT.from_string(source)


@lru_cache(maxsize=512)
def _names(half: TemplateHalf) -> dict[str, int]:
    return half.find_names()


def _line(trace: TracebackType | None) -> int:
    """Return the template line at which rendering failed; Jinja puts it into the traceback."""
    line = 1
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == "<template>":
            line = trace.tb_lineno
        trace = trace.tb_next
    return line
