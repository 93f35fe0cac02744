"""The first line of a docstring is understood without having read the code."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "icl"
RELATIVE = ("How", "That", "What", "When", "Where", "Which", "Who", "Why")
"""Words that begin a clause without a verb of its own: a riddle until the code is read."""
INEXACT = re.compile(
    r"\b(asked|beside|desk|hall|heard|kept|made|of (?:its|one's|their) own|said|seen|shelf|stand"
    r"|standing|stands|stood|told)\b"
)
"""Words for which nearly always an exact one exists: sent, next to, stored, computed, reported."""
EXACT = {
    ("engines/hf/", "kept"): "the positions whose states go into the vocabulary projection",
}
"""(Folder or module, word) -> what it means there, in the words of the field."""


@dataclass(frozen=True)
class Documented:
    """A docstring's first line and its place."""

    module: str
    line: int
    of_field: bool
    first: str


def documented(body: list[ast.stmt], module: str, opens: bool = True) -> Iterator[Documented]:
    """Every docstring of a module, also those below a field or a constant."""
    for place, one in enumerate(body):
        text = getattr(getattr(one, "value", None), "value", None)
        if isinstance(one, ast.Expr) and isinstance(text, str):
            first = text.strip().split("\n")[0]
            yield Documented(module, one.lineno, not opens or place > 0, first)
        inner = getattr(one, "body", [])
        is_block = isinstance(one, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        yield from documented(inner, module, is_block)


def faults(one: Documented) -> list[str]:
    """What keeps a first line from being understood at once."""
    found = []
    word = one.first.split(" ")[0]
    if word in RELATIVE or (word == "Whether" and not one.of_field):
        found.append(
            f"begins with {word!r}: begin with a verb, or with a noun for a class or field"
        )
    text = re.sub(r"``[^`]*``|:\w+:`[^`]*`", "", one.first)
    for word in INEXACT.findall(text):
        if not any(one.module.startswith(at) and word == exact for at, exact in EXACT):
            found.append(f"says {word!r}: use the exact verb, or list it in EXACT")
    return found


FILES = sorted(PACKAGE.rglob("*.py"))


def test_first_lines_are_plain() -> None:
    lines = [
        one
        for path in FILES
        for one in documented(
            ast.parse(path.read_text("utf-8")).body, path.relative_to(PACKAGE).as_posix()
        )
    ]
    assert len(lines) > 2_000
    wrong = [f"icl/{one.module}:{one.line} {fault}" for one in lines for fault in faults(one)]
    assert not wrong, "\n".join(["rewrite the first lines of these docstrings:", *wrong])


def test_every_word_listed_as_exact_is_used() -> None:
    for at, word in EXACT:
        there = [path for path in FILES if path.relative_to(PACKAGE).as_posix().startswith(at)]
        assert any(word in path.read_text("utf-8") for path in there)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ('def f():\n    """What is compared."""\n', ["begins with 'What'"]),
        (
            'class A:\n    @property\n    def b(self):\n        """Whether it is."""\n',
            ["'Whether'"],
        ),
        ('class A:\n    b: bool\n    """Whether it is."""\n', []),
        ('"""Where it is told."""\n', ["begins with 'Where'", "says 'told'"]),
        ('def f():\n    """Return ``told``, see :meth:`told`."""\n', []),
        ('def f():\n    """Return the name.\n\n    What was told."""\n', []),
        ('def f():\n    """Return a setting of its own."""\n', ["says 'of its own'"]),
    ],
)
def test_a_riddle_is_found(source: str, expected: list[str]) -> None:
    found = [fault for one in documented(ast.parse(source).body, "m.py") for fault in faults(one)]
    assert len(found) == len(expected)
    assert all(part in fault for part, fault in zip(expected, found, strict=True))
