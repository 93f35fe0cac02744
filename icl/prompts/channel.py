"""The noisy channel method: the prompt names each label in turn, and the input is scored.

Direct ranking computes log P(label | input), the channel log P(input | label), with shots in
the same direction: label first, then the input (Min et al. 2022, arXiv 2108.04106). Since the
same input is scored for every label, no label is favoured by its length or its frequency.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from icl.core.errors import TemplateError
from icl.core.types import Choice, Example, Prompt, Shot
from icl.prompts.choices import LABELS, ROW, check_choices
from icl.prompts.template import Template

__all__ = ["Channel"]


@dataclass(frozen=True)
class Channel:
    r"""A template in the noisy-channel direction, given by its ``[[channel]]`` section.

    >>> channel = Channel(load_template("sentiment/channel"))           # doctest: +SKIP
    >>> channel.choices()[0]                                             # doctest: +SKIP
    Choice(label='positive', text='Sentiment: positive\nText:', end='')
    """

    template: Template
    given: str = ""
    """The label's text that ends the prompt, from :meth:`choices`."""

    @property
    def name(self) -> str:
        """The template's name."""
        return self.template.name

    def check(self) -> Channel:
        """Return this channel if its template has a ``[[channel]]`` section.

        Raises:
            TemplateError: it has none; the message shows how to write one.
        """
        if self.template.file.given is None:
            read = self.template.file.kind.variable or "label"
            raise TemplateError(
                f"{self.template.file.path}: no [[channel]] section, which method: channel needs; "
                "it gives the label and scores the input, as in "
                f"`Intent: {{{{ {read} }}}}\\nUtterance:||| {{{{ utt }}}}`"
            )
        return self

    def choices(self, example: Example | None = None) -> list[Choice]:
        """Return every label with its text in the prompt; for a ``choose`` template the row's own.

        Raises:
            ChoiceError: fewer than two labels, or two with the same text.
        """
        template = self.template
        if template.file.kind.labels == "row":
            if example is None:
                raise AssertionError("the choices of such a template are in the row")
            where, remedies = f"{template.name}: example {example.id!r}", ROW
        else:
            where, remedies = template.name, LABELS
        row = example or Example("", {})
        made = [Choice(label, template.given(row, label)) for label in template.label_set(row)]
        return check_choices(made, where, remedies)

    def prompt(
        self, example: Example, shots: Sequence[Shot] = (), keep: int | None = None
    ) -> Prompt:
        """Render the prompt that ends with one label's text, :attr:`given`.

        Args:
            example: the query; its input is not in the prompt.
            shots: shown with label and input, in this order.
            keep: ignored; :func:`icl.prompts.truncation.fit` passes it, and nothing can shrink
                here.

        Raises:
            TemplateError: a shot has no label.
        """
        template = self.template
        whole = template.prompt(example, keep=keep)  # instruction, system, separator, names
        parts = []
        for shot in shots:
            label = template.shown_label(shot)
            if label is None:
                raise TemplateError(
                    f"{template.name}: example {shot.example.id!r} has no label to be given, so "
                    "it cannot be a shot of the noisy channel; leave it out of the pool"
                )
            parts.append((template.given(shot.example, label), template.scored(shot.example)))
        return replace(
            whole,
            query=self.given,
            shots=tuple(parts),
            stop=(),
            shot_ids=tuple(shot.example.id for shot in shots),
        )

    def scored(self, example: Example) -> Choice:
        """Return the continuation that is scored for every label: the input of an example.

        Raises:
            TemplateError: it is empty, so there is nothing to score.
        """
        text = self.template.scored(example)
        if not text.strip():
            raise TemplateError(
                f"{self.name}: example {example.id!r} has an empty input, and the noisy channel "
                "scores the input; leave the row out"
            )
        return Choice("", text)
