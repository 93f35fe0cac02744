"""What a reader thought of outputs: good, bad, or how it should have been; kept as JSON Lines.

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
    """A verdict on one output, with its provenance."""

    verdict: str
    """``good``, ``bad`` or ``corrected``."""
    id: str
    """Of the example."""
    fields: Mapping[str, Any]
    targets: Sequence[str]
    """Right answers that the data names."""
    prompt: str
    """As sent."""
    output: str
    """As generated; for ranking the label."""
    answer: str | None
    """The output as parsed; None where it could not be."""
    correction: str | None = None
    """What the answer should be."""
    request: str = ""
    """Hash of what was sent."""
    condition: str = ""
    """Fingerprint: weights, template, shots, sampling."""
    template: str = ""
    template_hash: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)
    """The engine's identity."""
    shots: Sequence[str] = ()
    """Ids of the shots sent."""
    when: str = ""
    """UTC, ISO 8601."""

    def __post_init__(self) -> None:
        if self.verdict not in get_args(Verdict):
            raise DataError(
                f"unknown verdict {self.verdict!r}{did_you_mean(self.verdict, get_args(Verdict))}"
            )
        if self.verdict == "corrected" and not (self.correction or "").strip():
            raise DataError("a corrected output needs the text that it should have been")

    @property
    def right(self) -> str | None:
        """The answer that a reader approved of; None where there is none."""
        return {"good": self.answer, "corrected": self.correction}.get(self.verdict)


def append(path: Path, feedback: Feedback) -> None:
    """Append one line, synced.

    Raises:
        StoreError: no room, or the file cannot be written.
    """
    kept_lines.append(path, feedback)


def read(path: Path) -> list[Feedback]:
    """All feedback of a file, in its order.

    Raises:
        DataError: not there, or a line is no feedback (file:line).
    """
    return kept_lines.read(path, Feedback, "feedback")


def collect_shots(given: Iterable[Feedback]) -> list[dict[str, Any]]:
    """Rows of a shot file: approved answers, the last verdict on a row, in the order first given.

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
    """Write a shot file; one that is there is not written over.

    Raises:
        DataError: there are no rows.
        StoreError: the file is there, or cannot be written.
    """
    if not rows:
        raise DataError("no output was called good or corrected yet, so there are no shots")
    kept_lines.write_new(path, rows, f"{path} is there already; give another name with -o")
