"""Problems of a template or an experiment, found before a model runs.

Only rows, template and, if the model is on this machine, its tokenizer are read.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from os.path import commonprefix
from pathlib import Path
from typing import Any

from icl.core.errors import ChoiceError, IclError, TemplateError, join_lines
from icl.core.files import find_shipped_file
from icl.core.types import Choice, Example, Prompt
from icl.engines.protocol import Engine, LocalEngine
from icl.engines.table import UncountedEngine
from icl.experiment.condition import Condition, Request, build
from icl.experiment.file import load_experiment
from icl.experiment.grid import Point, list_points
from icl.experiment.loader import Loader
from icl.experiment.settings import join_axes
from icl.experiment.starters import is_experiment
from icl.prompts.jinja_sandbox import TemplateHalf
from icl.prompts.template import Template
from icl.prompts.template_file import TemplateFile, find_library, read_template, read_yaml
from icl.selectors import Selector
from icl.selectors.random import Random

__all__ = [
    "LocalLoader",
    "Problem",
    "find_choice_problems",
    "find_condition_problems",
    "find_faults",
    "find_condition_problems",
    "find_template_problems",
    "find_token_problems",
    "fold_label",
    "lint",
]


MOST_ROWS = 50
"""Rows of a condition that are rendered: this many from the start, and as many of the longest."""
_INVISIBLE = {"\u200b": "zero-width space", "\u2060": "word joiner", "\ufeff": "byte order mark"}


@dataclass(frozen=True, slots=True)
class Problem:
    """One line that says what is wrong and how to repair it."""

    given: str
    """The file that was checked."""
    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


def lint(name: str) -> list[Problem]:
    """List the problems of a file, in the order of its lines; empty if there are none.

    Args:
        name: an experiment file (``.yaml``), a template file (``.j2``), or the name of a
            library template.

    Raises:
        IclError: the file does not exist, or is not UTF-8 text.
    """
    found = _experiment_problems(name) if is_experiment(name) else _file_problems(name)
    unique = dict.fromkeys(found)
    return sorted(unique, key=lambda problem: (problem.path != name, problem.path, problem.line))


def _file_problems(name: str) -> Iterator[Problem]:
    try:
        file = read_template(name, base=".")
    except TemplateError as error:
        path = Path(name)
        if not path.is_file():
            raise
        try:
            text = path.read_text("utf-8-sig")
        except UnicodeDecodeError:
            raise error from None
        yield _located(error, name, name, text)
        return
    for line, text in find_template_problems(file):
        yield Problem(name, str(file.path), line, text)


def _located(error: IclError, given: str, path: str, source: str, task: str = "") -> Problem:
    """Convert an error to a problem, with the line that it names or seems to mean."""
    text = join_lines(error)
    placed = re.match(r"(.+?):(\d+): (.*)", text)
    if placed and Path(placed[1]).is_file():
        return Problem(given, placed[1], int(placed[2]), placed[3])
    plain = re.match(r"(.+?): (.*)", text)
    if plain and Path(plain[1]).is_file():
        same = Path(plain[1]).resolve() == Path(path).resolve()
        line = _line_meant(plain[2], source, task) if same else 1
        return Problem(given, plain[1], line, plain[2])
    return Problem(given, path, _line_meant(text, source, task), text)


def _task_line(task: str, source: str) -> int:
    found = re.search(rf"\btask[\"']?\s*:\s*[\"']?{re.escape(task)}\b", source)
    return source.count("\n", 0, found.start()) + 1 if found else 1


def _line_meant(message: str, source: str, task: str = "") -> int:
    """Find the first line with a name that the message quotes or begins with; or the task's."""
    keys = re.findall(r"^([\w.]+):", message)
    for name in [*re.findall(r"'([^']+)'", message), *keys]:
        for part in {name: 0, name.rsplit(".", 1)[-1]: 0}:
            if part == task:
                continue
            ending = r"\s*:" if name in keys else r"(?![\w-])"
            found = re.search(rf"(?<![\w-]){re.escape(part)}{ending}", source)
            if found:
                return source.count("\n", 0, found.start()) + 1
    return _task_line(task, source)


def find_template_problems(file: TemplateFile) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each problem that a template shows without data."""
    yield from file.find_refused()
    yield from _spaces(file)
    yield from _braces(file)
    yield from _stops(file)
    tables = _tables(file)
    for what, table in tables.items():
        yield from _missing_forms(file, what, table)
    if file.kind.labels != "shared" or file.head.labels is None:
        return
    tags = {str(tag) for forms in tables["labels"].values() for tag in forms} or {"en"}
    at = _key_line(file, "labels")
    for tag in sorted(tags):
        try:
            labels, _ = file.pick_labels(tag, ())
        except TemplateError as error:
            if f"no form in {tag!r}" not in str(error):  # told already, for all labels at once
                yield at, join_lines(error).removeprefix(f"{file.path}: ")
            continue
        where = f" in {tag!r}" if len(tags) > 1 else ""
        for text in find_choice_problems(Template(file, tag, {}, labels)):
            yield at, text + where


def _spaces(file: TemplateFile) -> Iterator[tuple[int, str]]:
    before, target = file.input.source, file.target.source
    ends = {"|||": file.input, "the end of [[query]]": file.query, "||| of [[channel]]": file.given}
    for where, half in ends.items():
        if half is not None and half.source[-1:] in (" ", "\t"):
            yield (
                _last_line(half),
                f"a space before {where}; write it after, as in `Intent:||| {{{{ label }}}}`: "
                "tokenizers join a space to the word that follows",
            )
    if re.search(r"[\w:=?]\Z", before, re.ASCII) and re.match(r"\{\{|\w", target, re.ASCII):
        yield (
            file.target.first_line,
            (
                "no space separates the answer from the input; begin it with a space, as in "
                "`||| {{ label }}`"
            ),
        )
    sections = {"system": file.system, "instruction": file.instruction, "query": file.query}
    for name, half in sections.items():
        if half is not None and half.source.endswith("\n"):
            yield (
                _last_line(half),
                f"[[{name}]] ends in a blank line, sent in addition to the separator; remove it",
            )
    if file.target.source.endswith((" ", "\n", "\t")):
        yield _last_line(file.target), "white space at the end of the target is a part of it"
    for number, line in enumerate(file.text.split("\n"), 1):
        for mark, what in _INVISIBLE.items():
            if mark in line:
                yield number, f"an invisible character, {what} (U+{ord(mark):04X}); remove it"


def _braces(file: TemplateFile) -> Iterator[tuple[int, str]]:
    """Yield marks of a field that lack their other half, which are sent unchanged.

    Braces of JSON in a template come in pairs over its parts, so those are left alone.
    """
    halves = [file.system, file.instruction, file.query, file.given, file.input, file.target]
    plain = [(half, _literal(half.source)) for half in halves if half is not None]
    whole = "".join(text for _, text in plain)
    if whole.count("{") == whole.count("}") and not re.search(r"\{%|%\}", whole):
        return
    for half, text in plain:
        for found in re.finditer(r"\{\{|\}\}|\{%|%\}|\0\}|\{\0", text):
            line = half.first_line + text.count("\n", 0, found.start())
            mark = found[0].replace("\0", "")
            yield (
                line,
                f"`{mark}` stands alone, so it is sent as it is; a field has two braces on each "
                "side, as in `{{ text }}`",
            )


def _literal(source: str) -> str:
    """Return a template's source with each tag as a NUL, with its line breaks."""
    raw = r"\{%-?\s*raw\s*-?%\}.*?\{%-?\s*endraw\s*-?%\}"
    tags = rf"{raw}|\{{\{{.*?\}}\}}|\{{%.*?%\}}|\{{#.*?#\}}"
    return re.sub(tags, lambda tag: "\0" + "\n" * tag[0].count("\n"), source, flags=re.S)


def _last_line(half: TemplateHalf) -> int:
    return half.first_line + half.source.count("\n")


def _stops(file: TemplateFile) -> Iterator[tuple[int, str]]:
    if not file.stop:
        if file.kind.needs_stop:
            yield (
                1,
                (
                    "no `stop:`, so an answer ends only where the model ends it or at max_tokens; "
                    'write what follows an answer in the shots, as in stop: ["\\n"]'
                ),
            )
        return
    at = _key_line(file, "stop")
    if not file.separator.startswith(file.stop):
        yield (
            at,
            (
                f"no stop begins the separator {file.separator!r}, which follows every answer in "
                "the shots; the model cannot learn to end there"
            ),
        )
    literal = _literal(file.target.source)
    for stop in file.stop:
        if stop in literal:
            yield (
                file.target.first_line,
                (f"the target holds the stop {stop!r}, so every answer is cut there"),
            )


def _tables(file: TemplateFile) -> dict[str, dict[str, dict[str, Any]]]:
    """Return the labels and words that the template uses, with their forms by language."""
    raw: Any = file.head.labels
    if isinstance(raw, str):
        raw = read_yaml(find_library() / "labels" / f"{raw}.yaml").get("labels", {})
    words = read_yaml(find_library() / "words.yaml").get("words", {})
    used = {key: words[key] for key in file.words_used or () if key in words}
    found = {"labels": raw if isinstance(raw, dict) else {}, "words": used}
    return {
        what: {str(key): forms for key, forms in table.items() if isinstance(forms, dict)}
        for what, table in found.items()
    }


def _missing_forms(
    file: TemplateFile, what: str, table: dict[str, dict[str, Any]]
) -> Iterator[tuple[int, str]]:
    if file.head.fallback is not None:
        return
    for tag in sorted({str(tag) for forms in table.values() for tag in forms}):
        missing = [key for key, forms in table.items() if forms.get(tag) is None]
        if missing:
            shown = ", ".join(missing[:3]) + (", …" if len(missing) > 3 else "")
            at = _key_line(file, "labels") if what == "labels" else 1
            yield (
                at,
                (
                    f"{len(missing)} of {len(table)} {what} have no form in {tag!r}: {shown}; add "
                    "them, or write `fallback: en`"
                ),
            )


def _key_line(file: TemplateFile, key: str) -> int:
    found = re.search(rf"^{key}\s*:", file.text, re.M)
    return file.text.count("\n", 0, found.start()) + 1 if found else 1


class LocalLoader(Loader):
    """A loader that uses only tokenizers on this machine, without downloads or servers."""

    def engine(self, point: Point) -> Engine:
        """Return the engine if its tokenizer is on this machine, else one that counts nothing."""
        made = super().engine(point)
        return (
            made
            if isinstance(made, LocalEngine) and made.at_hand()
            else UncountedEngine(window=10**9)
        )

    def selector(
        self,
        point: Point,
        pool: Sequence[Example],
        queries: Sequence[Example] = (),
        template: Template | None = None,
    ) -> Selector | None:
        """Return the selector, or a random one in place of one that would load weights."""
        made = self.made(point)
        if made is None or made.asks is None:
            return super().selector(point, pool, queries, template)
        drawn = Random(seed=point.shots.seed)
        drawn.fit(pool)
        return drawn


def _experiment_problems(name: str) -> Iterator[Problem]:
    path = find_shipped_file(name)
    try:
        source = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError):
        load_experiment(name)  # says why it cannot be read
        raise
    try:
        experiment = load_experiment(name)
        listed = list_points(experiment)
    except IclError as error:
        yield _located(error, name, name, source)
        return
    loader = LocalLoader(experiment)
    templates: dict[str, TemplateFile] = {}
    for point in listed:
        task = point.task.task
        try:
            condition = build(point, loader)
            file = condition.template.file
            templates[str(file.path)] = file
            for text in find_condition_problems(condition):
                at = _task_line(task, source)
                yield Problem(name, name, at, f"{join_axes(condition.point.axes, ' · ')}: {text}")
        except IclError as error:
            yield _located(error, name, name, source, task)
    for label, spelt in loader.spellings.items():
        yield Problem(name, name, 1, describe_spellings(label, spelt))
    for file in templates.values():
        for line, text in find_template_problems(file):
            yield Problem(name, str(file.path), line, text)


def find_condition_problems(condition: Condition) -> Iterator[str]:
    """Yield problems of one condition: answers, choices, prompts that do not fit.

    Raises:
        IclError: the prompt of a row cannot be rendered.
    """
    no_gold = [example.id for example in condition.examples if not example.targets]
    if no_gold:
        yield (
            f"{len(no_gold)} of {len(condition.examples)} rows have no right answer, such as "
            f"{no_gold[0]!r}, and scoring refuses them; name the field as `answer:` of the data, "
            "or leave these rows out"
        )
    if condition.ranks:
        ended = condition.point.task.choice_end != "never"
        if condition.method == "channel":
            yield from _channel_problems(condition)
        elif condition.template.file.kind.labels == "shared":
            yield from find_choice_problems(condition.template, ended)
        else:
            yield from _row_choices(condition, ended)
    else:
        yield from _cut_answers(condition)
    counted = not isinstance(condition.engine, UncountedEngine)
    dropped: list[str] = []
    long_forms: dict[str, int] = {}
    rows = _rows(condition.examples)
    for example in rows:
        request = condition.request(example)
        if request.prompt.dropped:
            dropped.append(example.id)
        n_tokens = _count_form(condition, request) if counted else 0
        if n_tokens > condition.sampling.max_tokens:
            long_forms[example.id] = n_tokens
    if long_forms:
        name, most = max(long_forms.items(), key=lambda item: item[1])
        yield (
            f"max_tokens is {condition.sampling.max_tokens}, and the shortest answers of "
            f"{len(long_forms)} of {len(rows)} rows need more to keep their form, such as "
            f"{name!r}: {most}; raise max_tokens"
        )
    if dropped:
        yield (
            f"{len(dropped)} of {len(rows)} prompts lose shots to fit {condition.room} tokens, "
            f"such as {dropped[0]!r}; lower k, or use a model with a longer window"
        )
    if counted and rows and condition.ranks:
        yield from find_token_problems(condition, condition.request(rows[0]))


def _count_form(condition: Condition, request: Request) -> int:
    """Count the tokens of the shortest answer that keeps a row's form; 0 where none is known."""
    form = request.prompt.form
    if form is None or form.shortest is None:
        return 0
    start = len(condition.engine.tokens(Prompt("")))
    return len(condition.engine.tokens(Prompt(form.lead + form.shortest))) - start


def _channel_problems(condition: Condition) -> Iterator[str]:
    """Yield problems of the labels of the channel method: two that look alike."""
    for example in _rows(condition.examples)[:1]:
        # What is scored follows each of them, so none is merely the beginning of another.
        given = [replace(choice, end="\n") for choice in condition.choices_of(example)]
        yield from find_faults(given, (), ended=True)


def _rows(examples: Sequence[Example]) -> list[Example]:
    """Select a bounded number of rows: the first ones, and those with the most text."""
    longest = sorted(examples, key=lambda example: -len(str(example.inputs)))[:MOST_ROWS]
    return list({example.id: example for example in [*examples[:MOST_ROWS], *longest]}.values())


def _row_choices(condition: Condition, ended: bool) -> Iterator[str]:
    """Yield problems of rows' own choices; only the first row for each kind of problem."""
    told: set[str] = set()
    for example in _rows(condition.examples):
        stops = condition.template.file.stop
        for text in find_faults(condition.choices_of(example), stops, ended):
            kind = re.sub(r"'[^']*'", "", text)
            if kind not in told:
                told.add(kind)
                yield f"row {example.id!r}: {text}"


def _cut_answers(condition: Condition) -> Iterator[str]:
    template = condition.template
    rows = [row for row in _rows([*condition.pool, *condition.examples]) if row.targets]
    cut = [
        (row.id, stop)
        for row in rows
        for stop in template.file.stop
        if stop in template.target(row)
    ]
    if cut:
        yield (
            f"the answers of {len({name for name, _ in cut})} of {len(rows)} rows hold the stop "
            f"{cut[0][1]!r}, such as {cut[0][0]!r}, and would be cut there; choose another stop"
        )


def find_token_problems(condition: Condition, request: Request) -> Iterator[str]:
    """Yield choices with equal tokens, or that merge with the last token of the prompt.

    Prompts sent as chat turns are skipped: choices have separate tokens there.
    """
    if request.sent != request.prompt.text:
        return
    seen: dict[tuple[int, ...], str] = {}
    joined: list[str] = []
    for choice, (prompt, text) in zip(request.choices, request.items, strict=True):
        start = [token.id for token in condition.engine.tokens(prompt)]
        ids = [token.id for token in condition.engine.tokens(Prompt(prompt.text + text))]
        if tuple(ids) in seen:
            yield (
                f"the choices of {seen[tuple(ids)]!r} and {choice.label!r} have the same tokens; "
                "give each a different word"
            )
        seen[tuple(ids)] = choice.label
        if ids[: len(start)] != start:
            joined.append(choice.label)
    if joined:
        yield (
            f"the last token of the prompt joins with {len(joined)} of "
            f"{len(request.choices)} choices, such as {joined[0]!r}; begin the choice with a "
            "space, and end the prompt without one"
        )


def find_choice_problems(template: Template, ended: bool = True) -> Iterator[str]:
    """Yield problems in the text of a template's choices.

    Args:
        template: a template with its labels.
        ended: whether the experiment scores the terminators (``choice_end``).
    """
    try:
        choices = template.choices()
    except (ChoiceError, TemplateError) as error:
        yield join_lines(error).removeprefix(f"{template.name}: ")
        return
    yield from find_faults(choices, template.file.stop, ended)


def find_faults(choices: Sequence[Choice], stops: Sequence[str], ended: bool) -> Iterator[str]:
    """Yield the faults of choices: too alike, cut by a stop string, or one begins another."""
    seen: dict[str, Choice] = {}
    for choice in choices:
        folded = fold_label(choice.text)
        if folded in seen:
            yield describe_twins(seen[folded], choice)
        seen[folded] = choice
        for stop in stops:
            if stop in choice.text:
                yield f"the choice {choice.text!r} holds the stop {stop!r}; choose another word"
    yield from _beginnings(choices, ended)


def fold_label(text: str) -> str:
    """Return a text without what readers overlook: case, space, width, form of letters, ``.0``."""
    folded = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    folded = unicodedata.normalize("NFKC", folded)
    number = re.fullmatch(r"([+-]?)0*(\d+?)(?:\.0*)?", folded)
    return f"{number[1].strip('+')}{number[2]}" if number else folded


def describe_twins(first: Choice, second: Choice) -> str:
    """Describe how two similar choices differ, with code points if they look the same."""
    both = [" ".join(choice.text.split()) for choice in (first, second)]
    pair = f"the labels {first.label!r} and {second.label!r}"
    repair = "give each a different word, or make them one label in the data"
    if both[0].lower() == both[1].lower():  # casefold would part ligatures, too
        return f"{pair} differ in case or space only ({second.text!r}); {repair}"
    if re.fullmatch(r"[+-]?[\d.]+", fold_label(second.text)):
        return f"{pair} are one number, written in two ways; {repair}"
    shown = " and ".join(_code_points(*pair) for pair in (both, both[::-1]))
    return f"{pair} differ only in the form of their letters ({shown}); {repair}"


def describe_spellings(label: str, spelt: Collection[str]) -> str:
    """Describe a label that the data spells in another Unicode form than labels are compared in."""
    other = min(spelt)
    return (
        f"the data spells the label {label!r} in another Unicode form too, with "
        f"{_code_points(other, label)} for {_code_points(label, other)}; both count as one, in "
        "NFC: save the data in NFC, so that others read it so too"
    )


def _code_points(text: str, other: str) -> str:
    """List the code points in which a text differs from another, as ``U+0065 U+0301``."""
    begin = len(commonprefix([text, other]))
    end = len(commonprefix([text[begin:][::-1], other[begin:][::-1]]))
    part = text[begin : len(text) - end]
    return " ".join(f"U+{ord(char):04X}" for char in part) or "nothing"


def _beginnings(choices: Sequence[Choice], ended: bool) -> Iterator[str]:
    ordered = sorted(choices, key=lambda choice: choice.text)
    for short, long in zip(ordered, ordered[1:], strict=False):
        if long.text.startswith(short.text) and not (ended and short.end):
            yield (
                f"the choice {short.text!r} begins {long.text!r}, which can then never be the "
                "likelier one; write `choice_end: auto`"
            )
