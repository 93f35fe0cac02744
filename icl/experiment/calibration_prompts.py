"""Probes: prompts beside those of the test rows, as rows that are asked, kept and found again.

The id of a probe is a hash of what it says: equal ones are asked once, and a calibrator finds its
records again from what a condition folder holds, without a model.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from icl.calibrators import Calibrator
from icl.core.errors import CalibrationError
from icl.core.types import JSON, Choice, Example, Prompt, Role, Shot, digest
from icl.data import sample
from icl.prompts.template import Template

__all__ = ["ProbeRow", "PROBE_ROLES", "make_probes", "sample_pool", "render_probe", "identify_shot"]


PROBE_ROLES: tuple[Role, ...] = ("content_free", "domain", "pool")
"""What a record beside those of the test rows may be for; each role has a store of its own."""
_NAMES_LANGUAGES = ("locale", "source", "target")
"""Facts of a row that its prompt may name."""


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """A probe as a row."""

    role: Role
    example: Example


def make_probes(
    calibrator: Calibrator,
    template: Template,
    example: Example,
    shots: Sequence[JSON],
    choices: Sequence[Choice],
) -> list[ProbeRow]:
    """The probes of one test row.

    Args:
        calibrator: what asks.
        template: what renders the rows of the condition.
        example: the test row.
        shots: those in the row's prompt, as :func:`identify_shot` tells them apart.
        choices: the row's own choices; empty where all rows share them.

    Raises:
        CalibrationError: the template or the row has nothing that can be made a probe.
    """
    meta = {name: example.meta[name] for name in _NAMES_LANGUAGES if name in example.meta}
    own = [[choice.label, choice.text + choice.end] for choice in choices]
    found = []
    try:
        probes = calibrator.probes(example, template)
    except CalibrationError as error:
        raise CalibrationError(f"{calibrator.name}: {error}") from error
    for probe in probes:
        if probe.role not in ("content_free", "domain"):
            raise CalibrationError(
                f"{calibrator.name}: a probe has the role {probe.role!r}; there are content_free "
                "and domain"
            )
        sent = [] if probe.role == "domain" else list(shots)
        name = digest([probe.role, dict(probe.fields), meta, sent, own])[:12]
        found.append(ProbeRow(probe.role, Example(name, probe.fields, meta=meta)))
    return found


def identify_shot(shot: str, label: str | None) -> JSON:
    """A shot by its id, and by its label where it is shown with another one than its own."""
    return [shot, label] if label else shot


def render_probe(
    role: Role, template: Template, example: Example, shots: Sequence[Shot], keep: int | None
) -> Prompt:
    """The prompt of a record by its role; see :meth:`icl.prompts.template.Template.prompt`."""
    if role != "domain":
        return template.prompt(example, shots, keep)
    return Prompt(
        str(example.fields["text"]),
        stop=template.file.stop,
        template=template.name,
        template_hash=template.hash,
        query_id=example.id,
    )


def sample_pool(calibrator: Calibrator, pool: Sequence[Example]) -> list[Example]:
    """The pool rows that a calibrator learns from; a larger number only adds to them."""
    return sample([row for row in pool if row.targets], calibrator.pool_rows, seed=0)
