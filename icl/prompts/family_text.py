"""What a model family wants written otherwise: a text before every prompt, a sign for line breaks.

AlexaTM 20B is told its mode by ``[CLM] `` and its tokenizer drops line breaks, for which its
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
    r"""How texts are written for a model, and read back.

    >>> alexa = Wording("[CLM] ", "<br>")
    >>> alexa.prompt("one\ntwo"), alexa.text(" set\n"), alexa.back("a<br>b")
    ('[CLM] one<br>two', ' set<br>', 'a\nb')
    """

    prefix: str = ""
    """Put before every prompt, as it is."""
    newline: str | None = None
    """Stands for each line break of prompts and choices; None: line breaks are sent."""

    def check(self, source: str) -> Wording:
        """Itself, if its parts can be used.

        Raises:
            ModelError: naming the option, its value and what is accepted.
        """
        if not isinstance(self.prefix, str):
            raise ModelError(
                f"prefix of model {source!r} is {self.prefix!r}; give the text that goes before "
                'every prompt, in quotes: prefix: "[CLM] "'
            )
        if self.newline is not None and (not isinstance(self.newline, str) or not self.newline):
            raise ModelError(
                f"newline of model {source!r} is {self.newline!r}; give the text that stands for "
                'a line break, such as newline: "<br>", or leave it out'
            )
        return self

    def prompt(self, text: str) -> str:
        """A prompt as it is sent."""
        return self.prefix + self.text(text)

    def text(self, text: str) -> str:
        """A choice or a part of a prompt as it is sent."""
        return text if self.newline is None else text.replace("\n", self.newline)

    def back(self, text: str) -> str:
        """An output with line breaks again."""
        return text if self.newline is None else text.replace(self.newline, "\n")

    def stops(self, stops: Sequence[str]) -> tuple[str, ...]:
        """Stop strings as the model writes them, and as they are."""
        return tuple(dict.fromkeys([*map(self.text, stops), *stops]))

    def identity(self) -> dict[str, JSON]:
        """What of this is set, for fingerprints; nothing where nothing is."""
        set_here = {"prefix": self.prefix or None, "newline": self.newline}
        return {name: value for name, value in set_here.items() if value is not None}


class LineBreakStream:
    r"""Hands streamed text on with line breaks, keeping back what may begin the sign for one.

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
        """Take a piece of the output of a prompt."""
        sign = self._wording.newline or ""
        text = self._wording.back(self._held.get(index, "") + text)
        sizes = range(min(len(sign) - 1, len(text)), 0, -1)
        cut = len(text) - next((size for size in sizes if sign.startswith(text[-size:])), 0)
        self._held[index] = text[cut:]
        if text[:cut]:
            self._on_token(index, text[:cut])

    def close(self, index: int) -> None:
        """The output is complete: give out what was kept back."""
        if rest := self._held.pop(index, ""):
            self._on_token(index, rest)
