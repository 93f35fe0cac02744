"""The ``search:`` block of an experiment file, as pydantic checks it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeInt,
    model_validator,
)

__all__ = ["BudgetEntry", "DevEntry", "Entry", "OverEntry", "SearchEntry", "Words", "listed"]


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
