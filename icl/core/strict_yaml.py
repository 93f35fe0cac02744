"""The YAML of experiment files: no aliases, no doubled keys, no dates that are objects."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import yaml

__all__ = ["StrictLoader", "find_line"]


class StrictLoader(yaml.SafeLoader):
    """YAML without aliases (a bomb is written with them) and without doubled keys."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node that is no alias."""
        if self.check_event(yaml.events.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.composer.ComposerError(None, None, "aliases are not accepted", mark)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        """A mapping in which every key stands once."""
        seen: set[Any] = set()
        for key, _ in node.value:
            name = self.construct_object(key, deep=True)
            if isinstance(name, str) and name in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {name!r} stands twice", key.start_mark
                )
            seen.add(name if isinstance(name, str) else id(key))
        return super().construct_mapping(node, deep)


# A date is text here as everywhere in the file; as an object it would have no JSON form.
StrictLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in found if not tag.endswith(":timestamp")]
    for first, found in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

_WORD = re.compile(r"'([^'\n]{1,200})'")
_PATH = re.compile(r"(?<![\w./])[A-Za-z_]\w*(?:\.\w+)*(?=[:\s])")


def find_line(text: str, message: str) -> int | None:
    r"""The line, from 1, of what a message names: a path such as ``tasks.0.rows.n``, or a value.

    None where the text is no YAML, or the message names nothing that stands in it.

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
    """How many steps of a path there are, and the key or item that the last of them is."""
    place = node
    for depth, part in enumerate(parts):
        if isinstance(node, yaml.MappingNode):
            found = next(((k, v) for k, v in node.value if k.value == part), None)
            if found is None:
                return depth, place
            place, node = found
        elif isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
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
