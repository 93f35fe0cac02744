"""Probes: additional prompts for calibrators, stored as rows and found again by their content.

The id of a probe is a hash of its content: equal probes are answered once, and a calibrator finds
their records from only a condition folder, without a model.
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
"""Roles of records other than test rows; each role has its own store."""
_NAMES_LANGUAGES = ("locale", "source", "target")
"""Keys of a row's meta that its prompt may read."""


@dataclass(frozen=True, slots=True)
class ProbeRow:
    """A probe in the form of a row."""

    role: Role
    example: Example


def make_probes(
    calibrator: Calibrator,
    template: Template,
    example: Example,
    shots: Sequence[JSON],
    choices: Sequence[Choice],
) -> list[ProbeRow]:
    """Make the probes of one test row.

    Args:
        calibrator: decides which probes it needs.
        template: renders the rows of the condition.
        example: the test row.
        shots: the shots in the row's prompt, as :func:`identify_shot` returns them.
        choices: the row's own choices; empty if all rows share them.

    Raises:
        CalibrationError: the template or the row gives no probe.
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
    """Identify a shot by its id, and by its label if another than its own is shown."""
    return [shot, label] if label else shot


def render_probe(
    role: Role, template: Template, example: Example, shots: Sequence[Shot], keep: int | None
) -> Prompt:
    """Render a record's prompt by its role; see :meth:`icl.prompts.template.Template.prompt`."""
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
    """Sample the pool rows that a calibrator learns from; a larger number only adds rows."""
    return sample([row for row in pool if row.targets], calibrator.pool_rows, seed=0)
