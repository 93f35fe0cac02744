"""The main line, from an experiment file to saved records and scores, top to bottom."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

from icl.core.errors import OutOfMemory
from icl.engines.ledger import Ledger, RemoteEngine, sum_spent
from icl.engines.protocol import InProcessEngine, LenientEngine, ProvenEngine
from icl.experiment.condition import Condition, Request, build
from icl.experiment.file import load_experiment
from icl.experiment.grid import Experiment, list_points
from icl.experiment.loader import Loader
from icl.experiment.notes import RANKED_BY, note_compared_widths, note_pool
from icl.experiment.settings import join_axes
from icl.records.manifest import (
    ConditionEntry,
    Manifest,
    check_folder,
    condition_entry,
    write_manifest,
)
from icl.records.paths import MODEL
from icl.records.results import ConditionResult, Run, open_run
from icl.records.store import ConditionStore
from icl.running.answer import answer_batch, plan_batches
from icl.running.failures import FailureTally, TooManyFailures
from icl.running.forecast import RunOutlook, list_pending
from icl.running.judge import judge_all, load_judges
from icl.running.progress import Progress
from icl.running.speeds import SpeedLearner
from icl.running.work import check_probes, list_work, note_rounded, open_stores
from icl.scoring.scores import score_run

__all__ = ["build_conditions", "count_spent", "read_condition", "run", "run_condition"]


def run(
    experiment: str | Path | Experiment,
    out: str | Path = "runs",
    progress: Progress | None = None,
    loader: Loader | None = None,
) -> Run:
    """Run an experiment: compute the missing records, and score all of them.

    A run that was killed continues where it stopped: only whole batches count, and a record is
    reused if its rendered request is the same.

    Args:
        experiment: a YAML file, or an experiment from
            :func:`icl.experiment.file.load_experiment`.
        out: folder of all runs; runs in it share conditions.
        progress: display of the progress; none by default.
        loader: a loader of this experiment, to share data and engines with other work.

    Returns:
        The run with its scores; ``.frame()`` makes a pandas data frame of them.

    Raises:
        IclError: anything wrong with the file, data, template, model or disk. Records saved
            before stay.

    >>> run("experiments/quickstart.yaml").frame()                      # doctest: +SKIP
    """
    loaded = experiment if isinstance(experiment, Experiment) else load_experiment(experiment)
    root, loader = Path(out), loader or Loader(loaded)
    folder = root / loaded.name
    check_folder(folder)
    computed = reused = 0
    entries: list[ConditionEntry] = []
    rows: dict[str, list[str]] = {}
    with progress or Progress(quiet=True) as shown:
        found = build_conditions(loaded, loader, shown)
        for note in note_rounded([condition for condition, _ in found], root):
            shown.note(note)
        judges = load_judges([condition for condition, _ in found], loader)
        count_spent([condition for condition, _ in found], root)
        shown.plan(sum(len(condition.examples) for condition, _ in found))
        watch = _RunWatch(RunOutlook([condition for condition, _ in found], root))
        complete = partial(_complete, watch=watch)
        with watch.learner.learning():
            for condition, same in found:
                loader.only(condition.engine)
                entries.append(condition_entry(condition, same, rows, loaded.base))
                write_manifest(folder, loaded, entries, rows, finished=False)
                for store, requests in list_work(condition, root):
                    new, left = complete(condition, store, requests, shown)
                    computed, reused = computed + new, reused + len(requests) - new - left
                watch.outlook.end(condition)
            pairs = list(zip((condition for condition, _ in found), entries, strict=True))
            entries = judge_all(judges, pairs, rows, root, shown, complete)
    _check_all(watch.stores)
    manifest = write_manifest(folder, loaded, entries, rows, finished=True)
    # Programs start here: those of this experiment, whatever the manifest on disk may say by now.
    scored = score_run(open_run(folder, manifest, allow_commands=True))
    asked = tuple(replace(one, allow_commands=False) for one in scored.conditions)  # and no more
    _check_all(watch.stores)  # scoring may take its time, too
    return replace(scored, conditions=asked, computed=computed, reused=reused)


def _check_all(worked: Sequence[ConditionStore]) -> None:
    """Raise an error if records computed by this run are no longer there."""
    for store in worked:
        store.check()


def build_conditions(
    experiment: Experiment, loader: Loader, progress: Progress
) -> list[tuple[Condition, list[str]]]:
    """Build every condition once, with the shots of its duplicates; check all before anything runs.

    Conditions of one model follow each other, so that each model is loaded once.
    """
    found: dict[str, Condition] = {}
    same: dict[str, list[str]] = {}
    told: set[str] = set()
    for point in list_points(experiment):
        known = dict(loader.revisions)
        condition = build(point, loader)
        for name, commit in loader.revisions.items():
            if name not in known and point.data[name].revision != commit:
                progress.note(
                    f"data {name}: read at the newest revision; write `revision: {commit}` to keep "
                    "it"
                )
        for note in (*loader.notes, *note_pool(condition)):
            if note not in told:
                told.add(note)
                progress.note(note)
        if point.task.rows.n and point.task.rows.n > condition.available:
            progress.note(
                f"{point.task.task}: {point.task.rows.n} rows were requested, "
                f"{condition.available} are available"
            )
        if condition.examples:
            condition.request(condition.examples[0])
            check_probes(condition)
        if condition.ranking in RANKED_BY:
            progress.note(f"{point.model_name}: {RANKED_BY[condition.ranking]}")
        if condition.fingerprint in found:
            same[condition.fingerprint].append(point.axes["shots"])
            progress.note(_describe_same(condition, found[condition.fingerprint]))
            continue
        found[condition.fingerprint], same[condition.fingerprint] = condition, []
    for note in note_compared_widths(list(found.values())):
        progress.note(note)
    order = {name: place for place, name in enumerate(loader.engines)}
    listed = [(condition, same[name]) for name, condition in found.items()]
    return sorted(listed, key=lambda pair: order[pair[0].point.engine_key])


def _describe_same(condition: Condition, first: Condition) -> str:
    """Describe a condition that repeats another one, and whether it wanted other rows."""
    axes = join_axes(condition.point.axes)
    said = f"{axes} repeats an earlier condition and is run once"
    if [row.id for row in condition.examples] == [row.id for row in first.examples]:
        return said
    return (
        f"{said}, on the {len(first.examples)} rows of that one: rows.n and rows.seed alone make "
        "no condition; put these rows into a separate experiment"
    )


def run_condition(
    condition: Condition, root: Path, progress: Progress, base: Path = Path(".")
) -> Run:
    """Answer one condition in its own folders, without scoring; for trials.

    ``base`` is the experiment's folder, in which external programs run.
    """
    store, requests = next(list_work(condition, root))
    watch = _RunWatch(RunOutlook([condition], root))
    with watch.learner.learning():
        _complete(condition, store, requests, progress, watch)
    return read_condition(condition, root, base)


def read_condition(condition: Condition, root: Path, base: Path = Path(".")) -> Run:
    """Return what has been answered of one condition so far; ask nothing, and write nothing.

    ``base`` is the experiment's folder.
    """
    rows: dict[str, list[str]] = {}
    entry = condition_entry(condition, [], rows, base)
    store = open_stores(condition, root)["test"]
    ids = tuple(rows[entry.rows])
    manifest = Manifest(name="trial", conditions=(entry,), rows={entry.rows: ids})
    return Run(root / "trial", manifest, (ConditionResult(entry, ids, store),))


def count_spent(found: Sequence[Condition], root: Path) -> None:
    """Add the cost of earlier runs to each server's engine."""
    for condition in found:
        if isinstance(condition.engine, RemoteEngine):
            kept = open_stores(condition, root).values()
            condition.engine.spent += sum(sum_spent(store.folder) for store in kept)


@dataclass
class _RunWatch:
    """A watch on a run while it answers: its stores, the time left, and speeds."""

    outlook: RunOutlook
    learner: SpeedLearner = field(default_factory=SpeedLearner)
    stores: list[ConditionStore] = field(default_factory=list)
    """Every store that was used, to be checked in the end."""


def _complete(
    condition: Condition,
    store: ConditionStore,
    requests: Mapping[str, Request],
    progress: Progress,
    watch: _RunWatch,
) -> tuple[int, int]:
    """Compute the records that are missing; returns how many, and how many rows had no answer.

    Raises:
        TooManyFailures: more rows had none than may be left unscored.
    """
    watch.stores.append(store)
    roles = dict.fromkeys(request.role for request in requests.values() if request.role != "test")
    name = " ".join([join_axes(condition.point.axes), *roles])
    with store.writing():
        pending = list_pending(store, requests)
        remote = condition.engine if isinstance(condition.engine, RemoteEngine) else None
        if remote:
            remote.ledger = Ledger(store.folder)
        if not roles:
            progress.count(len(requests) - len(pending))
        progress.begin(name, len(requests) - len(pending), len(requests))
        store.begin(condition.about())
        if condition.method == "generate" and condition.choices:
            store.keep_choices(condition.choices, [0] * len(condition.choices))  # for the parser
        store.plan(
            plan_batches(pending, condition) if pending else [],
            (request.example for request in requests.values()),
            {shot.example.id: shot.example for r in pending for shot in r.shots}.values(),
        )
        store.keep_unscored((), anew=requests)  # they are asked again now
        if not pending:
            return 0, 0
        watch.learner.follow(condition.engine)
        if not roles:
            watch.outlook.begin(condition, len(pending))
        lenient = condition.engine if isinstance(condition.engine, LenientEngine) else None
        allowed = lenient.max_failures if lenient else None
        tally = FailureTally(condition.point.model_name, len(requests), allowed)
        while left := store.unfinished():
            index, ids = left[0]
            began, before = time.perf_counter(), _work(condition)
            failed_before = len(tally.rows)
            try:
                records = answer_batch(condition, store, [requests[key] for key in ids], tally)
            except TooManyFailures:
                store.keep_unscored(tally.rows[failed_before:])
                raise
            except OutOfMemory:
                if len(ids) == 1:
                    raise
                store.split(index)
                progress.note(f"{name}: out of memory, a batch of {len(ids)} is halved")
                continue
            seconds = time.perf_counter() - began
            _keep_proof(condition, store)
            failed = tally.rows[failed_before:]
            if failed and not store.leave_out(index, failed):
                continue
            tokens = store.tokens(records)
            done = {name: n - before[name] for name, n in _work(condition).items()}
            store.commit(index, records, {"seconds": round(seconds, 3), "tokens": tokens, **done})
            if remote:
                remote.ledger.settle(index)
            if not roles:
                progress.count(len(records))
                watch.outlook.advance(condition, len(records), seconds)
            progress.advance(len(records), tokens, watch.outlook.seconds())
        if remote:
            remote.ledger.settle(len(store.batches()))  # what led to no batch was paid for, too
        if tally.rows:
            answered = store.records().keys() & requests.keys()
            tally.check_any(len(answered))
            progress.note(f"{name}: {tally.describe()}")
        watch.learner.note_answers(condition, store)
    return len(pending) - len(tally.rows), len(tally.rows)


def _work(condition: Condition) -> dict[str, int]:
    """Return the tokens that the engine has computed so far, if it counts them."""
    return condition.engine.computed() if isinstance(condition.engine, InProcessEngine) else {}


def _keep_proof(condition: Condition, store: ConditionStore) -> None:
    """Save the engine's proof of the weights in memory, before the first record."""
    found = condition.engine.provenance() if isinstance(condition.engine, ProvenEngine) else {}
    if found and not (store.folder / MODEL).exists():
        store.replace(MODEL, json.dumps(found, ensure_ascii=False, indent=1) + "\n")
