"""The properties of each kind of task (its labels, methods, parser, metrics), in one table.

Other modules read the table instead of comparing names. A kind is known by the registered task of
the same name, so a new one is one file in ``tasks/``: its :class:`Kind`, its task, and
whatever parser or metric it needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from icl.core.errors import ConfigError
from icl.core.registry import did_you_mean, lookup, names
from icl.core.types import Baseline, Method

__all__ = ["Kind", "Labels", "kind_of", "kinds", "learn_kinds", "told_kinds"]


Labels = Literal["shared", "row"]
"""Source of a task's labels: one table for all rows, or the row itself."""


@dataclass(frozen=True, slots=True)
class Kind:
    """The properties of a kind of task, as plain values that can be sent to another process.

    >>> Kind("classify", labels="shared").variable
    'label'
    """

    name: str
    """Name under ``task:`` in the front matter of a template."""
    labels: Labels | None = None
    """Source of the labels: a table that all rows share (``shared``), the choices of each row
    (``row``), or None for free text."""
    gold: Literal["text", "items", "set", "spans"] = "text"
    """Form of the answer field of a row: a text; fields and items that are compared as JSON (these
    need a ``label_field``); a set of labels, all of which are right; or the slots of a text (these
    need a ``text_field``, too)."""
    methods: tuple[Method, ...] = ("generate",)
    """Ways of answering, the default first; see :class:`icl.tasks.Task`."""
    parser: str = "first_line"
    """Registered name of the parser of generated text."""
    metrics: tuple[str, ...] = ("exact_match",)
    """Registered names of metrics, the primary one first."""
    baselines: tuple[Baseline, ...] = ()
    """Names from :data:`icl.tasks.baselines.BASELINES`."""
    needs_stop: bool = False
    """Whether only a stop string marks the end of an answer; lint warns about a template without
    one."""
    samples: str = ""
    """Shipped data set for trying out a template of this kind; empty if there is none."""
    starter: str = ""
    """Library template that the workbench opens for rows of this kind; if empty, it opens a simple
    template of another kind to start from.
    """

    @property
    def variable(self) -> str | None:
        """Variable through which a template reads each label in turn; None for free text."""
        return None if self.labels is None else {"shared": "label", "row": "choice"}[self.labels]


_learnt: dict[str, Kind] = {}
"""Kinds passed to :func:`learn_kinds`; empty in every process that can import the tasks."""


def kind_of(name: str) -> Kind:
    """Return the kind called ``name``.

    Raises:
        ConfigError: no kind has this name; the message lists those there are.
    """
    if name in _learnt:
        return _learnt[name]
    if name in names("task"):
        kind: Kind = lookup("task", name).kind
        if kind.name == name:
            return kind
    raise ConfigError(f"unknown kind of task {name!r}{did_you_mean(name, kinds())}")


def kinds() -> dict[str, Kind]:
    """Return all kinds by name, sorted by name."""
    if _learnt:
        return dict(_learnt)
    found: dict[str, Kind] = {name: lookup("task", name).kind for name in names("task")}
    return {name: kind for name, kind in found.items() if kind.name == name}


def learn_kinds(told: Iterable[Mapping[str, Any]]) -> None:
    """Register kinds in a process that renders templates and cannot import their tasks.

    Args:
        told: the values of each kind, from :func:`told_kinds`, perhaps sent as JSON.
    """
    for values in told:
        plain: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in values.items()
        }
        _learnt[str(plain["name"])] = Kind(**plain)


def told_kinds() -> list[dict[str, Any]]:
    """Return all kinds as plain values that :func:`learn_kinds` accepts."""
    return [asdict(kind) for kind in kinds().values()]
