"""Readers' verdicts on outputs (good, bad or corrected), as a file of JSON Lines.

A line holds the row, the exact prompt, the output, the verdict and where all of it came from, so
that later work can learn from it. :func:`collect_shots` makes a shot file of it, as
:mod:`icl.selectors.fixed` reads it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from icl.core.errors import DataError
from icl.core.registry import did_you_mean
from icl.core.types import Example
from icl.records import verdict_lines as kept_lines

__all__ = ["Feedback", "Verdict", "append", "read", "collect_shots", "write_shots"]


Verdict = Literal["good", "bad", "corrected"]


@dataclass(frozen=True)
class Feedback:
    """A reader's verdict on one output, with the prompt, output, model and template."""

    verdict: str
    """``good``, ``bad`` or ``corrected``."""
    id: str
    """Id of the example."""
    fields: Mapping[str, Any]
    targets: Sequence[str]
    """Right answers by the data."""
    prompt: str
    """The prompt as sent."""
    output: str
    """The generated text; for ranking, the label."""
    answer: str | None
    """The parsed output; None if it could not be parsed."""
    correction: str | None = None
    """The answer that the reader wrote; required if the verdict is ``corrected``."""
    request: str = ""
    """Hash of the request that was sent."""
    condition: str = ""
    """Fingerprint of weights, template, shots and sampling."""
    template: str = ""
    template_hash: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)
    """The engine's identity."""
    shots: Sequence[str] = ()
    """Ids of the shots sent."""
    when: str = ""
    """Time of the verdict: UTC, ISO 8601."""
    comment: str = ""
    """Remark of the reader, in any words."""

    def __post_init__(self) -> None:
        if self.verdict not in get_args(Verdict):
            raise DataError(
                f"unknown verdict {self.verdict!r}{did_you_mean(self.verdict, get_args(Verdict))}"
            )
        if self.verdict == "corrected" and not (self.correction or "").strip():
            raise DataError("a corrected output needs the text that it should have been")

    @property
    def right(self) -> str | None:
        """The answer that the reader approved or wrote; None for a bad output."""
        return {"good": self.answer, "corrected": self.correction}.get(self.verdict)


def append(path: Path, feedback: Feedback) -> None:
    """Append one verdict to a file, and sync it.

    Raises:
        StoreError: the disk is full, or the file cannot be written.
    """
    kept_lines.append(path, feedback)


def read(path: Path) -> list[Feedback]:
    """Read all verdicts of a file, in its order.

    Raises:
        DataError: the file is missing, or a line is not a verdict (named as file:line).
    """
    return kept_lines.read(path, Feedback, "feedback")


def collect_shots(given: Iterable[Feedback]) -> list[dict[str, Any]]:
    """Make the rows of a shot file from approved answers; the last verdict on a row counts.

    >>> good = Feedback("good", "7", {"q": "2+2"}, (), "2+2=", " 4", "4")
    >>> collect_shots([good])
    [{'fields': {'q': '2+2'}, 'target': '4'}]
    """
    last: dict[str, Feedback] = {}
    for one in given:
        last[Example(one.id, one.fields).content] = one
    return [
        {"fields": dict(one.fields), "target": one.right}
        for one in last.values()
        if one.right is not None
    ]


def write_shots(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a shot file; never overwrite an existing one.

    Raises:
        DataError: there are no rows.
        StoreError: the file exists, or cannot be written.
    """
    if not rows:
        raise DataError("no output was judged good or corrected yet, so there are no shots")
    kept_lines.write_new(path, rows, f"{path} exists already; give another name with -o")
