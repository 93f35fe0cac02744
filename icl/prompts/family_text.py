"""Text conventions of a model family: a prefix for every prompt, and a sign for line breaks.

AlexaTM 20B needs ``[CLM] `` in front of prompts and its tokenizer drops line breaks, for which its
authors wrote ``<br>`` (Soltan et al. 2022, arXiv 2208.01448); T5 has task prefixes (Raffel et al.
2020) and UL2 mode tokens (Tay et al. 2022, arXiv 2205.05131).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from icl.core.errors import ModelError
from icl.core.types import JSON, OnToken

__all__ = ["LineBreakStream", "Wording"]


@dataclass(frozen=True, slots=True)
class Wording:
    r"""Conversion of texts to the form that a model family expects, and back.

    >>> alexa = Wording("[CLM] ", "<br>")
    >>> alexa.prompt("one\ntwo"), alexa.text(" set\n"), alexa.back("a<br>b")
    ('[CLM] one<br>two', ' set<br>', 'a\nb')
    """

    prefix: str = ""
    """Text before every prompt."""
    newline: str | None = None
    """Text that replaces each line break of prompts and choices; None keeps line breaks."""

    def check(self, source: str) -> Wording:
        """Return this object if its options are valid.

        Raises:
            ModelError: an option is not; the message names it, its value and what is accepted.
        """
        if not isinstance(self.prefix, str):
            raise ModelError(
                f"prefix of model {source!r} is {self.prefix!r}; give the text before "
                'every prompt, in quotes: prefix: "[CLM] "'
            )
        if self.newline is not None and (not isinstance(self.newline, str) or not self.newline):
            raise ModelError(
                f"newline of model {source!r} is {self.newline!r}; give the text that replaces "
                'a line break, such as newline: "<br>", or leave it out'
            )
        return self

    def prompt(self, text: str) -> str:
        """Convert a prompt to the text that is sent."""
        return self.prefix + self.text(text)

    def text(self, text: str) -> str:
        """Convert a choice or a part of a prompt to the text that is sent."""
        return text if self.newline is None else text.replace("\n", self.newline)

    def back(self, text: str) -> str:
        """Restore the line breaks of an output."""
        return text if self.newline is None else text.replace(self.newline, "\n")

    def stops(self, stops: Sequence[str]) -> tuple[str, ...]:
        """Return stop strings both as the model writes them and as given."""
        return tuple(dict.fromkeys([*map(self.text, stops), *stops]))

    def identity(self) -> dict[str, JSON]:
        """Return the options that are set, for fingerprints; empty if none are."""
        set_here = {"prefix": self.prefix or None, "newline": self.newline}
        return {name: value for name, value in set_here.items() if value is not None}


class LineBreakStream:
    r"""A callback that restores line breaks in streamed text, and holds back an incomplete sign.

    >>> said = []
    >>> heard = LineBreakStream(Wording(newline="<br>"), lambda index, text: said.append(text))
    >>> for piece in ("a<", "br>b", "<"):
    ...     heard(0, piece)
    >>> heard.close(0)
    >>> said
    ['a', '\nb', '<']
    """

    def __init__(self, wording: Wording, on_token: OnToken) -> None:
        self._wording = wording
        self._on_token = on_token
        self._held: dict[int, str] = {}

    def __call__(self, index: int, text: str) -> None:
        """Receive the next piece of the output of a prompt."""
        sign = self._wording.newline or ""
        text = self._wording.back(self._held.get(index, "") + text)
        sizes = range(min(len(sign) - 1, len(text)), 0, -1)
        cut = len(text) - next((size for size in sizes if sign.startswith(text[-size:])), 0)
        self._held[index] = text[cut:]
        if text[:cut]:
            self._on_token(index, text[:cut])

    def close(self, index: int) -> None:
        """Emit the text held back for a prompt whose output is complete."""
        if rest := self._held.pop(index, ""):
            self._on_token(index, rest)
