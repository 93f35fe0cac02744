"""What an appendix holds: every template, one prompt of each condition, the data's sources."""

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
    """Of its words, as a tag."""
    text: str


@dataclass(frozen=True, slots=True)
class SentPrompt:
    """One prompt as it was sent."""

    condition: str
    """Fingerprint."""
    title: str
    """The condition's axes."""
    example: str
    """Id of the row asked."""
    text: str
    targets: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Appendix:
    """Templates, prompts and citations of a run."""

    templates: tuple[TemplateSource, ...]
    prompts: tuple[SentPrompt, ...]
    citations: tuple[tuple[str, str], ...]
    """(data set, BibTeX) of those that are known; see :mod:`icl.data.citations`."""


def make_appendix(run: Run) -> Appendix:
    """Templates once each, the prompt of each condition's first row, the data sets' citations.

    Prompts are rendered again from the condition folders; conditions without records have none.

    Raises:
        StoreError: a condition folder is gone, or lacks an example.
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
