"""Run folders written by hand, for what is made of records: every answer is known."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from icl.core.types import Choice, Example, Output, Record, digest
from icl.data import hash_data
from icl.records.results import Run, load_run
from icl.records.store import ConditionStore
from icl.scoring.scores import score_run

TEMPLATE = """---
task: {kind}
{labels}stop: ["\\n"]
---
[[example]]
In: {{{{ {field} }}}}
Out:||| {{{{ {target} }}}}
"""


@dataclass
class Row:
    """One test row and what was answered: a label, or a text."""

    gold: str
    answer: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    meta: Mapping[str, str] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the record that are not what follows from the answer."""
    finish: str = "stop"


@dataclass
class Made:
    """One condition."""

    rows: Sequence[Row]
    axes: Mapping[str, str] = field(default_factory=dict)
    labels: Sequence[str] = ("a", "b", "c")
    """Empty for a condition that writes text."""
    engine: Mapping[str, Any] = field(default_factory=lambda: {"kind": "table"})
    pool_labels: Mapping[str, int] = field(default_factory=dict)
    metrics: Sequence[Any] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    template: str = "made"
    cite: Mapping[str, str] = field(default_factory=dict)
    ids: str = "r"
    """What the ids of the rows begin with; parallel rows share theirs."""


def made(folder: Path, *conditions: Made, name: str = "made") -> Run:
    """Write, load and score a run of these conditions."""
    entries, rows = [], {}
    for place, one in enumerate(conditions):
        fingerprint = digest([place, dict(one.axes)])[:16]
        ids = [f"{one.ids}{number}" for number in range(len(one.rows))]
        rows[digest(ids)[:12]] = ids
        _write(folder / "conditions" / fingerprint, fingerprint, one)
        task = "classify" if one.labels else "translation"
        axes = {"task": task, "prompt": one.template, "model": "m", "locale": "", "shots": "0"}
        axes |= one.axes
        entries.append(
            {
                "axes": axes,
                "settings": {k: v for k, v in axes.items() if v} | dict(one.settings),
                "also": [],
                "fingerprint": fingerprint,
                "folder": fingerprint,
                "task": task,
                "method": "rank" if one.labels else "generate",
                "ranking": None,
                "parser": "label" if one.labels else "text",
                "metrics": list(one.metrics) or (["accuracy"] if one.labels else ["chrf"]),
                "labels": len(one.labels),
                "rows": digest(ids)[:12],
                "cite": dict(one.cite),
                "rows_available": len(ids),
                "rows_hash": hash_data(_example(n, row, one) for n, row in enumerate(one.rows)),
                "pool": {"n": 9, "hash": "0", "left_out": 0, "labels": dict(one.pool_labels)},
                "fallbacks": [],
            }
        )
    (folder / name).mkdir(parents=True, exist_ok=True)
    manifest = {
        "name": name, "finished": True, "experiment": "name: made\n", "command": ["icl", "run"],
        "versions": {"icl": "0"}, "machine": {"cpu": "x"}, "conditions": entries, "rows": rows,
    }  # fmt: skip
    (folder / name / "manifest.json").write_text(json.dumps(manifest))
    return score_run(load_run(folder / name))


def _write(folder: Path, fingerprint: str, one: Made) -> None:
    store = ConditionStore(folder)
    choices = [Choice(label, f" {label}") for label in one.labels]
    examples = [_example(number, row, one) for number, row in enumerate(one.rows)]
    records = [_record(number, row, one, fingerprint) for number, row in enumerate(one.rows)]
    with store.writing():
        store.begin(_condition(fingerprint, one))
        if choices:
            store.keep_choices(choices, [1] * len(choices))
        pool = {
            shot[0]: Example(shot[0], {"text": f"text of {shot[0]}"}, (shot[1] or "shot",))
            for record in records
            for shot in record.shots
        }
        store.plan([[example.id for example in examples]], examples, pool.values())
        if records:
            store.commit(0, records, {"seconds": 1.0, "tokens": 1})


def _condition(fingerprint: str, one: Made) -> dict[str, Any]:
    labels = {label: label for label in one.labels}
    text = TEMPLATE.format(
        kind="classify" if labels else "generate",
        labels=f"labels: {json.dumps(labels)}\n" if labels else "",
        field="text" if labels else "source",
        target="label" if labels else "target",
    )
    identity = {
        "format": 1,
        "engine": dict(one.engine),
        "shots": None,
        "rows": ["made", "test", [], None, []],
    }
    kept = {
        "name": one.template,
        "text": text,
        "language": "en",
        "words": {},
        "labels": labels,
        "fallbacks": [],
    }
    return {
        "fingerprint": fingerprint,
        "identity": identity,
        "task": "classify",
        "method": "rank",
        "sampling": None,
        "template": kept,
    }


def _example(number: int, row: Row, one: Made) -> Example:
    plain = {"text": f"text {number}"} if one.labels else {"source": f"source {number}"}
    return Example(f"{one.ids}{number}", {**plain, **row.fields}, (row.gold,), dict(row.meta))


def _record(number: int, row: Row, one: Made, fingerprint: str) -> Record:
    values: dict[str, Any] = {"prompt_tokens": 5, **row.record}
    if one.labels:
        best = [0.0 if label == row.answer else -1.0 for label in one.labels]
        values.setdefault("logprobs", tuple(best))
    else:
        values.setdefault("outputs", (Output(row.answer, row.finish, 5, 3),))
    return Record(f"{one.ids}{number}", fingerprint, f"hash{number}", **values)
