"""What a run keeps is what was asked: engines that answer too little, data that changes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from icl import load_run, run
from icl.core.errors import EngineError, StoreError
from icl.core.registry import register
from icl.core.types import ChoiceScore, OnToken, Output, Prompt, Sampling
from icl.engines.table import TableEngine
from tests.table_experiment import INTENTS, write

GENERATE = {"tasks.intent.method": ["generate"]}


@dataclass
class BrokenEngine(TableEngine):
    """Forgets the last answer of every call, or gives a number that is none."""

    number: str | None = None

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        on_token: OnToken | None = None,
        stop: Any = None,
    ) -> Iterator[tuple[int, Output]]:
        yield from list(super().generate(prompts, sampling, on_token, stop))[:-1]

    def score(self, items: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, ChoiceScore]]:
        found = list(super().score(items))
        if self.number is None:
            yield from found[:-1]
        else:
            number = float(self.number)
            yield from ((place, replace(one, logprob=number)) for place, one in found)


register("engine", "broken")(BrokenEngine)


@pytest.mark.parametrize(
    ("grid", "number", "said"),
    [
        ({}, None, "for the choice ' weather' the engine gave the log-probability None; load"),
        ({}, "-inf", "for the choice ' set alarm' the engine gave the log-probability -inf"),
        (GENERATE, None, r"for example '\w+' the engine gave 0 outputs, 1 were requested"),
    ],
)
def test_an_engine_that_answers_too_little_stops_the_run_before_anything_is_kept(
    tmp_path: Path, grid: Any, number: str | None, said: str
) -> None:
    models = {"t": {"engine": "broken", "default": "hash", "number": number}}
    file = write(tmp_path, models=models, grid={"shots": [0], **grid})
    with pytest.raises(EngineError, match=f"^t: {said}"):
        run(file, tmp_path / "runs")
    assert not list((tmp_path / "runs").rglob("records.jsonl"))


def test_a_corrected_answer_changes_the_score_and_asks_nothing_again(tmp_path: Path) -> None:
    file = write(tmp_path, grid={"shots": [0]})
    first = run(file, tmp_path / "runs")
    record = next(iter(first.conditions[0].records))
    (made,) = (p for p in first.conditions[0].predictions() if p.id == record)
    rows = [json.loads(line) for line in (tmp_path / "rows.jsonl").read_text().splitlines()]
    (row,) = (row for row in rows if row["id"] == record)
    other = next(label for label in INTENTS if label not in (row["intent"], made.value))
    row["intent"] = other if row["intent"] == made.value else made.value
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    again = run(file, tmp_path / "runs")
    assert (again.computed, again.reused) == (0, 20)
    known = again.conditions[0].store.examples()
    assert known[record].targets == (row["intent"],)
    before, after = (
        next(s.value for s in done.scores if s.name == "accuracy") for done in (first, again)
    )
    assert before is not None
    assert after is not None
    assert abs(after - before) == pytest.approx(10)


def test_other_data_of_the_same_name_never_gives_its_answers_to_a_run(tmp_path: Path) -> None:
    file = write(tmp_path, grid={"shots": [0]})
    run(file, tmp_path / "runs")
    rows = tmp_path / "rows.jsonl"
    kept = rows.read_text()
    rows.write_text(kept.replace("utterance", "sentence"))
    run(write_named(file, "other"), tmp_path / "runs")
    changed = load_run("small", tmp_path / "runs").conditions[0]
    with pytest.raises(StoreError, match="its rows are no longer those of this run: the data chan"):
        _ = changed.examples
    rows.write_text(kept)
    again = run(write_named(file, "small"), tmp_path / "runs")
    assert again.computed == 10, "the rows of the other task are the same"
    assert len(again.conditions[0].examples) == 10


def write_named(file: Path, name: str) -> Path:
    values = json.loads(file.read_text()) | {"name": name}
    file.write_text(json.dumps(values))
    return file
