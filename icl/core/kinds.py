"""What a kind of task decides, as one table that every room reads instead of comparing names.

A kind is known by the registered task of its own name, so a new one is one file in ``tasks/``: its
:class:`Kind`, the task made of it, and whatever parser or metric it needs.
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
"""Where the labels of a task come from: a table that all rows share, or the row itself."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of task; plain values alone, so that another process can be told of it.

    >>> Kind("classify", labels="shared").variable
    'label'
    """

    name: str
    """What a template's front matter writes under ``task:``."""
    labels: Labels | None = None
    """Whether an answer is one of the labels that all rows share (``shared``), one of the choices
    that its row brings along (``row``), or free text (None)."""
    gold: Literal["text", "items", "set"] = "text"
    """Whether the answer field of a row holds text, or the fields and items that are compared as
    JSON (these need a ``label_field``), or a set of the labels, all of which are right."""
    methods: tuple[Method, ...] = ("generate",)
    """Ways of answering, the default first; see :class:`icl.tasks.Task`."""
    parser: str = "first_line"
    """Registered name of the parser of generated text."""
    metrics: tuple[str, ...] = ("exact_match",)
    """Registered names, the primary one first."""
    baselines: tuple[Baseline, ...] = ()
    """Names of :data:`icl.tasks.baselines.BASELINES`."""
    needs_stop: bool = False
    """Whether only a stop string tells where an answer ends; a template without is a mistake."""
    samples: str = ""
    """Shipped data set on which a template of this kind is tried; empty where there is none."""
    starter: str = ""
    """Template of the library that the workbench opens for rows of this kind; empty: a plain one
    of another kind, to be written over."""

    @property
    def variable(self) -> str | None:
        """What a target half reads that is rendered with every label; None for free text."""
        return None if self.labels is None else {"shared": "label", "row": "choice"}[self.labels]


_learnt: dict[str, Kind] = {}
"""What :func:`learn_kinds` was told; empty in every process that has the tasks themselves."""


def kind_of(name: str) -> Kind:
    """Return the kind called ``name``: that of the registered task of this name.

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
    """Return every kind by its name, in the order of the names."""
    if _learnt:
        return dict(_learnt)
    found: dict[str, Kind] = {name: lookup("task", name).kind for name in names("task")}
    return {name: kind for name, kind in found.items() if kind.name == name}


def learn_kinds(told: Iterable[Mapping[str, Any]]) -> None:
    """Make kinds known without their tasks, in a process that renders templates and no more.

    Args:
        told: each as :func:`dataclasses.asdict` gives it, perhaps by way of JSON.
    """
    for values in told:
        plain: dict[str, Any] = {
            name: tuple(v) if isinstance(v, list) else v for name, v in values.items()
        }
        _learnt[str(plain["name"])] = Kind(**plain)


def told_kinds() -> list[dict[str, Any]]:
    """Return every kind as plain values, for :func:`learn_kinds`."""
    return [asdict(kind) for kind in kinds().values()]
