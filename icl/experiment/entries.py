"""The ``search:`` block of an experiment file, as pydantic checks it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    NonNegativeInt,
    ValidationError,
    field_validator,
    model_validator,
)

from icl.core.errors import ConfigError
from icl.core.registry import did_you_mean
from icl.core.types import Method
from icl.data import DataSpec
from icl.experiment.shot_order import unfit

__all__ = [
    "BudgetEntry",
    "CompareEntry",
    "DataEntry",
    "DevEntry",
    "Entry",
    "ExperimentEntry",
    "NAME",
    "NAME_TOLD",
    "OverEntry",
    "PoolEntry",
    "RowsEntry",
    "SamplingEntry",
    "SearchEntry",
    "ShotsEntry",
    "ShotsHolder",
    "TaskEntry",
    "Words",
    "listed",
    "validate",
]


def listed(value: Any) -> Any:
    """What may be written without its brackets, as a list.

    >>> listed("en-US"), listed(["en-US"])
    (['en-US'], ['en-US'])
    """
    return value if isinstance(value, list) else [value]


Words = Annotated[
    list[str],
    Field(min_length=1),
    BeforeValidator(listed, json_schema_input_type=str | list[str]),
]

Numbers = Annotated[
    list[NonNegativeInt],
    Field(min_length=1),
    BeforeValidator(listed, json_schema_input_type=NonNegativeInt | list[NonNegativeInt]),
]
Select = str | dict[str, Any]
Selects = Annotated[
    list[Select],
    Field(min_length=1),
    BeforeValidator(listed, json_schema_input_type=Select | list[Select]),
]


class Entry(BaseModel):
    """Base of all entries of an experiment file: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class DevEntry(Entry):
    """Rows held apart from pool and test; data, locale and pair are those of ``rows``."""

    data: str | None = None
    split: str | None = None
    lines: tuple[int, int] | None = None
    n: int | None = Field(default=None, ge=1)
    """Rows drawn, none of the test's among them; all of them by default."""
    seed: int = 0


class OverEntry(Entry):
    """What a search varies; what is not named stays as in the file's first condition."""

    shot_set: int | None = Field(default=None, ge=1)
    """How many sets of shots are drawn, each the same for all queries."""
    prompt: Words | None = None
    k: Numbers | None = None
    """Numbers of shots."""
    select: Selects | None = None
    """Selectors: names, or ``{select: bm25, ngrams: char}`` with options."""
    order: Words | None = None
    """Orders of the shots, as under ``shots``."""
    prompt_language: Words | None = None


class BudgetEntry(Entry):
    """What a search may cost, its last test aside."""

    minutes: float | None = Field(default=None, gt=0)
    """As the clock goes; which rows are asked then depends on the machine."""
    tokens: int | None = Field(default=None, ge=1)
    """Of prompts and answers, as if nothing were shared and nothing had been answered before."""

    @model_validator(mode="after")
    def _one_of_two(self) -> BudgetEntry:
        if (self.minutes is None) == (self.tokens is None):
            raise ValueError("give either minutes or tokens")
        return self


class SearchEntry(Entry):
    """What ``icl search`` looks for; ``icl run`` does not read it."""

    over: OverEntry
    objective: str | dict[str, Any] = "gold_logprob"
    """``gold_logprob``, or a metric as under ``metrics``."""
    dev: DevEntry | None = None
    """The rows by which candidates are compared."""
    budget: BudgetEntry | None = None
    """Without one, the last candidates are asked all development rows."""
    write: str | None = None
    """Where the winner's shots are written, a file as ``shots: {file: …}`` reads it."""
    seed: int = 0
    """Of the sets of shots."""
    eta: int = Field(default=3, ge=2)
    """One of so many candidates is kept at each rung, and asked so many times the rows."""


def _numbered(value: Any) -> Any:
    """``3`` is f0, f1 and f2; a name, or a list of them, is what it says."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError("at least 1 is needed: 1 is the template as it is written")
        return [f"f{number}" for number in range(value)]
    names = listed(value)
    for name in names:
        if not re.fullmatch(r"f(0|[1-9]\d*)", str(name)):
            raise ValueError(f"{name!r} is no format; accepted: a number of them, or f0, f1, …")
    return names


Formats = Annotated[
    list[str],
    Field(min_length=1),
    BeforeValidator(_numbered, json_schema_input_type=int | str | list[str]),
]


class DataEntry(Entry):
    """Where a data set lies and how its columns are called."""

    format: str
    path: str
    """File or folder, relative to the experiment file; may hold {lang} {locale} {split}. For
    ``hf`` also an id of the hub."""
    fields: dict[str, str] = {}
    """Template field -> column, or column.key; empty takes every column under its own name."""
    answer: str | None = None
    """Field that holds the right answer, or a list of them."""
    id: str | None = None
    gold: list[str] = []
    """Further fields that give the answer away."""
    encoding: str = "utf-8"
    columns: list[str] = []
    """Names of the columns of a table without a header, and of ``conll``; ``_`` skips one."""
    config: str | None = None
    """For ``hf``: configuration (subset) of the data set."""
    revision: str | None = None
    """For ``hf``: commit on the hub; looked up and kept with the records where it is missing."""
    cite: str | None = None
    """How it is cited in reports: a known data set (``massive``, ``xcopa`` …), BibTeX text, a
    ``.bib`` file, or ``none``; by default what its format is known for."""

    @field_validator("columns")
    @classmethod
    def _once(cls, columns: list[str]) -> list[str]:
        twice = [name for name in columns if name != "_" and columns.count(name) > 1]
        if twice:
            raise ValueError(f"{twice[0]!r} stands twice; write _ for a column to skip")
        return columns

    def spec(
        self,
        base: Path,
        locale: str | None = None,
        pair: tuple[str, str] | None = None,
        rows: RowsEntry | PoolEntry | DevEntry | None = None,
    ) -> DataSpec:
        """What the entry and the rows that are asked of it say, for a reader.

        A path is relative to ``base``; for ``hf``, what is no path there is an id of the hub.
        """
        path = base / Path(self.path).expanduser()
        if self.format == "hf" and not path.exists() and not self.path.startswith((".", "/", "~")):
            path = Path(self.path)
        source, target = pair or (None, None)
        return DataSpec(
            format=self.format,
            path=path,
            locale=locale,
            source=source,
            target=target,
            split=rows.split if rows else None,
            lines=rows.lines if rows else None,
            fields=self.fields,
            answer=self.answer,
            id=self.id,
            gold=tuple(self.gold),
            encoding=self.encoding,
            columns=tuple(self.columns),
            config=self.config,
            revision=self.revision,
        )


class PairEntry(Entry):
    """Language pairs: every ``from`` with every ``to``."""

    from_: Words = Field(alias="from")
    to: Words


Lines = tuple[int, int]


class RowsEntry(Entry):
    """Which rows are asked."""

    data: str
    locale: Words | None = None
    pair: PairEntry | None = None
    split: str | None = None
    lines: Lines | None = None
    """First and last line, counted from 1, both included; for sets without splits."""
    n: int | None = Field(default=None, ge=1)
    """Rows drawn, the same ids in every locale; all of them by default."""
    seed: int = 0


class PoolEntry(Entry):
    """Where shots come from; data and pair are those of ``rows`` unless named."""

    data: str | None = None
    locale: Words = ["same"]
    """``same``, or a locale for cross-lingual shots; each of a list is a condition of its own."""
    parallel: Literal["auto", "leave_out", "allow"] = "auto"
    """Rows with the id of a test row: ``auto`` leaves out those of the same data set, in whatever
    locale; ``leave_out`` those of another data set too; ``allow`` keeps translations."""
    split: str | None = None
    lines: Lines | None = None
    n: int | None = Field(default=None, ge=1)
    """Rows drawn as the pool, for a file larger than the memory; all of them by default."""
    seed: int = 0
    without: DevEntry | None = None
    """Rows kept out of the pool beside the test's: those that a search chose by."""


class SamplingEntry(Entry):
    """How text is generated."""

    max_tokens: int = Field(default=64, ge=1)
    temperature: float = Field(default=0.0, ge=0)
    top_p: float = Field(default=1.0, gt=0, le=1)
    top_k: int = Field(default=0, ge=0)
    min_p: float = Field(default=0.0, ge=0, le=1)
    n: int = Field(default=1, ge=1)
    """Outputs a prompt; the answer is the one that most of them give."""
    seed: int = 0
    thinking_tokens: int | None = Field(default=None, ge=0)
    """Tokens of reasoning after which its block is closed, out of ``max_tokens``."""

    @model_validator(mode="after")
    def _varied(self) -> SamplingEntry:
        if self.n > 1 and self.temperature == 0:
            raise ValueError(
                f"n is {self.n}, and at temperature 0 all outputs are the same; give a "
                "temperature such as 0.7"
            )
        return self


class TaskEntry(Entry):
    """One task: rows, prompt, and how it is answered and scored."""

    task: str
    prompt: Words
    rows: RowsEntry
    pool: PoolEntry | None = None
    method: Method | None = None
    """``rank`` scores every choice, ``generate`` writes and parses, ``channel`` scores the input
    behind every label (the noisy channel); the task's first by default."""
    parser: str | None = None
    metrics: list[str | dict[str, Any]] | None = None
    """Names, ``{metric: bleu, tokenize: char}`` or ``{command: "…", name: comet}``."""
    calibrate: list[str | dict[str, Any]] = []
    """Calibrators whose scores stand beside the plain ones: names, or ``{calibrator: vote_mix,
    weight: 0.5}``; what they need beside the test rows is computed too."""
    sampling: SamplingEntry = SamplingEntry()
    choice_end: Literal["template", "never"] = "template"
    """``never`` leaves the terminator out, for parity with other tools."""
    prompt_language: Words = ["en"]
    """Language of the prompt's own words; ``row`` takes the row's locale."""
    label_language: str | None = None
    """Language of the label words; the prompt's by default."""
    formats: Formats = ["f0"]
    """How many formats of the template (other separators, casing, spacing), or which: f0 is the
    file as it is written."""

    @property
    def data_sets(self) -> list[str]:
        """Names of the data of rows and pool, each once."""
        pool = self.pool.data if self.pool else None
        return list(dict.fromkeys([self.rows.data, pool or self.rows.data]))


class ShotsEntry(BaseModel):
    """How many shots and how they are chosen; further keys are the selector's options."""

    model_config = ConfigDict(extra="allow", frozen=True)

    k: int | None = Field(default=None, ge=0)
    """Shots a query; for a shot file all of them by default."""
    select: str = "random"
    file: str | None = None
    seed: int = 0
    seeds: list[int] | None = None
    """Several draws, each a condition of its own."""
    order: Words = ["selected"]
    """``selected`` puts the first chosen first, ``reversed`` puts it nearest to the query;
    ``nearest_first`` and ``nearest_last`` go by score; ``random``; ``permutations`` are all of up
    to 5 shots, or ``p0``, ``p1`` … one of them. Each of a list is a condition of its own."""
    labels: Literal["gold", "random", "flipped", "none"] = "gold"
    """What the shots are shown with: their own labels, random ones, wrong ones, or none."""

    @model_validator(mode="after")
    def _permutable(self) -> ShotsEntry:
        for problem in filter(None, (unfit(order, self.k) for order in self.order)):
            raise ValueError(problem)
        return self


def _shots(value: Any) -> Any:
    return {"k": value} if isinstance(value, int) and not isinstance(value, bool) else value


Shots = Annotated[
    ShotsEntry, BeforeValidator(_shots, json_schema_input_type=NonNegativeInt | ShotsEntry)
]


def _word(value: Any) -> Any:
    """A number as the word that tables print, so that ``baseline: 0`` means what it says."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class CompareEntry(Entry):
    """What is compared after a run: conditions that are equal but for one setting."""

    by: str
    """The setting: ``prompt``, ``shots``, ``k``, ``select``, ``width``, …"""
    baseline: Annotated[
        str | None, BeforeValidator(_word, json_schema_input_type=str | int | float | None)
    ] = None
    """The value that the others are compared with; the first one by default."""


NAME = r"^[\w][\w.-]*$"
NAME_TOLD = "accepted: letters, digits, and . - _ behind the first, such as first-try"


class ExperimentEntry(Entry):
    """The file as a whole."""

    name: str | None = Field(default=None, pattern=NAME)
    base: str | None = None
    """Folder that relative paths start from, as seen from the file's own; that by default."""
    about: str = ""
    models: dict[str, dict[str, JsonValue]] = Field(min_length=1)
    data: dict[str, DataEntry] = {}
    tasks: list[TaskEntry] = Field(min_length=1)
    grid: dict[str, list[Any]] = {}
    search: SearchEntry | None = None
    plugins: list[str] = []
    batch_size: int | None = Field(default=None, ge=1)
    """Examples in a batch, the unit of commit; left out, as many as fit the memory, up to 64."""
    compare: CompareEntry | None = None


class ShotsHolder(Entry):
    """One value of the axis ``shots``."""

    shots: Shots


def validate(kind: type[Any], value: Any, where: str) -> Any:
    """``value`` as an entry of ``kind``; the first mistake becomes a ConfigError of one line."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_first_error(kind, error)}") from error


def _first_error(kind: type[BaseModel], error: ValidationError) -> str:
    """One line for the first of pydantic's errors, with a guess at a mistyped key."""
    first = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")[0]
    path = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        model: Any = kind
        for part in first["loc"][:-1]:
            model = _inner(model, part)
        known = [spec.alias or name for name, spec in model.model_fields.items()]
        return f"unknown key {path!r}{did_you_mean(str(first['loc'][-1]), known)}"
    if first["type"] == "missing":
        return f"{path!r} is missing"
    message = first["msg"].removeprefix("Value error, ")
    if first["type"] == "string_pattern_mismatch":  # a pattern is no answer to what is accepted
        message = {NAME: NAME_TOLD}.get(first["ctx"]["pattern"], message)
    given = "" if isinstance(first["input"], dict) else f" (given: {first['input']!r})"
    return f"{path}: {message}{given}"


def _inner(model: Any, part: int | str) -> Any:
    """The entry class that stands under ``part`` of ``model``."""
    if isinstance(part, int) or not hasattr(model, "model_fields"):
        return model
    for name, spec in model.model_fields.items():
        if part in (name, spec.alias):
            return next(
                (inner for inner in _classes(spec.annotation) if issubclass(inner, BaseModel)),
                model,
            )
    return model


def _classes(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _classes(inner)
