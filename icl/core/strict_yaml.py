"""The YAML of experiment files: bounded, without aliases, repeated keys and date objects."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from typing import Any

import yaml

__all__ = ["DEEPEST", "PlainLoader", "StrictLoader", "find_line", "find_odd_value", "load_yaml"]


DEEPEST = 100
"""Deepest nesting of values; Python's own limit, which ends in a RecursionError, is far above."""


class PlainLoader(yaml.SafeLoader):
    """A YAML loader that refuses values nested too deeply."""

    _depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node; refuse values that are nested too deeply."""
        self._depth += 1
        if self._depth > DEEPEST:
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(
                None, None, f"values are nested more than {DEEPEST} deep", mark
            )
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


class StrictLoader(PlainLoader):
    """A YAML loader that refuses repeated keys, and aliases, by which a small text can explode."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Compose a node; refuse an alias."""
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not accepted", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """Construct a mapping; refuse a repeated key."""
        seen: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if isinstance(name, str) and name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} appears twice", key.start_mark
                )
            seen.add(name if isinstance(name, str) else id(key))
        return super().construct_mapping(node, deep)


# A date is text here as everywhere in the file; as an object it would have no JSON form.
StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if not tag.endswith(":timestamp")]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def load_yaml(text: str, loader: type[PlainLoader] = StrictLoader) -> Any:
    """Parse YAML text from any source; raise no error but YAML's own.

    >>> load_yaml("a: [1, 2]")
    {'a': [1, 2]}

    Raises:
        yaml.YAMLError: no YAML, nested too deeply, or a value that is none of its tag.
    """
    try:
        return yaml.load(text, loader)  # noqa: S506 - a subclass of SafeLoader
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # Such as `!!int x`, or more digits than Python reads: PyYAML looks for neither.
        told = " ".join(str(error).split())[:200]
        raise yaml.YAMLError(f"a value that cannot be read: {told}") from error


def find_odd_value(value: Any, place: str = "") -> str | None:
    """Describe the first value in parsed YAML that JSON cannot represent; None if there is none.

    Infinity and not-a-number are such, and keys of several types in one mapping.

    >>> find_odd_value({"sampling": {"temperature": float("inf")}})
    'sampling.temperature: inf is not a finite number; give a finite one'
    """
    if isinstance(value, float) and not math.isfinite(value):
        return f"{place}: {value} is not a finite number; give a finite one"
    if isinstance(value, int) and abs(value) >= 2**63:
        return f"{place}: a whole number of {value.bit_length()} bits; give one of at most 63"
    if isinstance(value, list | tuple):
        inner = [(str(number), one) for number, one in enumerate(value)]
    elif isinstance(value, dict):
        odd = [key for key in value if not isinstance(key, str | int)]
        if odd or len({isinstance(key, str) for key in value}) > 1:
            shown = odd[0] if odd else next(key for key in value if not isinstance(key, str))
            return f"{place or 'keys'}: the key {shown!r} is no text; put it in quotes"
        inner = [(str(key), one) for key, one in value.items()]
    elif value is None or isinstance(value, str | int | float):
        return None
    else:
        return f"{place}: {value!r} is neither text, number, list nor mapping; put it in quotes"
    for key, one in inner:
        if found := find_odd_value(one, f"{place}.{key}" if place else key):
            return found
    return None


_WORD = re.compile(r"'([^'\n]{1,200})'")
_PATH = re.compile(r"(?<![\w./])[A-Za-z_]\w*(?:\.\w+)*(?=[:\s])")


def find_line(text: str, message: str) -> int | None:
    r"""Find the line, from 1, that an error message is about, by the path or value that it names.

    A path is like ``tasks.0.rows.n``. Returns the line of the syntax error if the text is not YAML,
    and None if nothing in the text matches.

    >>> find_line("name: x\ngrid:\n  shots: [one]\n", "grid.shots: 'one' is no number")
    3
    """
    try:
        root = yaml.compose(text, StrictLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        return None if mark is None else int(mark.line) + 1
    if root is None:
        return None
    best: tuple[int, int] | None = None
    for path in [*_WORD.findall(message), *_PATH.findall(message)]:
        depth, node = _walked(root, path.split("."))
        if depth and (best is None or depth > best[0]):
            best = depth, node.start_mark.line + 1
    if best is not None and best[0] > 1:
        return best[1]
    for word in _WORD.findall(message):
        for node in _nodes(root):
            if isinstance(node, yaml.ScalarNode) and node.value == word:
                return int(node.start_mark.line) + 1
    return best[1] if best else None


def _walked(node: yaml.Node, parts: list[str]) -> tuple[int, yaml.Node]:
    """Follow a path as far as it exists; return the number of steps and the node reached."""
    place = node
    for depth, part in enumerate(parts):
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == part), None)
            if found is None:
                return depth, place
            place, node = found
        elif (
            isinstance(node, yaml.SequenceNode) and part.isdecimal() and int(part) < len(node.value)
        ):
            place = node = node.value[int(part)]
        else:
            return depth, place
    return len(parts), place


def _nodes(node: yaml.Node) -> Iterator[yaml.Node]:
    yield node
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield from _nodes(key)
            yield from _nodes(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _nodes(item)
