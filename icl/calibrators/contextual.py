"""Contextual calibration (Zhao et al. 2021, arXiv 2102.09690): divide by content-free inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from icl.calibrators import Answers, CalibratedScores, Calibrator, Probe, empty_content
from icl.core.errors import ConfigError
from icl.core.probabilities import normalise
from icl.core.types import Example
from icl.prompts.template import Template

__all__ = ["Contextual"]


@dataclass(frozen=True)
class Contextual(Calibrator):
    """Probability divided by the probability after inputs without content.

    The probabilities after all ``inputs`` are averaged, as in the authors' code, before they are
    normalised: W = diag(p_cf)^-1, b = 0.
    """

    name = "contextual"
    assumes = "after an input without content all labels should be equally likely"
    hurts = "GPT-2 XL on CB without shots: 44.6 to 17.9 % (Zhao 2021); 'N/A' may mean something"
    inputs: tuple[str, ...] = ("N/A", "", "[MASK]")
    fields: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name in ("inputs", "fields"):
            given = getattr(self, name)
            if not isinstance(given, tuple) or not all(isinstance(one, str) for one in given):
                raise ConfigError(f"contextual: {name} is {given!r}; give a list of texts")
        if not self.inputs or len(set(self.inputs)) < len(self.inputs):
            raise ConfigError(
                "contextual: inputs must be one or more different texts, as in "
                '["N/A", "", "[MASK]"]'
            )

    def probes(self, example: Example, template: Template) -> Sequence[Probe]:
        """Return the row once for each input, which replaces its content; the shots stay."""
        return [
            Probe("content_free", empty_content(example, template, text, self.fields))
            for text in self.inputs
        ]

    def calibrate(self, answers: Answers) -> CalibratedScores:
        """Compute log p(y|x) - log p_cf(y) for each choice."""
        scores = []
        for logprobs, probes in zip(answers.logprobs, answers.probes, strict=True):
            mean = np.logaddexp.reduce(np.array(probes), axis=0) - np.log(len(probes))
            scores.append(normalise(logprobs) - normalise(mean))
        return CalibratedScores(scores)
