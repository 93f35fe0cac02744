"""The appendix of a report: every template, one prompt of each condition, the data's citations."""

from __future__ import annotations

from dataclasses import dataclass

from icl.experiment.settings import join_axes
from icl.records.results import ConditionResult, Run
from icl.scoring.checks import name_conditions

__all__ = ["Appendix", "SentPrompt", "TemplateSource", "make_appendix"]


@dataclass(frozen=True, slots=True)
class TemplateSource:
    """The text of a template file."""

    name: str
    language: str
    """Language tag of its words."""
    text: str


@dataclass(frozen=True, slots=True)
class SentPrompt:
    """One prompt as it was sent, with its condition and row."""

    condition: str
    """The condition's fingerprint."""
    title: str
    """The condition's values on the axes."""
    example: str
    """Id of the row."""
    text: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Appendix:
    """Templates, prompts and citations of a run."""

    templates: tuple[TemplateSource, ...]
    prompts: tuple[SentPrompt, ...]
    citations: tuple[tuple[str, str], ...]
    """(data set, BibTeX) of known citations; see :mod:`icl.data.citations`."""


def make_appendix(run: Run) -> Appendix:
    """Collect the templates, the prompt of each condition's first row, and the citations.

    Prompts are rendered again from the condition folders; conditions without records have none.

    Raises:
        StoreError: a condition folder is missing, or lacks an example.
    """
    templates: dict[tuple[str, str, str], TemplateSource] = {}
    prompts = []
    citations: dict[str, str] = {}
    names = name_conditions(run.conditions)
    for condition in run.conditions:
        citations |= condition.entry.cite
        if not condition.records:
            continue
        kept = condition.store.condition().template
        source = TemplateSource(kept.name, kept.language, kept.text)
        templates.setdefault((source.name, source.language, source.text), source)
        prompts.append(_first(condition, names[condition.entry.fingerprint]))
    return Appendix(tuple(templates.values()), tuple(prompts), tuple(citations.items()))


def _first(condition: ConditionResult, name: str) -> SentPrompt:
    record = next(iter(condition.records.values()))
    example = condition.examples[0]
    text = condition.sent(condition.prompt(record))
    title = name or join_axes(condition.axes, " · ")
    return SentPrompt(condition.entry.fingerprint, title, record.id, text, example.targets)
