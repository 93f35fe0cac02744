"""Plug-ins that correct a ranking after the fact: one calibrator is one file with one class.

A calibrator turns the log-probabilities of the choices into other scores, from records alone. What
it needs beside the test rows it asks for as probes: these are answered once and kept.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar, Literal

from icl.core.errors import CalibrationError, ConfigError
from icl.core.probabilities import Floats
from icl.core.registry import construct, did_you_mean
from icl.core.types import JSON, Example
from icl.prompts.template import Template

__all__ = [
    "Answers",
    "CalibratedScores",
    "Calibrator",
    "Floats",
    "Probe",
    "empty_content",
    "make_calibrator",
    "make_calibrators",
]


@dataclass(frozen=True, slots=True)
class Probe:
    """A prompt to be ranked beside those of the test rows."""

    role: Literal["content_free", "domain"]
    """``content_free``: the fields of a row that says nothing, sent with the query's shots.
    ``domain``: a text alone, in the place of the whole prompt."""
    fields: Mapping[str, JSON]
    """Fields of the row; for ``domain`` just ``text``."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a model said of some rows: sequences that run parallel, one entry a row."""

    logprobs: Sequence[Floats]
    """Natural-log probability of each choice.  # (choices,)"""
    labels: Sequence[tuple[str, ...]]
    """Label of each choice."""
    texts: Sequence[tuple[str, ...]]
    """Text of each choice, without the terminator."""
    tokens: Sequence[tuple[int, ...]]
    """Tokens scored of each choice, its terminator included."""
    votes: Sequence[tuple[str, ...]]
    """Labels of the shots sent."""
    shared: bool = True
    """Whether all rows have the same choices."""
    gold: Sequence[tuple[str, ...]] = ()
    """Right answers; only of pool rows, never of test rows."""
    probes: Sequence[Sequence[Floats]] = ()
    """Log-probabilities of the row's choices under each of its probes."""
    pool: Answers | None = None
    """Pool rows answered with the shots they get when they are left out of the pool."""
    pool_labels: Mapping[str, int] = field(default_factory=dict)
    """Label -> how often it stands in the pool."""


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedScores:
    """Corrected scores of the choices of every row."""

    scores: Sequence[Floats]
    """The largest wins; their softmax is the calibrated distribution.  # (choices,)"""
    fitted: str = ""
    """What was chosen from data, for the signature: ``weight=0.4``."""
    warnings: tuple[str, ...] = ()
    """Where what the calibrator assumes does not hold."""


@dataclass(frozen=True)
class Calibrator(ABC):
    """Base of all calibrators; the dataclass fields of a subclass are its options in YAML."""

    name: ClassVar[str]
    """The registered name."""
    assumes: ClassVar[str] = "not stated"
    """What must hold for it to help, in one line."""
    hurts: ClassVar[str] = "not stated"
    """Where it was seen to hurt, in one line."""
    compares_rows: ClassVar[bool] = False
    """Whether it corrects a row by the other ones, so that one row alone cannot be calibrated."""

    @property
    def pool_rows(self) -> int:
        """Pool rows that are to be answered, each left out of its own pool."""
        return 0

    def probes(self, example: Example, template: Template) -> Sequence[Probe]:
        """The prompts to be ranked beside that of a test row; equal ones are asked once."""
        return ()

    @abstractmethod
    def calibrate(self, answers: Answers) -> CalibratedScores:
        """The corrected scores of every row.

        Raises:
            CalibrationError: the answers lack what it needs; the message says what and why.
        """

    def settings(self) -> str:
        """Name and options as a signature shows them; what is not given is left out."""
        given = {spec.name: getattr(self, spec.name) for spec in fields(self)}
        shown = [
            f"{name}:{','.join(map(repr, value)) if isinstance(value, tuple) else value}"
            for name, value in given.items()
            if value not in (None, ())
        ]
        return "|".join([f"calibrator:{self.name}", *shown])


def empty_content(
    example: Example, template: Template, text: str, names: Sequence[str] = ()
) -> dict[str, JSON]:
    """The fields of a row whose content is replaced by ``text``.

    Only fields that the template reads are kept. Replaced are ``names``, or else all texts that
    the query's half reads but the row's own choices.

    Raises:
        CalibrationError: a name is no field of the row, or no field holds text.
    """
    file = template.file
    asked = set((file.query or file.input).names)
    own = set(file.head.choices)
    reads = own.union(asked, *(h.names for h in (file.instruction, file.system) if h is not None))
    kept = {name: value for name, value in example.fields.items() if name in reads}
    for name in names:
        if name not in kept:
            raise CalibrationError(
                f"fields: {name!r} is no field that {template.name} reads{did_you_mean(name, kept)}"
            )
    found = names or [n for n in kept if n in asked - own and isinstance(kept[n], str)]
    if not found:
        raise CalibrationError(
            f"{template.name} reads no text field of the row that could be made free of content; "
            "name one under `fields:`"
        )
    return kept | dict.fromkeys(found, text)


def make_calibrator(
    entry: str | Mapping[str, Any], where: str = "calibrate"
) -> tuple[str, Calibrator]:
    """The name behind the ``+`` of a score and its calibrator, of an entry under ``calibrate:``.

    An entry is a registered name, or ``{calibrator: vote_mix, n: 100}`` with options, where
    ``name`` calls it something else.

    >>> name, made = make_calibrator({"calibrator": "vote_mix", "weight": 0.3, "name": "third"})
    >>> name, made.settings()
    ('third', 'calibrator:vote_mix|weight:0.3|n:50')

    Raises:
        ConfigError: unknown name or option, or a value out of range.
    """
    options = {"calibrator": entry} if isinstance(entry, str) else dict(entry)
    kind, title = options.pop("calibrator", None), options.pop("name", None)
    titled = title is None or (isinstance(title, str) and title and not {*title} & set("+@/|"))
    if not isinstance(kind, str) or not titled:
        raise ConfigError(
            f"{where}: a calibrator is a name or {{calibrator: NAME, OPTION: …}}, with a `name:` "
            f"without + @ / | if wanted; this is {entry!r}"
        )
    made: Calibrator = construct("calibrator", kind, options, where)
    return title or kind, made


def make_calibrators(
    entries: Sequence[str | Mapping[str, Any]], where: str = "calibrate"
) -> dict[str, Calibrator]:
    """Name -> calibrator of every entry; see :func:`make`.

    Raises:
        ConfigError: as :func:`make`, or a name stands twice.
    """
    made: dict[str, Calibrator] = {}
    for entry in entries:
        name, calibrator = make_calibrator(entry, where)
        if name in made:
            raise ConfigError(f"{where}: {name!r} stands twice; give one a `name:` of its own")
        made[name] = calibrator
    return made
