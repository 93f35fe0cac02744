"""What a task is: which way it is answered, how it is parsed, scored and compared."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Task"]


@dataclass(frozen=True, slots=True)
class Task:
    """A task as data; a new one is one file with one instance and an entry point.

    >>> Task("sentiment", "classify", ("rank",), "label", ("accuracy",), ("chance",)).metrics
    ('accuracy',)
    """

    name: str
    kind: str
    """``classify`` (shared labels), ``choose`` (choices of the row), ``generate`` (free text) or
    ``extract`` (fields or items); the template must be of this kind."""
    methods: tuple[str, ...]
    """``rank`` (score every choice), ``generate`` and ``channel`` (score the input behind every
    label), the default first."""
    parser: str
    """Registered name of the parser of generated text."""
    metrics: tuple[str, ...]
    """Registered names, the primary one first."""
    baselines: tuple[str, ...]
    """``chance``, ``majority``, ``vote``, ``copy``, ``lead3``: shown beside every score."""
