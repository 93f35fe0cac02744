"""Translation of a template half to plain Python that builds the same string, without Jinja.

It covers what prompts usually contain: text, fields, ``if``, ``for``, comparisons and the filters
of
:data:`FILTERS`. Anything else is refused by name; the export then uses Jinja.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from jinja2 import nodes

from icl.core.types import JSON
from icl.prompts.jinja_sandbox import TemplateHalf

__all__ = ["FILTERS", "HELPERS", "TranslationError", "write_function"]


FILTERS = {
    "decap": "_decap", "join": "_join", "json": "_json", "lower": "_lower", "quoted": "_quoted",
    "trim": "_trim", "unpunct": "_unpunct", "upper": "_upper",
}  # fmt: skip
"""Filter -> the equivalent function in :data:`HELPERS`."""

HELPERS = {
    "_field": """def _field(row, name):
    if name not in row:
        raise KeyError(f"the row has no field {name!r}; it has: {', '.join(sorted(row))}")
    return row[name]
""",
    "_decap": """def _decap(text):
    return text[:1].lower() + text[1:]
""",
    "_join": """def _join(values, between=""):
    return between.join(str(value) for value in values)
""",
    "_json": """def _json(value):
    return json.dumps(value, ensure_ascii=False)
""",
    "_lower": """def _lower(value):
    return str(value).lower()
""",
    "_quoted": """def _quoted(words):
    return ", ".join(f'"{word}"' for word in words)
""",
    "_trim": """def _trim(value):
    return str(value).strip()
""",
    "_unpunct": """def _unpunct(text):
    return text.rstrip().rstrip(".。!?！？।")
""",
    "_upper": """def _upper(value):
    return str(value).upper()
""",
}
"""Functions that a translated half may call; none depends on another."""

_COMPARISONS = {
    "eq": "==", "ne": "!=", "gt": ">", "gteq": ">=", "lt": "<", "lteq": "<=", "in": "in",
    "notin": "not in",
}  # fmt: skip
_METHODS = {name for kind in (dict, list, str, int, float) for name in dir(kind)}
"""Attributes that Jinja would read from the value itself rather than from its keys."""


class TranslationError(Exception):
    """The half uses something that cannot be translated; the text names it."""


@dataclass
class _Writer:
    """A writer of the body of one function."""

    constants: Mapping[str, JSON]
    used: set[str] = field(default_factory=set)
    """Helpers that the body calls."""
    _loops: list[str] = field(default_factory=list)

    def statements(self, node: nodes.Node, depth: int) -> list[str]:
        pad = "    " * depth
        if isinstance(node, nodes.Output):
            return [f"{pad}out.append({self.output(part)})" for part in node.nodes]
        if isinstance(node, nodes.If):
            lines = [f"{pad}if {self.value(node.test)}:", *self.block(node.body, depth + 1)]
            for other in node.elif_:
                lines += [f"{pad}elif {self.value(other.test)}:"]
                lines += self.block(other.body, depth + 1)
            if node.else_:
                lines += [f"{pad}else:", *self.block(node.else_, depth + 1)]
            return lines
        if isinstance(node, nodes.For) and isinstance(node.target, nodes.Name):
            if node.else_ or node.test or node.recursive:
                raise TranslationError("a `for` with else, if or recursive")
            name = node.target.name
            lines = [f"{pad}for each_{name} in {self.value(node.iter)}:"]
            self._loops.append(name)
            lines += self.block(node.body, depth + 1)
            self._loops.pop()
            return lines
        raise TranslationError(f"`{type(node).__name__.lower()}`")

    def block(self, body: list[nodes.Node], depth: int) -> list[str]:
        lines = [line for node in body for line in self.statements(node, depth)]
        return lines or ["    " * depth + "pass"]

    def output(self, node: nodes.Node) -> str:
        if isinstance(node, nodes.TemplateData):
            return repr(node.data)
        return f"str({self.value(node)})"

    def value(self, node: nodes.Node) -> str:
        """Return a Python expression with the same value as Jinja's."""
        if isinstance(node, nodes.Const):
            return repr(node.value)
        if isinstance(node, nodes.Name):
            return self._name(node.name)
        if isinstance(node, nodes.Getattr):
            item = self._item(node.node, repr(node.attr))
            if node.attr in _METHODS:
                raise TranslationError(f"the attribute `{node.attr}`")
            return item
        if isinstance(node, nodes.Getitem) and not isinstance(node.arg, nodes.Slice):
            return self._item(node.node, self.value(node.arg))
        if isinstance(node, nodes.Filter):
            return self._filter(node)
        return self._operation(node)

    def _operation(self, node: nodes.Node) -> str:
        if isinstance(node, nodes.Concat):
            return "(" + " + ".join(f"str({self.value(part)})" for part in node.nodes) + ")"
        if isinstance(node, nodes.CondExpr) and node.expr2 is not None:
            chosen, test = self.value(node.expr1), self.value(node.test)
            return f"({chosen} if {test} else {self.value(node.expr2)})"
        if isinstance(node, nodes.Not):
            return f"(not {self.value(node.node)})"
        if isinstance(node, nodes.And | nodes.Or):
            word = "and" if isinstance(node, nodes.And) else "or"
            return f"({self.value(node.left)} {word} {self.value(node.right)})"
        if isinstance(node, nodes.Compare):
            text = self.value(node.expr)
            for operand in node.ops:
                text += f" {_COMPARISONS[operand.op]} {self.value(operand.expr)}"
            return f"({text})"
        raise TranslationError(f"`{type(node).__name__.lower()}`")

    def _name(self, name: str) -> str:
        if name in self._loops:
            return f"each_{name}"
        if name in self.constants:
            return repr(self.constants[name])
        if name in ("loop", "range", "dict", "namespace"):
            raise TranslationError(f"`{name}`")
        self.used.add("_field")
        return f"_field(row, {name!r})"

    def _item(self, holder: nodes.Node, key: str) -> str:
        constant = self.constants.get(holder.name) if isinstance(holder, nodes.Name) else None
        if isinstance(constant, Mapping) and key[:1] in "'\"":
            return repr(constant[key[1:-1]]) if key[1:-1] in constant else f"{constant!r}[{key}]"
        return f"{self.value(holder)}[{key}]"

    def _filter(self, node: nodes.Filter) -> str:
        if node.name not in FILTERS or node.node is None or node.kwargs or node.dyn_args:
            raise TranslationError(f"the filter `{node.name}`")
        if node.args and (node.name != "join" or len(node.args) > 1):
            raise TranslationError(f"the filter `{node.name}` with these arguments")
        self.used.add(FILTERS[node.name])
        arguments = [self.value(node.node), *(self.value(part) for part in node.args)]
        return f"{FILTERS[node.name]}({', '.join(arguments)})"


def write_function(
    name: str, half: TemplateHalf, constants: Mapping[str, JSON]
) -> tuple[str, set[str]]:
    """Write the source of ``def name(row)`` that returns what the half renders.

    Args:
        name: name of the function.
        half: a compiled half of a template.
        constants: reserved variables (``labels``, ``words``, names of languages) -> their values,
            which become part of the source.

    Returns:
        The source, and the helpers that it calls.

    Raises:
        TranslationError: the half uses something that cannot be translated.
    """
    writer = _Writer(constants)
    body = half.tree().body
    if all(isinstance(node, nodes.Output) for node in body):
        parts = [writer.output(part) for node in body for part in getattr(node, "nodes", ())]
        lines = [f"    return {' + '.join(parts) or repr('')}"]
    else:
        lines = ["    out = []", *writer.block(body, 1), '    return "".join(out)']
    return "\n".join([f"def {name}(row):", *lines]) + "\n", writer.used
