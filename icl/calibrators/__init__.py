"""The base class of calibrators, which correct a ranking after the fact.

A calibrator turns the log-probabilities of the choices into other scores, using only
records. Prompts that it needs in addition to the test rows are probes: the model answers them once,
and the answers are saved.
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
    """An additional prompt to be ranked, from which a calibrator learns."""

    role: Literal["content_free", "domain"]
    """``content_free``: a row with meaningless content, sent with the query's shots.
    ``domain``: a text that replaces the whole prompt."""
    fields: Mapping[str, JSON]
    """Fields of the row; for ``domain`` only ``text``."""


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """A model's rankings of some rows, as parallel sequences with one entry for each row."""

    logprobs: Sequence[Floats]
    """Natural-log probability of each choice.  # (choices,)"""
    labels: Sequence[tuple[str, ...]]
    """Label of each choice."""
    texts: Sequence[tuple[str, ...]]
    """Text of each choice, without the terminator."""
    tokens: Sequence[tuple[int, ...]]
    """Number of scored tokens of each choice, with its terminator."""
    votes: Sequence[tuple[str, ...]]
    """Labels of the shots sent."""
    shared: bool = True
    """Whether all rows have the same choices."""
    gold: Sequence[tuple[str, ...]] = ()
    """Right answers; set only for pool rows, never for test rows."""
    probes: Sequence[Sequence[Floats]] = ()
    """Log-probabilities of the row's choices after each of its probes."""
    pool: Answers | None = None
    """Answers to pool rows, each with shots from the rest of the pool."""
    pool_labels: Mapping[str, int] = field(default_factory=dict)
    """Label -> number of pool rows with it."""


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedScores:
    """Corrected scores of the choices of every row."""

    scores: Sequence[Floats]
    """The largest is the answer; their softmax is the calibrated distribution.  # (choices,)"""
    fitted: str = ""
    """Values fitted to data, for the signature: ``weight=0.4``."""
    warnings: tuple[str, ...] = ()
    """Warnings where an assumption of the calibrator does not hold."""
    confidence: Floats | None = None
    """Confidence of the answer in scope, where rows may be out of scope; else None.  # (rows,)"""
    outside: str = ""
    """Label of rows out of scope, where ``confidence`` is given."""


@dataclass(frozen=True)
class Calibrator(ABC):
    """Base of all calibrators; the dataclass fields of a subclass are its options in YAML."""

    name: ClassVar[str]
    """The registered name."""
    assumes: ClassVar[str] = "not stated"
    """The assumption under which it helps, in one line."""
    hurts: ClassVar[str] = "not stated"
    """A case where it was observed to hurt, in one line."""
    instead_of_pool: ClassVar[str] = "weight: 0.5"
    """The option that makes pool rows unnecessary, as written in its entry."""
    compares_rows: ClassVar[bool] = False
    """Whether it corrects a row by other rows, so that a single row cannot be calibrated."""

    @property
    def pool_rows(self) -> int:
        """Number of pool rows to be answered, each with shots from the rest of the pool."""
        return 0

    def probes(self, example: Example, template: Template) -> Sequence[Probe]:
        """Return the additional prompts that a test row needs; equal ones are ranked only once."""
        return ()

    @abstractmethod
    def calibrate(self, answers: Answers) -> CalibratedScores:
        """Compute the corrected scores of every row.

        Raises:
            CalibrationError: the answers lack something that it needs; the message says what and
                why.
        """

    def settings(self) -> str:
        """Write name and options as in a score's signature; empty options are left out."""
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
    """Return the fields of a row with its content replaced by ``text``.

    Only fields that the template reads are included. The replaced fields are ``names``, or by
    default
    all texts that the query's part of the template reads, except the row's own choices.

    Raises:
        CalibrationError: a name is not a field of the row, or no field holds text.
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
    """Construct a calibrator from its entry under ``calibrate:``, with its name in scores.

    An entry is a registered name, or ``{calibrator: vote_mix, n: 100}`` with options; its optional
    key ``name`` gives another name for scores, such as ``accuracy+third``.

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
    """Construct the calibrators of all entries, by name; see :func:`make_calibrator`.

    Raises:
        ConfigError: as :func:`make_calibrator`, or two have the same name.
    """
    made: dict[str, Calibrator] = {}
    for entry in entries:
        name, calibrator = make_calibrator(entry, where)
        if name in made:
            raise ConfigError(f"{where}: {name!r} appears twice; give one of them another `name:`")
        made[name] = calibrator
    return made
