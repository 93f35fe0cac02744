"""The straight line: from an experiment file to committed records and scores, top to bottom."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from icl.citations import citations
from icl.condition_notes import RANKED_BY, pool_notes, widths_compared
from icl.conditions import Condition, Request, build
from icl.config import Experiment, load_experiment, points
from icl.data import data_hash
from icl.engines.protocol import Proves, Sized
from icl.errors import EngineError, OutOfMemory
from icl.judging import benches, judge_all
from icl.ledger import Ledger, Remote, spent
from icl.loader import Loader
from icl.manifest import check_folder, write_manifest
from icl.metrics.command import placed
from icl.probing import check_probes, stores, work
from icl.progress import Progress
from icl.results import ConditionResult, Run, opened_run
from icl.scoring import score_run
from icl.store import ConditionStore
from icl.types import Output, Record, digest

__all__ = ["batches", "conditions", "count_spent", "run", "run_condition"]

BATCH_SIZE = 8
"""Examples in a batch for engines that do not tell what they have memory for."""
MOST_RANKED = 16
"""Examples ranked in a batch: enough to share a prefix, few enough to lose little by a kill."""


def run(
    experiment: str | Path | Experiment,
    out: str | Path = "runs",
    progress: Progress | None = None,
    loader: Loader | None = None,
) -> Run:
    """Run an experiment: compute the records that are missing, and score all of them.

    A run that was killed goes on where it was: only whole batches count, and what is there is
    reused if its re-rendered request is the same.

    Args:
        experiment: a YAML file, or what :func:`icl.config.load_experiment` made of it.
        out: folder of all runs; conditions are shared by the runs in it.
        progress: where to tell of it; silent by default.
        loader: of this experiment, where data and engines are shared with other work.

    Returns:
        The run with its scores; ``.frame()`` makes a pandas frame of them.

    Raises:
        IclError: anything wrong with the file, data, template, model or disk. What was
            committed before stays.

    >>> run("experiments/quickstart.yaml").frame()                      # doctest: +SKIP
    """
    loaded = experiment if isinstance(experiment, Experiment) else load_experiment(experiment)
    root, loader = Path(out), loader or Loader(loaded)
    folder = root / loaded.name
    worked: list[ConditionStore] = []
    complete = partial(_complete_noted, worked)
    check_folder(folder)
    computed = reused = 0
    entries: list[dict[str, Any]] = []
    rows: dict[str, list[str]] = {}
    with progress or Progress(quiet=True) as shown:
        found = conditions(loaded, loader, shown)
        judges = benches([condition for condition, _ in found], loader)
        count_spent([condition for condition, _ in found], root)
        for condition, same in found:
            loader.only(condition.engine)
            entries.append(_entry(condition, same, rows, loaded.base))
            write_manifest(folder, loaded, entries, rows, finished=False)
            for store, requests in work(condition, root):
                new = complete(condition, store, requests, shown)
                computed, reused = computed + new, reused + len(requests) - new
        pairs = [(condition, entry) for (condition, _), entry in zip(found, entries, strict=True)]
        judge_all(judges, pairs, rows, root, shown, complete)
    _check_all(worked)
    manifest = write_manifest(folder, loaded, entries, rows, finished=True)
    # Programs start here: those of this experiment, whatever the manifest on disk may say by now.
    scored = score_run(opened_run(folder, manifest, allow_commands=True))
    asked = tuple(replace(one, allow_commands=False) for one in scored.conditions)  # and no more
    _check_all(worked)  # scoring may take its time, too
    return replace(scored, conditions=asked, computed=computed, reused=reused)


def _check_all(worked: Sequence[ConditionStore]) -> None:
    """Refuse to end well if what was computed is no longer there."""
    for store in worked:
        store.check()


def conditions(
    experiment: Experiment, loader: Loader, progress: Progress
) -> list[tuple[Condition, list[str]]]:
    """Every condition once, with what was inert; everything is checked before anything runs.

    Conditions of one model stand together, so that each model is loaded once.
    """
    found: dict[str, Condition] = {}
    same: dict[str, list[str]] = {}
    told: set[str] = set()
    for point in points(experiment):
        known = dict(loader.revisions)
        condition = build(point, loader)
        for name, commit in loader.revisions.items():
            if name not in known and point.data[name].revision != commit:
                progress.note(
                    f"data {name}: read at the newest revision; write `revision: {commit}` to keep "
                    "it"
                )
        for note in pool_notes(condition):
            if note not in told:
                told.add(note)
                progress.note(note)
        if point.task.rows.n and point.task.rows.n > condition.available:
            progress.note(
                f"{point.task.task}: {point.task.rows.n} rows were asked for, "
                f"{condition.available} are there"
            )
        if condition.examples:
            condition.request(condition.examples[0])
            check_probes(condition)
        if condition.ranking in RANKED_BY:
            progress.note(f"{point.model_name}: {RANKED_BY[condition.ranking]}")
        if condition.fingerprint in found:
            same[condition.fingerprint].append(point.axes["shots"])
            progress.note(
                f"{_title(condition)} asks the same as a condition before it and is run once"
            )
            continue
        found[condition.fingerprint], same[condition.fingerprint] = condition, []
    for note in widths_compared(list(found.values())):
        progress.note(note)
    order = {name: place for place, name in enumerate(loader.engines)}
    listed = [(condition, same[name]) for name, condition in found.items()]
    return sorted(listed, key=lambda pair: order[pair[0].point.engine_key])


def run_condition(
    condition: Condition, root: Path, progress: Progress, base: Path = Path(".")
) -> Run:
    """Answer one condition in folders of its own, unscored; for trials.

    ``base`` is the experiment's folder, in which outside programs run.
    """
    rows: dict[str, list[str]] = {}
    entry = _entry(condition, [], rows, base)
    store, requests = next(work(condition, root))
    _complete(condition, store, requests, progress)
    result = ConditionResult(entry, rows[entry["rows"]], store)
    return Run(root / "trial", {"name": "trial"}, (result,))


def count_spent(found: Sequence[Condition], root: Path) -> None:
    """Tell each server's engine what its conditions have cost in earlier runs."""
    for condition in found:
        if isinstance(condition.engine, Remote):
            kept = stores(condition, root).values()
            condition.engine.spent += sum(spent(store.folder) for store in kept)


def _title(condition: Condition) -> str:
    return " ".join(filter(None, condition.point.axes.values()))


def _complete_noted(
    worked: list[ConditionStore], condition: Condition, store: ConditionStore,
    requests: Mapping[str, Request], progress: Progress,
) -> int:  # fmt: skip
    """Compute the records that are missing, and note the store to be checked in the end."""
    worked.append(store)
    return _complete(condition, store, requests, progress)


def _complete(
    condition: Condition, store: ConditionStore, requests: Mapping[str, Request], progress: Progress
) -> int:
    """Compute the records that are missing; returns how many."""
    roles = dict.fromkeys(request.role for request in requests.values() if request.role != "test")
    name = " ".join([_title(condition), *roles])
    with store.writing():
        have = store.records()
        pending = [
            request
            for key, request in requests.items()
            if key not in have or have[key].request != request.hash
        ]
        remote = condition.engine if isinstance(condition.engine, Remote) else None
        if remote:
            remote.ledger = Ledger(store.folder)
        progress.begin(name, len(requests) - len(pending), len(requests))
        store.begin(condition.about())
        if condition.method == "generate" and condition.choices:
            store.keep_choices(condition.choices, [0] * len(condition.choices))  # for the parser
        store.plan(
            batches(pending, condition) if pending else [],
            (request.example for request in requests.values()),
            {shot.example.id: shot.example for r in pending for shot in r.shots}.values(),
        )
        if not pending:
            return 0
        while left := store.unfinished():
            index, ids = left[0]
            began, before = time.perf_counter(), _work(condition)
            try:
                records = _answer(condition, store, [requests[key] for key in ids])
            except OutOfMemory:
                if len(ids) == 1:
                    raise
                store.split(index)
                progress.note(f"{name}: out of memory, a batch of {len(ids)} is halved")
                continue
            seconds = time.perf_counter() - began
            _keep_proof(condition, store)
            tokens = sum(_tokens(record, store) for record in records)
            done = {name: n - before[name] for name, n in _work(condition).items()}
            store.commit(index, records, {"seconds": round(seconds, 3), "tokens": tokens, **done})
            if remote:
                remote.ledger.settle(index)
            progress.advance(len(records), tokens)
    return len(pending)


def _work(condition: Condition) -> dict[str, int]:
    """Tokens that the engine has computed so far, where it counts them."""
    return condition.engine.computed() if isinstance(condition.engine, Sized) else {}


def _keep_proof(condition: Condition, store: ConditionStore) -> None:
    """Write what the engine found in memory beside the records, before the first of them."""
    found = condition.engine.provenance() if isinstance(condition.engine, Proves) else {}
    if found and not (store.folder / "model.json").exists():
        store.replace("model.json", json.dumps(found, ensure_ascii=False, indent=1) + "\n")


def batches(pending: Sequence[Request], condition: Condition) -> list[list[str]]:
    """The batches of a condition, the one with the longest prompt first.

    A batch too large for the memory shows at once that way. Prompts to rank stand in the order of
    their texts, so that those which begin alike meet in one token tree; prompts to be continued
    in the order of their lengths.
    """
    ranks = condition.ranks
    size = condition.batch_size or _batch_size(condition, max(r.tokens for r in pending))
    ordered = sorted(pending, key=lambda r: (r.sent if ranks else -r.tokens, r.example.id))
    found = [ordered[start : start + size] for start in range(0, len(ordered), size)]
    found.sort(key=lambda batch: -max(request.tokens for request in batch))
    return [[request.example.id for request in batch] for batch in found]


def _batch_size(condition: Condition, tokens: int) -> int:
    """Examples in a batch where the file does not say: what the engine has memory for."""
    engine = condition.engine
    if isinstance(engine, Remote):  # its slowest answer holds up no more than a quarter
        return max(BATCH_SIZE, 1 if condition.ranks else 4 * engine.concurrency)
    if not isinstance(engine, Sized):
        return BATCH_SIZE
    ranks = condition.ranks
    rows = engine.rows(tokens if ranks else tokens + condition.sampling.max_tokens)
    return min(rows, MOST_RANKED) if ranks else max(1, rows // condition.sampling.n)


def _answer(
    condition: Condition, store: ConditionStore, requests: Sequence[Request]
) -> list[Record]:
    """Ask the engine for one batch; records come back in the batch's order."""
    if condition.ranks:
        return _rank(condition, store, requests)
    outputs: list[list[Output]] = [[] for _ in requests]
    prompts = [request.prompt for request in requests]
    remote = isinstance(condition.engine, Remote)  # only the server knows its tokens for sure
    for index, output in condition.engine.generate(prompts, condition.sampling):
        outputs[index].append(output)
    for request, given in zip(requests, outputs, strict=True):
        if len(given) != condition.sampling.n:
            told = f"{len(given)} outputs, {condition.sampling.n} were asked for"
            raise _broken(condition, f"example {request.example.id!r}", told)
    return [
        replace(
            _record(condition, request),
            prompt_tokens=given[0].prompt_tokens if remote else request.tokens,
            outputs=tuple(sorted(given, key=lambda output: output.sample)),
        )
        for request, given in zip(requests, outputs, strict=True)
    ]


def _rank(condition: Condition, store: ConditionStore, requests: Sequence[Request]) -> list[Record]:
    items = [item for request in requests for item in request.items]
    given = dict(condition.engine.score(items))
    for place, (_, text) in enumerate(items):
        value = given[place].logprob if place in given else None
        if value is None or not math.isfinite(value):
            raise _broken(condition, f"the choice {text!r}", f"the log-probability {value}")
    found = iter(given[place] for place in range(len(items)))
    remote = isinstance(condition.engine, Remote)
    records = []
    for request in requests:
        scores = [next(found) for _ in request.choices]
        tokens = tuple(score.tokens for score in scores)
        once = [0] * len(tokens) if request.prompts else tokens  # the channel's are the row's own
        usual = store.keep_choices(condition.choices, once) if condition.choices else ()
        records.append(
            replace(
                _record(condition, request),
                prompt_tokens=scores[0].prompt_tokens if remote else request.tokens,
                logprobs=tuple(score.logprob for score in scores),
                choice_tokens=() if tokens == usual else tokens,
                spanning=max(score.spanning for score in scores),
            )
        )
    return records


def _broken(condition: Condition, asked: str, told: str) -> EngineError:
    return EngineError(
        f"{condition.point.model_name}: for {asked} the engine gave {told}; load the model with "
        "width: fp32 or bf16, or repair the engine (icl.testing.check_engine shows where)"
    )


def _record(condition: Condition, request: Request) -> Record:
    shots = tuple(
        (shot.example.id, condition.template.shown_label(shot), shot.score)
        for shot in request.shots
    )
    return Record(
        request.example.id,
        condition.fingerprint,
        request.hash,
        shots,
        request.prompt.dropped,
        request.tokens,
        shortened=request.prompt.shortened,
        choices=() if condition.choices else tuple(request.choices),
        role=request.role,
    )


def _tokens(record: Record, store: ConditionStore) -> int:
    """Tokens of a record's prompt and answers, as if nothing were shared."""
    choices = record.choice_tokens or (store.choice_tokens() if record.logprobs else ())
    return (
        record.prompt_tokens + sum(choices) + sum(output.output_tokens for output in record.outputs)
    )


def _entry(
    condition: Condition, same: Sequence[str], rows: dict[str, list[str]], base: Path
) -> dict[str, Any]:
    """What the manifest says of a condition."""
    ids = [example.id for example in condition.examples]
    key = digest(ids)[:12]
    rows[key] = ids
    entry = condition.point.task
    return {
        "axes": dict(condition.point.axes),
        "settings": condition.point.settings,
        "also": list(same),
        "fingerprint": condition.fingerprint,
        "folder": condition.folder,
        "task": condition.task.name,
        "method": condition.method,
        "ranking": condition.ranking,
        "parser": entry.parser or condition.task.parser,
        "metrics": [placed(metric, base) for metric in entry.metrics or condition.task.metrics],
        "calibrate": list(entry.calibrate),
        "labels": len(condition.choices),
        "rows": key,
        "cite": citations(entry.data_sets, condition.point.data, base),
        "rows_available": condition.available,
        "rows_hash": data_hash(condition.examples),
        "pool": {
            "n": len(condition.pool),
            "hash": data_hash(condition.pool),
            "left_out": condition.left_out,
            "labels": dict(condition.labels),
        },
        "fallbacks": list(condition.template.fallbacks),
    }
