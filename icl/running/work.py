"""The requests of a condition: its test rows, then the probes of its calibrators."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from icl.calibrators import Calibrator, make_calibrators
from icl.core.errors import CalibrationError, ConfigError, TemplateError
from icl.core.types import digest
from icl.experiment.calibration_prompts import PROBE_ROLES, identify_shot, make_probes, sample_pool
from icl.experiment.condition import Condition, Request
from icl.records.store import ConditionStore

__all__ = [
    "check_probes",
    "list_calibrators",
    "list_probes",
    "list_work",
    "make_row_probes",
    "note_rounded",
    "open_stores",
]


Requests = dict[str, Request]


def list_calibrators(condition: Condition) -> dict[str, Calibrator]:
    """Return the requested calibrators by name; empty if choices are not ranked."""
    if condition.method != "rank":
        return {}
    return make_calibrators(condition.point.task.calibrate)


def open_stores(condition: Condition, root: Path) -> dict[str, ConditionStore]:
    """Open the store of each role, below the folder of all runs."""
    test = ConditionStore.of(root, condition.folder)
    return {"test": test, **{role: test.beside(role) for role in PROBE_ROLES}}


def note_rounded(conditions: Sequence[Condition], root: Path) -> Iterator[str]:
    """Note records that are not reused, since their weights were rounded to bfloat16.

    Earlier versions loaded every GGUF file so, without a note in the condition's identity.
    """
    for condition in conditions:
        engine = condition.identity["engine"]
        assert isinstance(engine, dict)
        if "dequantized" not in engine:
            continue
        rounded = {name: value for name, value in engine.items() if name != "dequantized"}
        fingerprint = digest(condition.identity | {"engine": rounded})[:16]
        store = ConditionStore.of(root, f"{condition.task.name}-{fingerprint}")
        if store.folder.is_dir():
            yield (
                f"{condition.point.model_name}: the records in {store.folder} were made by a "
                "version that rounded GGUF weights to bfloat16; they stay, and every row is "
                "answered again with the exact weights of the file"
            )


def list_work(condition: Condition, root: Path) -> Iterator[tuple[ConditionStore, Requests]]:
    """Yield each store with its requests by id: first the test rows, then the probes.

    Probes are rendered only after the test rows are done, since they contain their shots.
    """
    kept = open_stores(condition, root)
    tests = {example.id: condition.request(example) for example in condition.examples}
    yield kept["test"], tests
    for role, requests in list_probes(condition, tests).items():
        yield kept[role], requests


def check_probes(condition: Condition) -> None:
    """Make the probes of the first row, so that errors show before anything runs.

    Raises:
        CalibrationError: the template or the row allows no probe.
        ConfigError: a weight is to be fitted on a pool, and there is none.
    """
    if condition.examples and list_calibrators(condition):
        first = condition.examples[0]
        list_probes(condition, {first.id: condition.request(first)}, limit=1)


def list_probes(
    condition: Condition, tests: Mapping[str, Request], limit: int | None = None
) -> dict[str, Requests]:
    """Make the requests of probes by role, each distinct one once."""
    found: dict[str, Requests] = {}
    for name, calibrator in list_calibrators(condition).items():
        for request in tests.values():
            make_row_probes(condition, name, calibrator, request, found)
        if calibrator.pool_rows and condition.selector is not None:
            _ask_pool(condition, name, calibrator, found, limit)
    return found


def make_row_probes(
    condition: Condition,
    name: str,
    calibrator: Calibrator,
    request: Request,
    found: dict[str, Requests],
) -> list[Request]:
    """Make the probes of one test row, in the order in which its calibrator reads them.

    Args:
        condition: the row's condition.
        name: the calibrator's name.
        calibrator: the calibrator.
        request: the row's request.
        found: role -> probes so far, which are reused; new ones are added.

    Raises:
        CalibrationError: the template or the row allows no probe.
    """
    shots = [identify_shot(shot.example.id, shot.label) for shot in request.shots]
    own = () if condition.choices else request.choices
    made = []
    try:
        for probe in make_probes(calibrator, condition.template, request.example, shots, own):
            known = found.setdefault(probe.role, {})
            if probe.example.id not in known:
                known[probe.example.id] = condition.probe(probe, request)
            made.append(known[probe.example.id])
    except TemplateError as error:
        raise CalibrationError(
            f"{name}: the template cannot be rendered without the row's content ({error}); name "
            f"the fields to empty, as in {{calibrator: {calibrator.name}, fields: [premise]}}"
        ) from error
    return made


def _ask_pool(
    condition: Condition,
    name: str,
    calibrator: Calibrator,
    found: dict[str, Requests],
    limit: int | None,
) -> None:
    """Add the pool rows that a calibrator learns from; a selector never returns the row itself."""
    if not condition.pool:
        raise ConfigError(
            f"{name}: the weight is chosen on pool rows, and the task {condition.task.name!r} has "
            f"no pool; add `pool:`, or give the weight, as in {{calibrator: {calibrator.name}, "
            "weight: 0.5}"
        )
    known = found.setdefault("pool", {})
    for example in sample_pool(calibrator, condition.pool)[:limit]:
        if example.id not in known:
            known[example.id] = condition.request(example, "pool")
