"""Names: a class is one thing and a noun of the field; what is private is left alone by tests."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "icl"
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


PRIVATE = re.compile(r"_(?!repr_html_$)[a-zA-Z]\w*")
"""All but the method by which notebooks ask an object for HTML."""
STRANGERS = {
    "os": {"_exit"},
    "scorer": {"_extract_corpus_statistics", "_compute_score_from_stats"},
    "tokenizer": {"_tokenizer"},
    "bnb_modules": {"_convert_weight_packed_for_cpu"},
}
"""Names in tests for what other packages are, with the private parts of it that tests read."""
OWN = ("self", "cls")


def private_uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Lines on which a test reads, replaces or imports a private name of something else's."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and PRIVATE.fullmatch(node.attr):
            of = node.value.id if isinstance(node.value, ast.Name) else ""
            if of not in OWN and node.attr not in STRANGERS.get(of, ()):
                yield node.lineno, node.attr
        if isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, a.name) for a in node.names if PRIVATE.fullmatch(a.name))
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            called = node.func.id if isinstance(node.func, ast.Name) else called
            for given in node.args[1:2] if called.endswith("attr") else ():
                if isinstance(given, ast.Constant) and PRIVATE.fullmatch(str(given.value)):
                    yield node.lineno, str(given.value)


def test_uses_of_private_names_are_found() -> None:
    code = """
from icl.x import _a, b
engine._c.d, super()._e(), engine.__dict__, os._exit, self._f
monkeypatch.setattr(module, "_g", 1), getattr(module, "_h"), setattr(module, "_i_", 1)
engine.find(x)._j
"""
    found = sorted(name for _, name in private_uses(ast.parse(code)))
    assert found == ["_a", "_c", "_e", "_g", "_h", "_i_", "_j"]


def test_no_test_reads_what_is_private() -> None:
    found = [
        f"{path.relative_to(TESTS)}:{line}: {name}"
        for path in sorted(TESTS.rglob("*.py"))
        for line, name in private_uses(ast.parse(path.read_text("utf-8")))
    ]
    assert not found, f"test through the public face, or make it public with a docstring: {found}"
