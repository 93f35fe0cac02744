"""Domain-conditional PMI (Holtzman et al. 2021, arXiv 2104.08315), against surface competition."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

from icl.calibrators import Answers, CalibratedScores, Calibrator, Probe, empty_content
from icl.core.errors import CalibrationError, ConfigError
from icl.core.types import Example
from icl.prompts.template import Template

__all__ = ["PMI"]


@dataclass(frozen=True)
class PMI(Calibrator):
    """Log-probability minus the log-probability after only the domain premise.

    The premise is what the template puts between the row's text and the answer (``Intent:``), sent
    without instruction and shots, or the text given as ``premise``.
    """

    name = "pmi"
    assumes = "a choice is likely after the bare premise for its wording, not for being right"
    hurts = "ARC-Easy 73.5 to 63.3 %, where OpenBookQA rose from 33.2 to 58.0 (Holtzman 2021)"
    premise: str | None = None
    fields: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.premise is not None and (
            not isinstance(self.premise, str) or not self.premise.strip()
        ):
            raise ConfigError(f'pmi: premise is {self.premise!r}; give a text such as "Intent:"')

    def probes(self, example: Example, template: Template) -> Sequence[Probe]:
        """Return the premise as the only probe.

        Raises:
            CalibrationError: the template ends with the row's text, so there is no premise.
        """
        text = self.premise or self._tail(example, template)
        return [Probe("domain", {"text": text})]

    def _tail(self, example: Example, template: Template) -> str:
        """Return the end of the query that does not depend on the row's text."""
        made = []
        for text in ("a", "b"):
            fields = empty_content(example, template, text, self.fields)
            made.append(template.prompt(Example(example.id, fields, meta=example.meta)).query)
        tail = os.path.commonprefix([query[::-1] for query in made])[::-1].lstrip()
        if not tail:
            raise CalibrationError(
                f"the query of {template.name} ends with the row's own text, so nothing is left "
                'for a domain premise; give one, as in {calibrator: pmi, premise: "The answer is"}'
            )
        return tail

    def calibrate(self, answers: Answers) -> CalibratedScores:
        """Compute log P(y|x) - log P(y|premise) for each choice."""
        pairs = zip(answers.logprobs, answers.probes, strict=True)
        return CalibratedScores([logprobs - probes[0] for logprobs, probes in pairs])
