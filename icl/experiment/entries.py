"""The keys of an experiment file: accepted values, meaning, and how often each is needed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    NonNegativeInt,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)

from icl.core.errors import ConfigError
from icl.core.registry import did_you_mean
from icl.core.types import Method
from icl.data import DataSpec, Quoting
from icl.data.columns import SUFFIXES
from icl.experiment.renamed import check_keys
from icl.experiment.shot_order import explain_misfit
from icl.prompts.row_expressions import RowExpressions

__all__ = [
    "BudgetEntry",
    "CompareEntry",
    "ConstrainEntry",
    "DataEntry",
    "DevEntry",
    "StrictEntry",
    "ExperimentEntry",
    "HintsEntry",
    "LEVELS",
    "LexiconEntry",
    "NAME",
    "NAME_TOLD",
    "OverEntry",
    "PoolEntry",
    "ReportEntry",
    "RowsEntry",
    "SAME",
    "SamplingEntry",
    "SearchEntry",
    "ShotsEntry",
    "ShotsHolder",
    "TaskEntry",
    "TranslateEntry",
    "Words",
    "wrap_list",
    "validate",
]


def wrap_list(value: Any) -> Any:
    """Wrap a value in a list, unless it is one.

    >>> wrap_list("en-US"), wrap_list(["en-US"])
    (['en-US'], ['en-US'])
    """
    return value if isinstance(value, list) else [value]


Words = Annotated[
    list[str],
    Field(min_length=1),
    BeforeValidator(wrap_list, json_schema_input_type=str | list[str]),
]

Numbers = Annotated[
    list[NonNegativeInt],
    Field(min_length=1),
    BeforeValidator(wrap_list, json_schema_input_type=NonNegativeInt | list[NonNegativeInt]),
]
Select = str | dict[str, Any]
Selects = Annotated[
    list[Select],
    Field(min_length=1),
    BeforeValidator(wrap_list, json_schema_input_type=Select | list[Select]),
]


T = TypeVar("T")
Basic = Annotated[T, Field(json_schema_extra={"level": "basic"})]
"""A key that most files have, and that ``icl init`` writes."""
Usual = Annotated[T, Field(json_schema_extra={"level": "usual"})]
"""A key that many experiments need sooner or later."""
Rare = Annotated[T, Field(json_schema_extra={"level": "rare"})]
"""A key that few experiments need; forms hide it."""
LEVELS = ("basic", "usual", "rare")


class StrictEntry(BaseModel):
    """Base of all entries of an experiment file: unknown keys are errors, every key is documented.

    The text below a key is its meaning, its annotation its level.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _numbers_are_no_truth(cls, value: Any) -> Any:
        """Refuse a truth value where a number is needed: YAML reads ``n: yes`` as true."""
        for name, spec in cls.model_fields.items():
            given = value.get(spec.alias or name) if isinstance(value, dict) else None
            kinds = {*_classes(spec.annotation)} if isinstance(given, bool) else set()
            if kinds & {int, float} and bool not in kinds:
                raise ValueError(f"{name}: {str(given).lower()} is no number; give one")
        return value


class DevEntry(StrictEntry):
    """Development rows, separate from pool and test; locale and pair are those of ``rows``."""

    data: Basic[str | None] = None
    """Name of a data set; outside ``rows`` theirs by default."""
    split: Basic[str | None] = None
    """Part of the data set, by its name."""
    lines: Basic[tuple[int, int] | None] = None
    """First and last line, counted from 1, both included; for sets without splits."""
    n: Basic[int | None] = Field(default=None, ge=1)
    """Number of sampled rows, with the same ids in every locale; all rows by default."""
    seed: Usual[int] = 0
    """Random seed: the same number gives the same sample."""


class OverEntry(StrictEntry):
    """The settings that a search varies; all others stay as in the file's first condition."""

    shot_set: Usual[int | None] = Field(default=None, ge=1)
    """Number of random sets of shots to try, each the same for all queries."""
    prompt: Basic[Words | None] = None
    """Template: a file, or a name in the library; each of a list is tried."""
    k: Basic[Numbers | None] = None
    """Number of shots per query; with a shot file all by default."""
    select: Basic[Selects | None] = None
    """Selector of the shots, with its options next to it: ``{select: bm25, ngrams: char}``."""
    order: Usual[Words | None] = None
    """``selected`` puts the first selected shot first, ``reversed`` puts it nearest to the query;
    ``nearest_first`` and ``nearest_last`` go by score; ``random``; ``permutations`` are all of
    up to 5 shots, or ``p0``, ``p1`` … one of them. Each of a list is tried."""
    prompt_language: Usual[Words | None] = None
    """Language of the prompt's own words; ``row`` uses the row's locale."""


class BudgetEntry(StrictEntry):
    """The most that a search may cost, without its final test."""

    minutes: Rare[float | None] = Field(default=None, gt=0)
    """Wall time in minutes; which rows are answered then depends on the machine."""
    tokens: Rare[int | None] = Field(default=None, ge=1)
    """Tokens of prompts and answers, counted without sharing or reuse."""

    @model_validator(mode="after")
    def _one_of_two(self) -> BudgetEntry:
        if (self.minutes is None) == (self.tokens is None):
            raise ValueError("give either minutes or tokens")
        return self


class SearchEntry(StrictEntry):
    """A search among variants of the file's first condition; ``icl run`` then runs it alone."""

    over: Usual[OverEntry]
    """The settings to vary."""
    objective: Usual[str | dict[str, Any]] = "gold_logprob"
    """``gold_logprob``, or a metric as under ``metrics``."""
    dev: Usual[DevEntry | None] = None
    """The development rows, on which candidates are compared."""
    budget: Rare[BudgetEntry | None] = None
    """Most that the search may cost; without it, the last candidates answer all development
    rows."""
    write: Rare[str | None] = None
    """Path of the file with the winner's shots, which ``shots: {file: …}`` can read."""
    seed: Usual[int] = 0
    """Random seed: the same number gives the same sample."""
    eta: Rare[int] = Field(default=3, ge=2)
    """One in this many candidates survives each rung, and answers this many times the rows."""


MOST_LAYOUTS = 1000
"""Most layouts of a template: each becomes a separate condition, which a model must answer; a
mistyped number would be larger."""


def _numbered(value: Any) -> Any:
    """Convert ``3`` to f0, f1 and f2; names, or a list of them, stay."""
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError("at least 1 is needed: 1 is the template as it is written")
        if value > MOST_LAYOUTS:
            raise ValueError(f"at most {MOST_LAYOUTS:,} layouts are compared; give fewer")
        return [f"f{number}" for number in range(value)]
    names = wrap_list(value)
    for name in names:
        if not re.fullmatch(r"f(0|[1-9]\d*)", str(name)):
            raise ValueError(f"{name!r} is no layout; accepted: a number of them, or f0, f1, …")
    return names


Layouts = Annotated[
    list[str],
    Field(min_length=1),
    BeforeValidator(_numbered, json_schema_input_type=int | str | list[str]),
]


class DataEntry(StrictEntry):
    """The place of a data set, and the names of its columns."""

    format: Basic[str] = ""
    """Reader of the data: ``jsonl``, ``lines``, ``hf`` …; for ``.csv .tsv .jsonl .json .parquet
    .xlsx`` what the path ends in."""
    path: Basic[str]
    """File or folder, relative to the experiment file; may hold {lang} {locale} {split}. For
    ``hf`` also an id of the hub."""
    fields: Usual[dict[str, str]] = {}
    """Template field -> column, column.key, or an expression in ``{{ }}``; empty takes every column
    under its own name."""
    answer: Basic[str | None] = None
    """Field that holds the right answer, or a list of them, or an expression in ``{{ }}``."""
    where: Usual[str | None] = None
    """Rows to use: an expression in ``{{ }}``, or a column of true and false."""
    id: Usual[str | None] = None
    """Column of the row's id; ``id`` if there is one, else the row's number from 0, which ``row``
    takes always."""
    gold: Usual[list[str]] = []
    """Further fields that give the answer away."""
    encoding: Rare[str] = "utf-8"
    """Encoding of a text file; a byte order mark decides where there is one."""
    delimiter: Rare[str | None] = Field(default=None, min_length=1, max_length=1)
    """Separator of the cells of ``csv`` and ``tsv``; by default guessed from the first lines."""
    quoting: Rare[Quoting | None] = None
    """Of ``csv`` and ``tsv``: ``minimal`` takes quotes off cells, ``none`` keeps them as text;
    guessed for ``tsv``."""
    at: Rare[str | None] = None
    """Of ``json``: the list of rows inside the file, as in ``data.rows``; of ``xlsx`` the sheet."""
    columns: Usual[list[str]] = []
    """Names of the columns of a table without a header, and of ``conll``; ``_`` skips one."""
    config: Usual[str | None] = None
    """For ``hf``: configuration (subset) of the data set."""
    revision: Rare[str | None] = None
    """Commit, tag or branch of a hub id; the newest by default."""
    cite: Rare[str | None] = None
    """Citation in reports: a known data set (``massive``, ``xcopa`` …), BibTeX text, a ``.bib``
    file, or ``none``; by default the one of its format."""

    @model_validator(mode="before")
    @classmethod
    def _read_by_suffix(cls, value: Any) -> Any:
        if not isinstance(value, dict) or "format" in value or "path" not in value:
            return value
        end = Path(str(value["path"]).removesuffix(".gz")).suffix.lower()
        if end not in SUFFIXES:
            raise ValueError(
                f"format is missing, and a path ending in {end or 'no suffix'!r} shows none; "
                f"write format:, or give a file that ends in {', '.join(SUFFIXES)}"
            )
        return {**value, "format": SUFFIXES[end]}

    @field_validator("delimiter")
    @classmethod
    def _between(cls, delimiter: str | None) -> str | None:
        if delimiter in ('"', "\n", "\r"):
            raise ValueError('no quote or line end can part cells; accepted: "," ";" "|" "\\t" …')
        return delimiter

    @field_validator("columns")
    @classmethod
    def _once(cls, columns: list[str]) -> list[str]:
        twice = [name for name in columns if name != "_" and columns.count(name) > 1]
        if twice:
            raise ValueError(f"{twice[0]!r} appears twice; write _ for a column to skip")
        return columns

    def spec(
        self,
        base: Path,
        locale: str | None = None,
        pair: tuple[str, str] | None = None,
        rows: RowsEntry | PoolEntry | DevEntry | None = None,
    ) -> DataSpec:
        """Make the reader's spec from the entry and the requested rows.

        Paths are relative to ``base``; for ``hf``, a name that is no path is an id of the hub.
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
            where=self.where,
            encoding=self.encoding,
            delimiter=self.delimiter,
            quoting=self.quoting,
            at=self.at,
            columns=tuple(self.columns),
            config=self.config,
            revision=self.revision,
            expressions=RowExpressions(),
        )


class PairEntry(StrictEntry):
    """Language pairs: every ``from`` with every ``to``."""

    from_: Basic[Words] = Field(alias="from")
    """Source languages, spelled as in the data set."""
    to: Basic[Words]
    """Target languages, spelled as in the data set."""


class LexiconEntry(StrictEntry):
    """A bilingual dictionary: a table of words and translations, or a dictd dictionary."""

    path: Basic[str]
    """File or folder, relative to the experiment file; may hold {lang} {locale} {split}. For
    ``hf`` also an id of the hub."""
    columns: Usual[list[str]] = []
    """Names of the columns of a table without a header, and of ``conll``; ``_`` skips one."""
    inflections: Usual[str | None] = None
    """Path of a UniMorph table, by which inflected words are looked up under their lemma."""
    through: Usual[str | None] = None
    """Dictionary into which the translations of this one are looked up: a pivot."""

    @field_validator("columns")
    @classmethod
    def _two(cls, columns: list[str]) -> list[str]:
        if columns and (columns.count("word"), columns.count("senses")) != (1, 1):
            raise ValueError("a dictionary has one column word and one column senses; name both")
        return columns


class _LookupEntry(StrictEntry):
    """The keys that say how words are looked up."""

    field: Usual[str | None] = None
    """The field whose words are looked up, or that the answer of ``source`` takes words from;
    the only text by default."""
    shortest_stem: Rare[int | None] = Field(default=None, ge=1)
    """Fewest letters of a word of the dictionary that a longer, unknown word may begin with; such
    words are not looked up by default."""
    seed: Usual[int] = 0
    """Random seed: the same number gives the same sample."""


class HintsEntry(_LookupEntry):
    """The dictionary hints of a task, which a template reads as ``{{ hints }}``."""

    lexicon: Basic[Words]
    """Name of a dictionary under ``lexicons``. Of several, ``dipmt`` takes the first that knows a
    word, ``cod`` goes on from one to the next."""
    senses: Usual[int] = Field(default=3, ge=1)
    """Most translations of a word."""
    skip_frequent: Usual[int] = Field(default=0, ge=0)
    """Number of most frequent words of the pool that get no hint."""
    in_shots: Usual[bool] = True
    """Whether shots have hints, too."""
    style: Usual[Literal["dipmt", "cod"]] = "dipmt"
    """``dipmt``: each word with its translations; ``cod``: a chain of one translation by each
    dictionary."""
    control: Usual[Literal["random", "hidden"] | None] = None
    """``random``: translations of other words in place of the right ones; ``hidden``: hints are
    looked up and counted, and not shown."""


class TranslateEntry(_LookupEntry):
    """The translation, word by word, of a field of the pool's rows."""

    lexicon: Basic[Words]
    """Name of a dictionary under ``lexicons``. Of several, ``dipmt`` takes the first that knows a
    word, ``cod`` goes on from one to the next."""
    into: Usual[str | None] = None
    """Field of the answer that the translation becomes; by default it takes the place of the
    text."""
    control: Usual[Literal["random"] | None] = None
    """``random``: translations of other words in place of the right ones; ``hidden``: hints are
    looked up and counted, and not shown."""


def _lexicon(value: Any) -> Any:
    return {"lexicon": value} if isinstance(value, str) else value


Translate = Annotated[
    TranslateEntry, BeforeValidator(_lexicon, json_schema_input_type=str | TranslateEntry)
]
Hinted = Annotated[HintsEntry, BeforeValidator(_lexicon, json_schema_input_type=str | HintsEntry)]
Lines = tuple[int, int]
SAME = "same"
"""The locale of a pool that is that of the rows; ``row`` says the same."""


def _same(value: Any) -> Any:
    """Read ``row``, the word that the other languages of a prompt have, as ``same``."""
    return [SAME if one == "row" else one for one in wrap_list(value)]


ShotLocales = Annotated[
    list[str],
    Field(min_length=1),
    BeforeValidator(_same, json_schema_input_type=str | list[str]),
]


class RowsEntry(StrictEntry):
    """The test rows of a task."""

    data: Basic[str]
    """Name of a data set; outside ``rows`` theirs by default."""
    locale: Basic[Words | None] = None
    """Locale of the rows, or ``all`` on disk, or a pattern (``*-IN``); each gives its own
    condition. For a pool also ``row``, that of the row."""
    pair: Basic[PairEntry | None] = None
    """Language pairs; each gives its own condition."""
    split: Basic[str | None] = None
    """Part of the data set, by its name."""
    lines: Basic[Lines | None] = None
    """First and last line, counted from 1, both included; for sets without splits."""
    n: Basic[int | None] = Field(default=None, ge=1)
    """Number of sampled rows, with the same ids in every locale; all rows by default."""
    seed: Usual[int] = 0
    """Random seed: the same number gives the same sample."""


class PoolEntry(StrictEntry):
    """The rows that shots are selected from; the pair is that of ``rows``."""

    data: Basic[str | None] = None
    """Name of a data set; outside ``rows`` theirs by default."""
    locale: Basic[ShotLocales] = [SAME]
    """Locale of the rows, or ``all`` on disk, or a pattern (``*-IN``); each gives its own
    condition. For a pool also ``row``, that of the row."""
    parallel: Rare[Literal["auto", "leave_out", "allow"]] = "auto"
    """Pool rows with the id of a test row: ``auto`` leaves out those of the same data set, in any
    locale; ``leave_out`` those of another data set too; ``allow`` keeps translations."""
    split: Basic[str | None] = None
    """Part of the data set, by its name."""
    lines: Basic[Lines | None] = None
    """First and last line, counted from 1, both included; for sets without splits."""
    n: Basic[int | None] = Field(default=None, ge=1)
    """Number of sampled rows, with the same ids in every locale; all rows by default."""
    seed: Usual[int] = 0
    """Random seed: the same number gives the same sample."""
    without: Rare[DevEntry | None] = None
    """Rows to leave out of the pool besides the test's: those by which a search chose."""
    translate: Usual[Translate | None] = None
    """Dictionary by which the rows of the pool are translated word by word."""


class SamplingEntry(StrictEntry):
    """Settings of text generation."""

    max_tokens: Basic[int] = Field(default=64, ge=1)
    """Most tokens of an answer."""
    temperature: Usual[float] = Field(default=0.0, ge=0)
    """Randomness of sampling; 0 always takes the most probable token."""
    top_p: Rare[float] = Field(default=1.0, gt=0, le=1)
    """Sample only from the most probable tokens that make up this share."""
    top_k: Rare[int] = Field(default=0, ge=0)
    """Sample only from this many most probable tokens; 0: all."""
    min_p: Rare[float] = Field(default=0.0, ge=0, le=1)
    """Sample only from tokens with at least this share of the most probable one's probability."""
    n: Usual[int] = Field(default=1, ge=1)
    """Outputs per prompt; the answer is the one that most of them give."""
    seed: Usual[int] = 0
    """Random seed: the same number gives the same sample."""
    thinking_tokens: Rare[int | None] = Field(default=None, ge=0)
    """Reasoning tokens, part of ``max_tokens``, after which the reasoning is closed."""

    @model_validator(mode="after")
    def _varied(self) -> SamplingEntry:
        if self.n > 1 and self.temperature == 0:
            raise ValueError(
                f"n is {self.n}, and at temperature 0 all outputs are the same; give a "
                "temperature such as 0.7"
            )
        return self


class ConstrainEntry(StrictEntry):
    """Form of a generated answer: one of the first three, or ``source`` with its options."""

    regex: Usual[str | None] = Field(default=None, min_length=1)
    """A regular expression that the whole answer matches; without look-around."""
    json_schema: Usual[str | dict[str, JsonValue] | None] = None
    """A JSON schema that the answer keeps, or the path of one."""
    grammar: Usual[str | None] = Field(default=None, min_length=1)
    """A grammar in Lark that the answer keeps, or the path of one."""
    field: Usual[str | None] = None
    """The field whose words are looked up, or that the answer of ``source`` takes words from;
    the only text by default."""
    names: Usual[Words | None] = None
    """For ``source``: names that marks may have; by default those of the marks in pool and rows."""
    written: Usual[Literal["marked", "json"] | None] = None
    """For ``source``: ``marked`` is the words with ``[name : words]`` among them, ``json`` an
    object of names, each with a list of words."""

    @model_validator(mode="after")
    def _one(self) -> ConstrainEntry:
        given = [name for name in type(self).model_fields if getattr(self, name) is not None]
        kinds = {name if name in _TEXTS else "source" for name in given}
        if len(kinds) != 1:
            raise ValueError(
                f"{' and '.join(given) or 'nothing'} is given; give one of regex, json_schema and "
                "grammar, or some of field, names and written for source"
            )
        return self

    @property
    def kind(self) -> Literal["regex", "json_schema", "grammar", "source"]:
        """Return the one key that is set."""
        if self.regex is not None:
            return "regex"
        if self.json_schema is not None:
            return "json_schema"
        return "grammar" if self.grammar is not None else "source"


_TEXTS = ("regex", "json_schema", "grammar")
Constrain = Annotated[
    Annotated[Literal["choice", "source"], Tag("word")] | Annotated[ConstrainEntry, Tag("form")],
    Discriminator(lambda given: "word" if isinstance(given, str) else "form"),
]


class TaskEntry(StrictEntry):
    """One task: its rows and prompt, and how it is answered and scored."""

    task: Basic[str]
    """Task of the model: ``intent``, ``translation``, ``classify`` …"""
    name: Usual[str | None] = Field(default=None, min_length=1, max_length=40)
    """Name of the experiment and its run folder, by default that of its file; of a task, its name
    in the column ``entry`` of tables."""
    prompt: Basic[Words]
    """Template: a file, or a name in the library; each of a list is tried."""
    rows: Basic[RowsEntry]
    """The test rows."""
    pool: Basic[PoolEntry | None] = None
    """The rows that shots come from."""
    method: Usual[Method | None] = None
    """``rank`` scores every choice, ``generate`` generates text and parses it, ``channel`` scores
    the input after every label (the noisy channel); the task's first by default."""
    parser: Rare[str | dict[str, Any] | None] = None
    """Parser that reads the answer from the generated text, the task's by default: a name, or
    ``{parser: regex, pattern: "answer is (.+)"}``."""
    metrics: Usual[list[str | dict[str, Any]] | None] = None
    """Metrics, the task's by default: names, ``{metric: bleu, tokenize: char}`` or ``{command: "…",
    name: comet}``."""
    calibrate: Usual[list[str | dict[str, Any]]] = []
    """Calibrators whose scores are shown next to the plain ones: names, or ``{calibrator: vote_mix,
    weight: 0.5}``; the additional prompts that they need are computed too."""
    sampling: Basic[SamplingEntry] = SamplingEntry()
    """Settings of text generation: how tokens are sampled, and how many."""
    constrain: Usual[Constrain | None] = None
    """Form of a generated answer: ``choice`` (one of the choices), ``source`` (the row's words with
    marks between them), ``{regex: …}``, ``{json_schema: …}`` or ``{grammar: …}``."""
    hints: Usual[Hinted | None] = None
    """Dictionary hints for the words of a row, which the template reads as ``hints``."""
    take: Usual[
        Literal["pool"]
        | Annotated[int, Field(ge=1, strict=True)]
        | Annotated[float, Field(gt=0, lt=1, strict=True)]
        | None
    ] = None
    """For ranked sets of labels, which ones are taken: a number (``2``), all above a share of the
    probability (``0.2``), or ``pool``, a threshold by which rows get as many as pool rows have;
    ``pool`` by default."""
    choice_end: Rare[Literal["template", "never"]] = "template"
    """``never`` leaves the terminator out, for comparison with other tools."""
    prompt_language: Usual[Words] = ["en"]
    """Language of the prompt's own words; ``row`` uses the row's locale."""
    label_language: Rare[Words | None] = None
    """Language of the label words, ``row`` for that of the rows; the prompt's by default."""
    layouts: Usual[Layouts] = ["f0"]
    """Layouts of the template (other separators, casing, spacing): their number, or their names; f0
    is the file as written."""

    @model_validator(mode="before")
    @classmethod
    def _new_keys(cls, value: Any) -> Any:
        check_keys("a task", value if isinstance(value, dict) else ())
        return value

    @property
    def data_sets(self) -> list[str]:
        """Names of the data sets of rows and pool, each once."""
        pool = self.pool.data if self.pool else None
        return list(dict.fromkeys([self.rows.data, pool or self.rows.data]))

    @property
    def lexicons(self) -> list[str]:
        """Names of the dictionaries of hints and pool, each once."""
        named = [*(self.hints.lexicon if self.hints else ())]
        if self.pool and self.pool.translate:
            named += self.pool.translate.lexicon
        return list(dict.fromkeys(named))


class ShotsEntry(BaseModel):
    """The number of shots and their selection; further keys are the selector's options."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    k: Basic[int | None] = Field(default=None, ge=0)
    """Number of shots per query; with a shot file all by default."""
    select: Basic[str] = "random"
    """Selector of the shots, with its options next to it: ``{select: bm25, ngrams: char}``."""
    file: Basic[str | None] = None
    """File of shots: rows written by hand, or ids of the pool, as JSON lines."""
    seed: Usual[int] = 0
    """Random seed: the same number gives the same sample."""
    seeds: Usual[list[int] | None] = None
    """Several random seeds; each gives its own condition."""
    order: Usual[Words] = ["selected"]
    """``selected`` puts the first selected shot first, ``reversed`` puts it nearest to the query;
    ``nearest_first`` and ``nearest_last`` go by score; ``random``; ``permutations`` are all of
    up to 5 shots, or ``p0``, ``p1`` … one of them. Each of a list is tried."""
    shown_labels: Usual[Literal["gold", "random", "flipped", "none"]] = "gold"
    """Labels shown with the shots: their own (``gold``), random ones, wrong ones (``flipped``), or
    none."""

    @model_validator(mode="before")
    @classmethod
    def _new_keys(cls, value: Any) -> Any:
        check_keys("shots", value if isinstance(value, dict) else ())
        return value

    @model_validator(mode="after")
    def _permutable(self) -> ShotsEntry:
        for problem in filter(None, (explain_misfit(order, self.k) for order in self.order)):
            raise ValueError(problem)
        return self


def _shots(value: Any) -> Any:
    return {"k": value} if isinstance(value, int) and not isinstance(value, bool) else value


Shots = Annotated[
    ShotsEntry, BeforeValidator(_shots, json_schema_input_type=NonNegativeInt | ShotsEntry)
]


def _word(value: Any) -> Any:
    """Convert a number to the word that tables print, so that ``baseline: 0`` works."""
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


class CompareEntry(StrictEntry):
    """The comparison after a run: conditions that differ in one setting only."""

    by: Usual[str]
    """The setting: ``prompt``, ``shots``, ``k``, ``select``, ``width``, …; of a report ``locale``,
    ``script``, ``family`` or ``genus``, or several of these."""
    baseline: Usual[
        Annotated[
            str | None, BeforeValidator(_word, json_schema_input_type=str | int | float | None)
        ]
    ] = None
    """The value to compare the others with; the first one by default."""


class ReportEntry(StrictEntry):
    """The slices that a run's table and page show: scores by a property of the locales."""

    by: Usual[
        Annotated[
            list[Literal["locale", "script", "family", "genus"]],
            Field(min_length=1),
            BeforeValidator(wrap_list, json_schema_input_type=str | list[str]),
        ]
    ]
    """The setting: ``prompt``, ``shots``, ``k``, ``select``, ``width``, …; of a report ``locale``,
    ``script``, ``family`` or ``genus``, or several of these."""
    reference: Usual[str | None] = None
    """Locale that slices are compared with; by default the English one, if there is one."""


NAME = r"^[\w][\w.-]*$"
NAME_TOLD = "accepted: letters, digits, and . - _ after the first, such as first-try"


class ExperimentEntry(StrictEntry):
    """The whole experiment file."""

    name: Basic[str | None] = Field(default=None, pattern=NAME)
    """Name of the experiment and its run folder, by default that of its file; of a task, its name
    in the column ``entry`` of tables."""
    base: Rare[str | None] = None
    """Folder that relative paths start from, relative to the file; by default the file's folder."""
    about: Rare[str] = ""
    """The purpose of the experiment, in words."""
    models: Basic[dict[str, dict[str, JsonValue]]] = Field(min_length=1)
    """The models by name, with the options of their engines."""
    data: Basic[dict[str, DataEntry]] = {}
    """The data sets by name, in addition to those that ship with icl."""
    words: Usual[str | None] = None
    """File with words of prompts in further languages, over those of the library."""
    labels: Usual[str | dict[str, str] | None] = None
    """File with names of labels in further languages, over those of the template; or a file for
    each table of labels: ``{massive/intents: my_labels.yaml}``."""
    lexicons: Usual[dict[str, LexiconEntry]] = {}
    """The bilingual dictionaries by name."""
    tasks: Basic[list[TaskEntry]] = Field(min_length=1)
    """The tasks: their rows, prompts, methods and metrics."""
    grid: Basic[dict[str, list[Any]]] = {}
    """The axes: every value of one is combined with every value of the others."""
    search: Usual[SearchEntry | None] = None
    """The search that ``icl run`` makes in place of the grid."""
    plugins: Rare[list[str]] = []
    """Modules that register plug-ins, by name or by path."""
    batch_size: Rare[int | None] = Field(default=None, ge=1)
    """Examples in a batch, the unit of commit; by default as many as fit into memory, up to 64.
    Better ``icl run --batch-size``, or a user's own ``config.yaml``."""
    compare: Usual[CompareEntry | None] = None
    """The comparison to make after a run."""
    report: Usual[ReportEntry | None] = None
    """The slices to show after a run and on its page."""

    @field_validator("grid")
    @classmethod
    def _some_of_each(cls, grid: dict[str, list[Any]]) -> dict[str, list[Any]]:
        for axis, values in grid.items():
            if not values:
                raise ValueError(f"{axis} has no value, so nothing would be run; give one")
        return grid


class ShotsHolder(StrictEntry):
    """One value of the axis ``shots``."""

    shots: Basic[Shots]
    """Number of shots, and their selection; a number alone is ``k``."""


def validate(kind: type[Any], value: Any, where: str) -> Any:
    """Validate ``value`` as an entry of type ``kind``.

    Raises:
        ConfigError: the first mistake, on one line that begins with ``where``.
    """
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        raise ConfigError(f"{where}: {_first_error(kind, error)}") from error


def _first_error(kind: type[BaseModel], error: ValidationError) -> str:
    """Describe the first of pydantic's errors on one line, with a guess at a mistyped key."""
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
    """Return the entry class of the key ``part`` of ``model``."""
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
