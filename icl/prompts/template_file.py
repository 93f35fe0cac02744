"""One template file, parsed into front matter, sections and halves.

``|||`` splits the source before anything is rendered: the halves are compiled separately, the
target of a query is never rendered, and ``|||`` inside data is plain text.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import yaml

from icl.core.errors import TemplateError
from icl.core.files import find_shipped_folder
from icl.core.kinds import Kind
from icl.core.languages import find_language
from icl.core.registry import did_you_mean
from icl.core.types import normalise_label
from icl.prompts.frontmatter import GOLD, FrontMatter, check_channel, check_kind, split_front_matter
from icl.prompts.jinja_sandbox import NO_TOJSON, TemplateHalf
from icl.prompts.own_forms import FormTable, OwnForms, name_form

__all__ = [
    "FrontMatter",
    "GOLD",
    "SECTIONS",
    "TemplateFile",
    "split_sections",
    "find_library",
    "mask_tags",
    "parse_template",
    "read_template",
    "read_yaml",
    "list_templates",
]


BOUNDARY = "|||"
EVERY_LANGUAGE = "every language"
"""Key of a form that is written without a language; no tag is spelled so."""
SECTIONS = ("system", "instruction", "example", "query", "channel")
TWO_HALVES = ("example", "channel")
_HEADER = re.compile(r"^\[\[(\w+)\]\][ \t]*\n", re.M)
_INSIDE = r"""(?:"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|[^"'])*?"""
_TAG = re.compile(rf"\{{\{{{_INSIDE}\}}\}}|\{{%{_INSIDE}%\}}|\{{#.*?#\}}", re.S)
"""A Jinja tag, whose strings may contain anything; ``|||`` inside of it does not split."""


@dataclass(frozen=True)
class TemplateFile:
    """A parsed template file, not yet bound to languages and labels."""

    name: str
    path: Path
    text: str
    head: FrontMatter
    input: TemplateHalf
    target: TemplateHalf
    query: TemplateHalf | None = None
    instruction: TemplateHalf | None = None
    system: TemplateHalf | None = None
    given: TemplateHalf | None = None
    """First half of [[channel]]: the label, which is part of the prompt."""
    scored: TemplateHalf | None = None
    """Second half of [[channel]]: the input, which is scored."""
    own: OwnForms = OwnForms()
    """Words and label names of the experiment's own files."""

    @property
    def kind(self) -> Kind:
        """The kind of task, named under ``task:`` in the front matter."""
        return self.head.kind

    @property
    def stop(self) -> tuple[str, ...]:
        """Stop strings."""
        return self.head.stop

    @property
    def separator(self) -> str:
        """Text that joins instruction, shots and query."""
        return self.head.separator

    @property
    def choice_end(self) -> str:
        """Return when a terminator is scored after a choice: ``auto``, ``always`` or ``never``."""
        return self.head.choice_end

    @property
    def shared_fields(self) -> tuple[str, ...]:
        """Fields that both halves may read."""
        return self.head.shared_fields

    @property
    def answer_fields(self) -> set[str]:
        """Fields that only the target half may read."""
        own = {self.head.label_field} if self.head.label_field else set()
        reads = set(self.target.names) - {"words", "labels"} - _LANGUAGES
        if self.head.asks_each:
            reads -= {"slot"}  # the question names it
        if self.head.intent_field is not None:
            own.add(self.head.intent_field)
        return own | set(self.head.answer_fields) | reads

    @property
    def halves(self) -> list[TemplateHalf]:
        """Return the halves that the file has."""
        every = (
            self.system,
            self.instruction,
            self.input,
            self.target,
            self.query,
            self.given,
            self.scored,
        )
        return [half for half in every if half is not None]

    def find_refused(self) -> list[tuple[int, str]]:
        """List (line, text) of filters that Jinja knows and a prompt may not use."""
        return [
            (line, NO_TOJSON) for half in self.halves for line in half.lines_of_filter("tojson")
        ]

    @cached_property
    def words_used(self) -> set[str] | None:
        """Keys of the words table that some half reads; None if only rendering can tell."""
        used: set[str] = set()
        for half in self.halves:
            keys = half.words_used
            if keys is None:
                return None
            used |= keys
        return used

    def pick_words(self, tag: str) -> tuple[dict[str, str], list[str]]:
        """Return the words in a language, and the keys taken from the fallback language.

        Raises:
            TemplateError: a word is unknown, or missing in both languages.
        """
        used = self.words_used
        if used == set():
            return {}, []
        library = read_yaml(find_library() / "words.yaml").get("words", {})
        table = _overlay(library, self.own.words)
        wanted = sorted(table) if used is None else sorted(used)
        return self._pick(table, wanted, tag, "word", required=used is not None)

    def pick_labels(self, tag: str, label_set: Sequence[str]) -> tuple[dict[str, str], list[str]]:
        """Return label -> word in a language, and the labels taken from the fallback language.

        Raises:
            TemplateError: the labels are malformed, or one is missing in both languages.
        """
        raw = self.head.labels
        own = self.own.of_table(raw if isinstance(raw, str) else None)
        if raw is None:
            return self._name_listed([normalise_label(label) for label in label_set], tag, own)
        if isinstance(raw, str):
            path = find_library() / "labels" / f"{raw}.yaml"
            if not path.is_file() or not _inside(path, find_library() / "labels"):
                known = [
                    p.relative_to(find_library() / "labels").with_suffix("").as_posix()
                    for p in (find_library() / "labels").rglob("*.yaml")
                ]
                raise TemplateError(
                    f"{self.path}: unknown label table {raw!r}{did_you_mean(raw, known)}"
                )
            raw = read_yaml(path).get("labels", {})
        if not isinstance(raw, list | dict):
            raise TemplateError(
                f"{self.path}: labels: {raw!r} is none of: a table's name, a list of labels, "
                "`label: word`, `label: {en: word}`"
            )
        for label in raw:
            if isinstance(label, bool | list | dict) or label is None:
                raise TemplateError(
                    f"{self.path}: the label {label!r} is no text; YAML reads yes, no, on, off and "
                    'null as other things, so put it in quotes, as in "no"'
                )
        if isinstance(raw, dict):
            table = {normalise_label(str(label)): forms for label, forms in raw.items()}
            if len(table) < len(raw):
                counts = Counter(normalise_label(str(label)) for label in raw)
                raise TemplateError(
                    f"{self.path}: the label {counts.most_common(1)[0][0]!r} appears twice, in two "
                    "Unicode forms; remove one"
                )
            self._check_own(own, table)
            return self._pick(_overlay(table, own), list(table), tag, "label")
        labels = [normalise_label(str(label)) for label in raw]
        twice = [label for label, count in Counter(labels).items() if count > 1]
        if twice:
            raise TemplateError(f"{self.path}: the label {twice[0]!r} appears twice; remove one")
        self._check_own(own, labels)
        return self._name_listed(labels, tag, own)

    def _name_listed(
        self, labels: Sequence[str], tag: str, own: FormTable
    ) -> tuple[dict[str, str], list[str]]:
        """Return labels without forms under the user's names; all others are their own names."""
        if not own:
            return {label: label for label in labels}, []
        named = {label: own.get(label, {}).get(name_form(tag)) for label in labels}
        missing = [label for label, form in named.items() if form is None]
        return {label: form or label for label, form in named.items()}, missing

    def _check_own(self, own: FormTable, known: Iterable[str]) -> None:
        """Refuse a label in the user's file that the template does not have: a slip of the pen."""
        for label in sorted(own.keys() - {*known}):
            raise TemplateError(
                f"{self.path}: `labels:` of the experiment names {label!r}, which is no label here"
                f"{did_you_mean(label, known)}; a file for one table alone is given as "
                "`labels: {massive/intents: my_labels.yaml}`"
            )

    def _pick(
        self,
        table: Mapping[str, Any],
        wanted: Sequence[str],
        tag: str,
        what: str,
        required: bool = True,
    ) -> tuple[dict[str, str], list[str]]:
        code, key_of = find_language(tag).code, name_form(tag)
        spare = find_language(self.head.fallback).code if self.head.fallback else None
        picked: dict[str, str] = {}
        missing: list[str] = []
        for key in wanted:
            if key not in table:
                raise TemplateError(
                    f"{self.path}: unknown {what} {key!r}{did_you_mean(key, table)}"
                )
            entry = table[key]
            forms = entry if isinstance(entry, dict) else {EVERY_LANGUAGE: entry}
            if forms.get(key_of) is not None:
                picked[key] = self._text(forms[key_of], key, what)
            elif forms.get(code) is not None:  # of the same language in its usual script
                picked[key] = self._text(forms[code], key, what)
                missing.append(key)
            elif forms.get(EVERY_LANGUAGE) is not None:
                picked[key] = self._text(forms[EVERY_LANGUAGE], key, what)
            elif forms.get(spare) is not None:
                picked[key] = self._text(forms[spare], key, what)
                missing.append(key)
            elif required:
                there = ", ".join(sorted(str(tag) for tag in forms if forms[tag] is not None))
                raise TemplateError(
                    f"{self.path}: the {what} {key!r} has no form in {code!r}, only in "
                    f"{there or 'no language'}; add it, as in `{what}s: my_{what}s.yaml` of the "
                    "experiment, or write `fallback: en` in the front matter"
                )
        return picked, missing

    def _text(self, form: Any, key: str, what: str) -> str:
        if isinstance(form, bool | list | dict):
            raise TemplateError(
                f"{self.path}: the {what} {key!r} has the form {form!r}, which is no text; YAML "
                'reads yes, no, on and off as truth values, so put it in quotes, as in "no"'
            )
        return str(form)


def _overlay(table: Mapping[str, Any], own: FormTable) -> dict[str, Any]:
    """Lay the user's own forms over a table; a form without a language stays for all others."""
    made = dict(table)
    for key, forms in own.items():
        entry = made.get(key, {})
        made[key] = {**(entry if isinstance(entry, dict) else {EVERY_LANGUAGE: entry}), **forms}
    return made


_LANGUAGES = {"source_language", "target_language", "language", "prompt_language"}


def find_library() -> Path:
    """Return the folder of shipped templates: ``prompts/`` in a checkout, else package data."""
    return find_shipped_folder("prompts")


def _inside(path: Path, folder: Path) -> bool:
    """Return whether a path is within a folder after links are resolved."""
    return path.resolve().is_relative_to(folder.resolve())


def list_templates() -> list[str]:
    """List the library names of all templates, without language variants."""
    paths = find_library().rglob("*.j2")
    found = {path.relative_to(find_library()).with_suffix("").as_posix() for path in paths}
    return sorted(name for name in found if name.rsplit(".", 1)[0] not in found - {name})


def read_template(name: str, tag: str = "en", base: str | None = None) -> TemplateFile:
    """Find and parse a template file; a variant for the language (``plain.de.j2``) comes first.

    Raises:
        TemplateError: there is no such template, or it is malformed.
    """
    if name.endswith(".j2"):
        root, stem = Path(base or "."), name.removesuffix(".j2")
    else:
        root, stem = find_library(), name
    for path in (root / f"{stem}.{find_language(tag).code}.j2", root / f"{stem}.j2"):
        if path.is_file() and (name.endswith(".j2") or _inside(path, find_library())):
            try:
                text = path.read_text("utf-8-sig")
            except UnicodeDecodeError as error:
                raise TemplateError(
                    f"{path}: not UTF-8 text ({error}); save the file as UTF-8"
                ) from error
            return parse_template(text, name, path)
    if name.endswith(".j2"):
        place = (root / name).parent
        held = [path.name for path in place.glob("*.j2")] if place.is_dir() else []
        raise TemplateError(
            f"no template file {root / name}{did_you_mean(Path(name).name, held)}"
            " (paths go from the folder of the experiment file; on the command line from here)"
        )
    raise TemplateError(
        f"unknown template {name!r}{did_you_mean(name, list_templates())} (for a file of your "
        "own, give its path, ending in .j2)"
    )


def parse_template(text: str, name: str, path: Path) -> TemplateFile:
    """Parse the text of a template file.

    Raises:
        TemplateError: with file and line, for anything malformed.
    """
    text = text.replace("\r\n", "\n")
    head, body, line = split_front_matter(text, path)
    sections = _split_sections(body, line, path)
    if "example" not in sections:
        raise TemplateError(
            f"{path}: no [[example]] section; it renders one example, with ||| between input and "
            "target"
        )
    before, target = _split_halves(sections["example"], path)
    query = sections.get("query")
    given, scored = None, None
    if "channel" in sections:
        given, scored = _split_halves(sections["channel"], path, "channel")
    made = TemplateFile(
        name=name,
        path=path,
        text=text,
        head=head,
        input=before,
        target=target,
        query=query,
        instruction=sections.get("instruction"),
        system=sections.get("system"),
        given=given,
        scored=scored,
    )
    check_kind(path, head, target, before, query, (made.system, made.instruction))
    if given is not None and scored is not None:
        check_channel(path, head, given, scored)
    answers = {*GOLD, *made.answer_fields} - set(head.shared_fields)
    for half in (made.system, made.instruction, made.input, made.query, made.scored):
        if half is not None:
            half.refuse(answers)
    return made


def _split_sections(body: str, line: int, path: Path) -> dict[str, TemplateHalf]:
    marks = list(_HEADER.finditer(body))
    if not marks:
        return {"example": TemplateHalf(str(path), body.removesuffix("\n"), line)}
    if body[: marks[0].start()].strip():
        raise TemplateError(f"{path}:{line}: text before the first section; begin with [[example]]")
    sections: dict[str, TemplateHalf] = {}
    for mark, following in zip(marks, [*marks[1:], None], strict=True):
        name = mark[1]
        at = line + body[: mark.start()].count("\n")
        if name not in SECTIONS:
            raise TemplateError(
                f"{path}:{at}: unknown section {name!r}{did_you_mean(name, SECTIONS)}"
            )
        if name in sections:
            raise TemplateError(f"{path}:{at}: section [[{name}]] appears twice")
        end = following.start() if following else len(body)
        source = body[mark.end() : end].removesuffix("\n")
        if name not in TWO_HALVES and BOUNDARY in _TAG.sub("", source):
            raise TemplateError(
                f"{path}:{at}: ||| belongs in [[example]] and [[channel]] alone; [[{name}]] has "
                "no target"
            )
        sections[name] = TemplateHalf(str(path), source, at + 1)
    return sections


_HALVES = {
    "example": ("the input and the target", "Intent:||| {{ label }}"),
    "channel": ("the label and the input", "Intent: {{ label }}\\nUtterance:||| {{ utt }}"),
}
"""Section with two halves -> their meaning, and an example."""


def mask_tags(source: str) -> str:
    """Replace every character of a Jinja tag by NUL, so that the length stays the same."""
    return _TAG.sub(lambda tag: "\0" * len(tag[0]), source)


def split_sections(body: str) -> list[tuple[str, int, str]]:
    """Split a template's body into (name, start index, source) of every section."""
    marks = list(_HEADER.finditer(body))
    if not marks:
        return [("example", 0, body.removesuffix("\n"))]
    ends = [mark.start() for mark in marks[1:]] + [len(body)]
    return [
        (mark[1], mark.end(), body[mark.end() : end].removesuffix("\n"))
        for mark, end in zip(marks, ends, strict=True)
    ]


def _split_halves(
    section: TemplateHalf, path: Path, name: str = "example"
) -> tuple[TemplateHalf, TemplateHalf]:
    plain = mask_tags(section.source)
    found = plain.count(BOUNDARY)
    if found != 1:
        section.tree()  # an open tag swallows what follows: its own message comes first
        raise TemplateError(
            f"{path}:{section.first_line}: [[{name}]] has {found} ||| and needs exactly one, "
            f"between {_HALVES[name][0]}, as in `{_HALVES[name][1]}`"
        )
    at = plain.index(BOUNDARY)
    before, behind = section.source[:at], section.source[at + len(BOUNDARY) :]
    if not behind.strip():
        raise TemplateError(f"{path}:{section.first_line}: nothing follows |||")
    line = section.first_line + before.count("\n")
    return TemplateHalf(str(path), before, section.first_line), TemplateHalf(
        str(path), behind, line
    )


@lru_cache(maxsize=32)
def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML table of the library; cached.

    Raises:
        TemplateError: the file cannot be read.
    """
    try:
        values = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise TemplateError(f"{path}: cannot be read: {error}") from error
    return values if isinstance(values, dict) else {}
