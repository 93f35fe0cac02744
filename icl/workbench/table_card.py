"""A table of the user's own: a role for each column, guessed, and the template for the roles.

The guess is that of ``icl init NAME --from FILE``, and so are the template and the held-out rows.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from icl.core.errors import ConfigError, DataError, IclError
from icl.core.safe_text import clean
from icl.core.types import JSON, Example
from icl.data.columns import ColumnTable, read_columns
from icl.experiment.table_starter import StarterDraft, draft_starter
from icl.experiment.table_task import guess_task, is_empty
from icl.workbench.row_sources import UploadedTable

__all__ = ["ROLES", "PREVIEW_ROWS", "TableCard", "open_table"]


TEXT, ANSWER, AWAY, SPLIT, ID, IGNORE = ROLES = (
    "text",
    "answer",
    "gives the answer away",
    "split",
    "id",
    "ignore",
)
"""Roles of a column; answer, split and id are one column each."""
PREVIEW_ROWS = 5
_CELL_CHARS = 120
_OPTION = re.compile(r"--(answer|input|task)(?: ([^\s;,]+))?")
"""An option of the command line in a message, with its value."""


@dataclass(frozen=True)
class TableCard:
    """A table with a role for each column, and what its roles ask of a model."""

    name: str
    """The file's name, without signs that a name cannot have."""
    table: ColumnTable
    """As its reader sees it."""
    roles: Mapping[str, str]
    """Column -> one of :data:`ROLES`, in the order of the table."""
    draft: StarterDraft | None
    """The template and rows for it; None if there is a problem."""
    problem: str = ""
    """The reason why these roles suit no template, in one line."""

    def preview(self) -> list[list[str]]:
        """Return the first rows as text, a cell for each column of :attr:`roles`."""
        return [
            [_cell(value) for value in _columns(self.table, row).values()]
            for row in self.table.rows[:PREVIEW_ROWS]
        ]

    def lines(self) -> list[str]:
        """Say what was guessed, in the words of ``icl init``, and what the reader noted."""
        guesses = self.draft.guesses(Path(self.name).with_suffix("")) if self.draft else []
        told = [f"{guess.name}: {guess.found}" for guess in guesses]
        notes = [*self.table.notes, *(self.draft.task.notes if self.draft else ())]
        return [*told, *(_here(note, self.table.path) for note in notes)]

    def assign(self, roles: Mapping[str, str], task: str | None = None) -> TableCard:
        """Return the card with other roles; its :attr:`problem` says what is wrong with them.

        Args:
            roles: column -> role; columns that are missing keep theirs.
            task: a word of :data:`icl.experiment.table_task.TASKS`; guessed if it is None.
        """
        wanted = {name: roles.get(name, role) for name, role in self.roles.items()}
        wanted = {name: role if role in ROLES else IGNORE for name, role in wanted.items()}
        card = replace(self, roles=wanted, draft=None, problem="")
        try:
            return replace(card, draft=_draft(self.table, wanted, task))
        except IclError as error:
            return replace(card, problem=_here(str(error), self.table.path))

    def rows(self) -> tuple[str, UploadedTable]:
        """Return all rows under the names of their columns, for a template that is there already.

        Rows without an answer are left out if there are rows to show as shots; if not, all are
        asked.

        Raises:
            ConfigError: no column is read, or two have a role that one can have.
        """
        table = _assigned(self.table, self.roles)
        answer = _one(self.roles, ANSWER)
        about = UploadedTable(self.name, answer, _all(self.roles, AWAY))
        if self.draft is None:
            rows = [{"id": row.id, **row.fields} for row in table.rows]
            for row in rows:
                if answer is not None and is_empty(row[answer]):
                    row[answer] = None
            return _as_lines(rows), about
        known = {row.id: row for row in table.rows}
        values = dict(zip((row.id for row in table.rows), self.draft.task.values, strict=True))
        rows = []
        for copied in self.draft.copy.rows:
            key = str(copied["id"])
            fields = {**known[key].fields, self.draft.task.answer: values[key]}
            rows.append({"id": key, "split": copied["split"], **fields})
        return _as_lines(rows), replace(about, split=True)

    def starter(self) -> tuple[StarterDraft, UploadedTable]:
        """Return the template with its rows, and how these are read.

        Raises:
            ConfigError: none can be made; see :attr:`problem`.
        """
        if self.draft is None:
            raise ConfigError(self.problem)
        made = self.draft
        about = UploadedTable(self.name, made.answer, made.hidden, True, made.task.task, made.pair)
        return made, about


def open_table(path: Path) -> TableCard:
    """Read a table, and guess a role for each column.

    Raises:
        DataError: it cannot be read; the message names the file alone, and not its folder.
        ConfigError: a package that reads it is not installed.
    """
    try:
        table = read_columns(path, least=1)
    except IclError as error:
        raise type(error)(_here(str(error), path)) from error
    plain = dict.fromkeys(_columns(table, table.rows[0]), IGNORE)
    plain |= {table.id: ID} if table.id else {}
    plain |= {table.split: SPLIT} if table.split else {}
    card = TableCard(path.name, table, plain, None)
    try:
        task = guess_task(table)
    except ConfigError as error:
        texts = {name: TEXT for name in table.names}
        return replace(card, roles={**plain, **texts}, problem=_here(str(error), path))
    guessed = dict.fromkeys([*task.inputs, *task.choices], TEXT)
    guessed |= dict.fromkeys(task.left_out, AWAY) | {task.answer: ANSWER}
    card = replace(card, roles={**plain, **guessed})
    try:
        return replace(card, draft=draft_starter(table, task))
    except ConfigError as error:
        return replace(card, problem=_here(str(error), path))


def _draft(table: ColumnTable, roles: Mapping[str, str], task: str | None) -> StarterDraft:
    assigned = _assigned(table, roles)
    answer, texts = _one(roles, ANSWER), _all(roles, TEXT)
    if answer is None:
        raise ConfigError(
            "no column has the role answer, so no template can be made; choose one, or keep your "
            "template and run the rows without right answers"
        )
    used = tuple(name for name in assigned.names if roles[name] in (TEXT, ANSWER, AWAY))
    offered = replace(assigned, names=used)
    made = guess_task(offered, answer, (), task)
    if {*texts} != {*made.inputs, *made.choices}:
        inputs = [name for name in texts if name not in made.choices]
        made = guess_task(offered, answer, inputs, task)
    return draft_starter(assigned, replace(made, left_out=tuple(_all(roles, AWAY))))


def _assigned(table: ColumnTable, roles: Mapping[str, str]) -> ColumnTable:
    """Return the table with the ids and splits of the columns that have these roles.

    Raises:
        ConfigError: no column is read, or two have a role that one can have.
        DataError: ids that are none, or stand twice.
    """
    if not _all(roles, TEXT):
        raise ConfigError("no column has the role text; choose what the model is to read")
    _one(roles, ANSWER)
    identity, split = _one(roles, ID), _one(roles, SPLIT)
    if (identity, split) == (table.id, table.split):
        return table
    rows, seen = [], set()
    for number, row in enumerate(table.rows):
        columns = _columns(table, row)
        own = str(number) if identity is None else _cell(columns.pop(identity))
        if not own or own in seen:
            fault = f"the id {own!r} stands twice" if own else "an id is missing"
            raise DataError(f"{identity}: {fault}, in row {number + 1}; give it another role")
        seen.add(own)
        side = None if split is None else columns.pop(split)
        meta = {"split": side} if isinstance(side, str) else {}
        rows.append(Example(own, columns, row.targets, meta, row.gold))
    names = tuple(name for name in roles if name not in (identity, split))
    return replace(table, rows=rows, names=names, id=identity, split=split)


def _columns(table: ColumnTable, row: Example) -> dict[str, JSON]:
    """Return a row's columns with those of id and split, in front."""
    front: dict[str, JSON] = {table.id: row.id} if table.id else {}
    front |= {table.split: row.meta.get("split", "")} if table.split else {}
    return front | {name: row.fields.get(name) for name in table.names}


def _one(roles: Mapping[str, str], role: str) -> str | None:
    found = _all(roles, role)
    if len(found) > 1:
        raise ConfigError(
            f"{len(found)} columns have the role {role}: {', '.join(found)}; only one can"
        )
    return found[0] if found else None


def _all(roles: Mapping[str, str], role: str) -> list[str]:
    return [name for name, own in roles.items() if own == role]


def _as_lines(rows: Sequence[Mapping[str, JSON]]) -> str:
    return "".join(json.dumps(row, ensure_ascii=True) + "\n" for row in rows)


def _cell(value: JSON) -> str:
    if is_empty(value):
        return ""
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    line = clean(" ".join(text.split()))
    return line if len(line) <= _CELL_CHARS else line[: _CELL_CHARS - 1] + "…"


def _here(message: str, path: Path) -> str:
    """Say a message of the command line in the words of the page, with the file's name alone."""
    words = {"answer": "the role answer", "input": "the role text", "task": "the task"}

    def said(option: re.Match[str]) -> str:
        name, value = option.groups()
        if name == "task" or value is None:
            return " ".join(filter(None, (words[name], value)))
        return f"{words[name]} for {value}"

    text = _OPTION.sub(said, message.replace(str(path), path.name))
    return clean(" ".join(text.split()))
