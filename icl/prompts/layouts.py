r"""Layouts of a template: the same content with other separators, casing and spacing.

Accuracy moves by up to 76 points between such layouts of one prompt (Sclar et al. 2023, arXiv
2310.11324), so a number from one layout says little. A template is read as **field lines**, a name
and a value each (``Utterance: {{ utt }}``), and four things of it are varied:

- the text between name and value (:data:`BEHIND_NAMES`);
- the casing of the names that are written in the file (:data:`CASINGS`);
- the text between the fields of one example (:data:`BETWEEN_FIELDS`);
- the text between examples (:data:`BETWEEN_EXAMPLES`).

Of a template in any other shape (a sentence, Jinja blocks) only the last is varied. Instruction,
system, labels and values are never touched.
"""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from icl.core.errors import TemplateError
from icl.prompts.frontmatter import split_front_matter
from icl.prompts.template_file import (
    TemplateFile,
    mask_tags,
    parse_template,
    read_template,
    split_sections,
)

__all__ = [
    "BEHIND_NAMES",
    "BETWEEN_EXAMPLES",
    "BETWEEN_FIELDS",
    "CASINGS",
    "Layout",
    "changes",
    "layouts",
    "varied",
]


BEHIND_NAMES = (": ", " : ", ":: ", " - ", " = ", ":\n")
CASINGS: dict[str, Callable[[str], str]] = {
    "lower": str.lower,
    "upper": str.upper,
    "title": str.title,
}
BETWEEN_FIELDS = ("\n", " ", ", ", " || ")
BETWEEN_EXAMPLES = ("\n\n", "\n", "\n\n\n", "\n---\n")
_FIELDS = ("example", "query", "channel")
_LINE = re.compile(
    r"(?P<name>[^\W\d_](?:[\w '’/-]{0,58}[\w'’])?|\0+)"
    r"(?P<behind>[ \t]*(?:->|=>|[:=：–—-])[ \t]*)(?P<cut>\|\|\|)?(?P<more>[ \t]*)(?P<value>\0*)"
)
"""Pattern of a field line with masked tags: a name, the text after it, and a value of tags only."""
_SPOKEN = r"\{\{\s*(words\.\w+|(source_|target_|prompt_)?language)\s*\}\}"
"""Pattern of a name that depends on the language: a word of the table, or a language's name."""
_SEPARATOR = re.compile(r"^separator:[^\n]*\n(?![ \t])", re.M)


class Layout(NamedTuple):
    """One layout of a template: its name, its text and what was changed."""

    name: str
    """``f0`` is the template as written; ``f1``, ``f2``, … follow in a fixed random order, which
    is the same for templates of the same shape."""
    text: str
    """The whole template file in this layout."""
    changes: str
    """A description of the changes."""


@dataclass(frozen=True)
class _Field:
    """One field line of a template."""

    name: str
    cut: bool
    value: str
    spoken: bool
    """Whether the name comes from the table of words; its casing is then left alone."""


@dataclass(frozen=True)
class _Ways:
    """One combination of the four variations; None leaves the template as written."""

    behind: str | None = None
    casing: str | None = None
    fields: str | None = None
    examples: str | None = None

    def __str__(self) -> str:
        told = [
            self.casing and f"names in {self.casing} case",
            self.behind and f"{self.behind!r} behind names",
            self.fields and f"{self.fields!r} between fields",
            self.examples and f"{self.examples!r} between examples",
        ]
        return ", ".join(one for one in told if one) or "as written"


def layouts(file: TemplateFile) -> list[Layout]:
    """List all layouts of a template that differ in their text; ``f0``, as written, comes first.

    >>> [one.name for one in layouts(read_template("intent/plain"))][:2]   # doctest: +SKIP
    ['f0', 'f1']

    Raises:
        TemplateError: nothing in it can be varied.
    """
    made = list(_layouts(file.text, str(file.path)))
    if len(made) == 1:
        raise TemplateError(
            f"{file.path}: no other layout is known for it: its lines are not `Name: {{{{ value "
            "}}` and its separator cannot be changed; write the layouts as templates and list "
            "them under prompt:"
        )
    return made


def varied(file: TemplateFile, name: str) -> TemplateFile:
    """Return a template in one of its layouts.

    Raises:
        TemplateError: it has no layout of this name.
    """
    if name == "f0":
        return file
    known = layouts(file)
    found = [one for one in known if one.name == name]
    if not found:
        raise TemplateError(
            f"{file.path}: no layout {name!r}; this template has f0 (as written) to "
            f"{known[-1].name}"
        )
    return parse_template(found[0].text, file.name, file.path)


def changes(prompt: str, name: str, language_tag: str, base: str | None) -> str:
    """Describe what a layout changes in a template; ``as written`` for ``f0``."""
    known = layouts(read_template(prompt, language_tag, base)) if name != "f0" else []
    return next((one.changes for one in known if one.name == name), str(_Ways()))


@lru_cache(maxsize=64)
def _layouts(text: str, where: str) -> tuple[Layout, ...]:
    head, _, _ = split_front_matter(text, Path(where))
    parsed = _parsed(text)
    behind: Sequence[str | None] = (None,)
    casing, fields = behind, behind
    if parsed:
        behind = (None, *BEHIND_NAMES)
        casing = (None, *CASINGS)
        several = any(len(lines) > 1 for lines in parsed.values())
        fields = (None, *BETWEEN_FIELDS) if several else fields
    stop = head.stop[0] if head.stop and head.separator.startswith(head.stop[0]) else ""
    kept = [one for one in BETWEEN_EXAMPLES if one.startswith(stop)]
    if "separator" in text and not _SEPARATOR.search(text[: len(text) - len(_body(text))]):
        kept = [] if head.separator != "\n\n" else kept
    found: dict[str, _Ways] = {}
    for ways in itertools.starmap(_Ways, itertools.product(behind, casing, fields, (None, *kept))):
        found.setdefault(_written(text, parsed, ways, head.separator), ways)
    others = [(made, ways) for made, ways in found.items() if made != text]
    random.Random("formats").shuffle(others)  # the name of old: f1 is the same for ever
    return (
        Layout("f0", text, str(_Ways())),
        *(Layout(f"f{n}", made, str(ways)) for n, (made, ways) in enumerate(others, 1)),
    )


def _body(text: str) -> str:
    return split_front_matter(text, Path("template"))[1]


def _parsed(text: str) -> dict[str, list[_Field]]:
    """Split each section into field lines; empty unless all sections consist of field lines."""
    found: dict[str, list[_Field]] = {}
    for name, _, source in split_sections(_body(text)):
        if name in _FIELDS:
            lines = list(_field_lines(source))
            if any(line is None for line in lines):
                return {}
            found[name] = [line for line in lines if line is not None]
    return found


def _field_lines(source: str) -> Iterator[_Field | None]:
    plain = mask_tags(source)
    start = 0
    for line in plain.split("\n"):
        end = start + len(line)
        match = _LINE.fullmatch(plain, start, end)
        given = source[start:end]
        last = end == len(plain)
        if match is None or (not match["value"] and not last):
            yield None
        else:
            spoken = match["name"].startswith("\0")
            name = source[slice(*match.span("name"))]
            known = not spoken or re.fullmatch(_SPOKEN, name)
            value = given[len(given) - len(match["value"]) :] if match["value"] else ""
            yield _Field(name, bool(match["cut"]), value, spoken) if known else None
        start = end + 1


def _written(text: str, parsed: dict[str, list[_Field]], ways: _Ways, separator: str) -> str:
    """Write the template file in one layout."""
    body = _body(text)
    front = text[: len(text) - len(body)]
    if ways.examples is not None and ways.examples != separator:
        line = f"separator: {json.dumps(ways.examples)}\n"
        if _SEPARATOR.search(front):
            front = _SEPARATOR.sub(lambda _: line, front, count=1)
        else:
            closed = re.sub(r"---[ \t]*\n\Z", f"{line}---\n".replace("\\", r"\\"), front)
            front = closed if front else f"---\n{line}---\n"
    if ways == _Ways(examples=ways.examples):
        return front + body
    for name, start, source in reversed(split_sections(body)):
        if name in parsed:
            made = _joined(source, parsed[name], ways)
            body = body[:start] + made + body[start + len(source) :]
    return front + body


def _joined(source: str, lines: Sequence[_Field], ways: _Ways) -> str:
    """Write the field lines of one section in one layout."""
    plain = mask_tags(source)
    starts = list(itertools.accumulate((len(line) + 1 for line in plain.split("\n")), initial=0))
    made = []
    for start, end, field in zip(starts, starts[1:], lines, strict=False):
        name = field.name
        if ways.casing and not field.spoken:
            name = CASINGS[ways.casing](name)
        if ways.behind is None:
            made.append(name + source[start + len(field.name) : end - 1])
            continue
        behind = ways.behind
        if field.cut or not field.value:  # a space belongs to the answer, a line break before it
            bare = behind.rstrip(" ")
            mark = "|||" + behind[len(bare) :] if field.cut else ""
            made.append(name + bare + mark + field.value)
        else:
            made.append(name + behind + field.value)
    return ("\n" if ways.fields is None else ways.fields).join(made)
