"""Settings compared on the same rows, side by side: their prompts, answers and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from icl.core.errors import ConfigError, IclError, MetricError
from icl.core.number_text import format_p, format_score
from icl.core.stats import score
from icl.core.types import Example
from icl.engines.table import UncountedEngine
from icl.experiment.condition import Condition, Request
from icl.records.results import ConditionResult
from icl.running.run import run_condition
from icl.scoring.compare import Comparison, compare_sides, correct_comparisons
from icl.scoring.pairs import make_side, pick_metrics
from icl.scoring.win_rate import count_wins
from icl.workbench.jobs import JobProgress
from icl.workbench.screen import Screen
from icl.workbench.template_files import template_text
from icl.workbench.workbench import Workbench

__all__ = [
    "FORMS",
    "RowSelection",
    "ColumnSettings",
    "SideBySide",
    "LETTERS",
    "cross",
    "request_of",
    "condition_of",
    "run_columns",
]


LETTERS = "ABCDEFGHIJKL"
"""Names of the columns, as many as there can be."""
FORMS = 4
"""Columns that can be set one by one; more are prompts × models."""
RUNS = "runs"


@dataclass(frozen=True)
class RowSelection:
    """The rows that all columns answer."""

    data: str
    locale: str | None = None
    source: str | None = None
    target: str | None = None
    n: int = 1
    """Number of rows to sample; 1 uses the row ``row``. A typed row is always the only one."""
    row: int = 1
    """Counted from 1."""
    seed: int = 0
    """Seed of the sample."""
    max_tokens: int = 64
    own: Mapping[str, str] = field(default_factory=dict)
    """Fields of a row typed by hand, as of a :class:`~icl.workbench.screen.Screen`."""
    answer: str = ""
    """The right answer of a typed row, if any."""

    @property
    def single(self) -> bool:
        """Return whether there is just one row, chosen by the user."""
        return self.n == 1 or bool(self.own)

    @classmethod
    def of(cls, screen: Screen, n: int, seed: int) -> RowSelection:
        """Take the row of a screen, or sample ``n`` rows of its data if ``n`` is over 1."""
        return cls(
            screen.data,
            screen.locale,
            screen.source,
            screen.target,
            n,
            screen.row,
            seed,
            screen.max_tokens,
            screen.own,
            screen.answer,
        )


@dataclass(frozen=True)
class ColumnSettings:
    """The settings of one column."""

    template: str
    model: str = ""
    width: str = ""
    select: str = "random"
    k: int = 0
    seed: int = 0

    def title(self) -> str:
        """Describe the settings in a few words."""
        shots = f"{self.k} {self.select}" if self.k else "no shots"
        seed = f"seed {self.seed}" if self.k and self.seed else ""
        return " · ".join(filter(None, [self.template, self.model, self.width, shots, seed]))


def cross(
    column: ColumnSettings, templates: Sequence[str], models: Sequence[str]
) -> list[ColumnSettings]:
    """Return a column for each prompt with each model, otherwise set like ``column``.

    Raises:
        ConfigError: there are fewer than two, or more than there are letters.
    """
    pairs = [(one, other) for one in dict.fromkeys(templates) for other in dict.fromkeys(models)]
    if not 2 <= len(pairs) <= len(LETTERS):
        raise ConfigError(
            f"{len(templates)} prompts × {len(models)} models are {len(pairs)} columns; choose "
            f"from 2 to {len(LETTERS)}"
        )
    return [replace(column, template=one, model=other) for one, other in pairs]


def condition_of(work: Workbench, selection: RowSelection, column: ColumnSettings) -> Condition:
    """Bind a column as a condition, whose template is rendered in the sandbox.

    Raises:
        IclError: everything that ``icl run`` would refuse.
    """
    known = work.sources.get(selection.data)  # what is uploaded has no languages
    spoken = selection.target if known and known.sources else selection.locale
    text = template_text(column.template, spoken or "en", work.base)
    screen = Screen(
        column.template,
        text,
        selection.data,
        selection.locale,
        selection.source,
        selection.target,
        row=selection.row,
        select=column.select,
        k=column.k,
        seed=column.seed,
        max_tokens=selection.max_tokens,
        model=column.model,
        width=column.width,
        own=selection.own,
        answer=selection.answer,
    )
    if selection.single:
        return work.bind(screen).condition
    return work.sample(screen, selection.n, selection.seed)


def request_of(condition: Condition, row: str | None, counted: bool) -> Request:
    """Make the request of one row, by default the first.

    Args:
        condition: the condition of a column.
        row: id of one of its rows.
        counted: whether to count tokens with the model's tokenizer; if not, no shot is dropped.
    """
    rows = {example.id: example for example in condition.examples}
    example = rows.get(row or "") or condition.examples[0]
    used = condition if counted else replace(condition, engine=UncountedEngine(window=10**9))
    return used.request(example)


@dataclass(frozen=True)
class SideBySide:
    """The results of all columns; the first one is the baseline."""

    titles: Sequence[str]
    conditions: Sequence[Condition]
    results: Sequence[ConditionResult]

    @cached_property
    def examples(self) -> dict[str, Example]:
        """Rows that all columns answered, by id, in the order of the first column."""
        shared = set.intersection(*({*result.records} for result in self.results))
        return {one.id: one for one in self.results[0].examples if one.id in shared}

    @cached_property
    def answers(self) -> list[dict[str, str]]:
        """For each column, id -> answer: the label ranked first, or the generated text."""
        return [
            {
                made.id: record.outputs[0].text if record.outputs else str(made.value)
                for made, record in zip(result.predictions(), result.records.values(), strict=True)
            }
            for result in self.results
        ]

    @cached_property
    def right(self) -> list[dict[str, bool | None]]:
        """For each column, id -> whether the parsed answer is a target; None without targets."""
        return [
            {
                made.id: (made.value in self.examples[made.id].targets)
                if self.examples[made.id].targets
                else None
                for made in result.predictions()
                if made.id in self.examples
            }
            for result in self.results
        ]

    def different(self, columns: Sequence[int] = ()) -> list[str]:
        """List the ids of the rows that columns, by default all, answer differently."""
        found = [self.answers[place] for place in columns] or self.answers
        return [name for name in self.examples if len({answers[name] for answers in found}) > 1]

    def wrong(self, columns: Sequence[int] = ()) -> list[str]:
        """List the ids of the rows that any of the columns, by default of all, answers wrongly."""
        found = [self.right[place] for place in columns] or self.right
        return [name for name in self.examples if any(right[name] is False for right in found)]

    def comparisons(self) -> list[Comparison]:
        """Compare every other column with the first by the task's first metric (Holm corrected)."""
        name, metric = pick_metrics(self.results[0])[0]
        sides = [make_side(one, title) for one, title in zip(self.results, LETTERS, strict=False)]
        return correct_comparisons(
            [compare_sides(sides[0], one, name, metric, {}) for one in sides[1:]]
        )

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Make headers and a row for each column: score, interval, difference from A."""
        _, metric = pick_metrics(self.results[0])[0]
        head = ["", "settings", metric.label, "n", "against A", "wins – ties – losses", "p"]
        lines = []
        compared = [None, *self.comparisons()]
        for place, (result, found) in enumerate(zip(self.results, compared, strict=True)):
            made = score(metric.label, metric.stats(result.predictions(), result.examples))
            cells = [
                LETTERS[place],
                self.titles[place],
                format_score(made),
                str(made.n),
            ]
            lines.append([*cells, *(_difference_cells(found) if found else ["baseline", "", ""])])
        return head, lines


def _difference_cells(found: Comparison) -> list[str]:
    if found.problem:
        return [found.problem, "", ""]
    apart, p = found.difference, found.p_holm
    try:
        won = str(count_wins(found))
    except MetricError as error:
        won = str(error)
    return [
        format_score(apart, sign="+"),
        won,
        "" if p is None else format_p(p),
    ]


def run_columns(
    work: Workbench,
    selection: RowSelection,
    columns: Sequence[ColumnSettings],
    progress: JobProgress,
) -> SideBySide:
    """Run every column; records of several rows are stored under ``runs/`` and reused.

    Raises:
        StoppedError: the user stopped it; whole batches are saved.
        IclError: anything wrong with a column; the message names the column.
    """
    conditions = []
    for letter, column in zip(LETTERS, columns, strict=False):
        try:
            conditions.append(condition_of(work, selection, column))
        except IclError as error:
            raise type(error)(f"column {letter}: {error}") from error
    # A row alone would leave a folder for each row that was ever looked at.
    root = work.private / "compared" if selection.single else work.base / RUNS
    results: list[ConditionResult] = []
    for condition in conditions:
        progress.check()
        work.release_others(condition)
        results += run_condition(condition, root, progress, work.base).conditions
    return SideBySide([column.title() for column in columns], conditions, results)
