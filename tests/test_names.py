"""Class names: each stands for one thing in the whole package, and is a noun of the field."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "icl"
PARTICIPLE = re.compile(r"(?:[a-z]ed|[a-z]en|[a-z]ing|[a-z]own|[a-z]awn)$")
NOUNS = (
    "Embedding",
    "Finding",
    "Reasoning",
    "Rendering",
    "Sampling",
    "Scaling",
    "Screen",
    "Setting",
    "Speed",
    "Token",
    "Wording",
)
"""Nouns of the field that end like participles."""
IRREGULAR = ("Begun", "Cut", "Found", "Heard", "Held", "Kept", "Left", "Made", "Sent", "Told")
"""Participles that end otherwise."""


def classes(tree: ast.AST, within: bool = False) -> Iterator[ast.ClassDef]:
    """Every class of a module, nested ones too, but for private ones inside a function."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef) and not (within and node.name.startswith("_")):
            yield node
        inside = within or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        yield from classes(node, inside)


def places() -> dict[str, list[str]]:
    """Each name of a class -> where such classes are."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in classes(ast.parse(path.read_text("utf-8"))):
            found[node.name].append(f"{path.relative_to(PACKAGE)}:{node.lineno}")
    return found


def is_participle(name: str) -> bool:
    """Whether the last word of a class name is a participle."""
    word = re.findall(r"[A-Z][a-z0-9]*|[A-Z]+(?![a-z])", name)[-1]
    return word in IRREGULAR or (PARTICIPLE.search(word) is not None and word not in NOUNS)


def test_a_participle_is_told_from_a_noun() -> None:
    assert all(map(is_participle, ("Asked", "Seen", "_Writing", "PromptShown", "Told", "Drawn")))
    assert not any(map(is_participle, ("Token", "Sampling", "FittedPrompt", "HFEngine", "Seq2Seq")))


def test_every_class_has_a_name_of_its_own() -> None:
    twice = {name: where for name, where in places().items() if len(where) > 1}
    assert not twice, f"one name, one thing; rename all but one of each: {twice}"


def test_no_class_is_called_by_a_participle() -> None:
    found = {name: where for name, where in places().items() if is_participle(name)}
    assert len(places()) > 200, "the package was not found"
    assert not found, f"say what it is, not what happened to it; a noun of the field: {found}"
