"""Fields added to rows between data and template: stored, hashed, and never the answer."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import DataError
from icl.core.registry import register
from icl.core.types import JSON, Example
from icl.experiment.condition import build
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.experiment.loader import Loader
from icl.records.results import load_run
from icl.running.run import run
from icl.tasks.enrich import enrich_row
from icl.tasks.intent import INTENT
from icl.workbench.browse_runs import RunBrowser
from icl.workbench.record_to_screen import screen_of_record
from icl.workbench.workbench import Workbench
from tests.table_experiment import TEMPLATE, write

HIDDEN = {"label", "target", "targets", "intent"}


@dataclass(frozen=True)
class Sizes:
    """Adds the number of letters, or whatever a test wants."""

    version: int = 1
    changes: dict[str, Any] = field(default_factory=dict)
    seen: list[Example] = field(default_factory=list)

    def identity(self) -> JSON:
        return {"sizes": self.version}

    def enrich(self, example: Example) -> Example:
        self.seen.append(example)
        added = {"size": {"letters": len(str(example.fields["utt"]))}, **self.changes}
        return replace(example, fields={**example.fields, **added})


@pytest.fixture(autouse=True)
def own_names(own_registry: None) -> None:
    """What a test registers is forgotten after it."""


def experiment(folder: Path, enricher: Any, **changes: Any) -> Path:
    """The small experiment, its first task enriched and told of it by its template."""
    register("task", "sized")(replace(INTENT, name="sized", enricher=enricher))
    file = write(folder, **changes)
    told = TEMPLATE.replace("Say: {{ utt }}", "Say: {{ utt }} ({{ size.letters }} letters)")
    (folder / "intent.j2").write_text(told)
    values = json.loads(file.read_text())
    values["tasks"] = [{**values["tasks"][0], "task": "sized"}]
    file.write_text(json.dumps(values))
    return file


SHOTS: dict[str, Any] = {"grid": {"shots": [{"k": 2, "select": "bm25"}]}}


def test_queries_and_shots_are_enriched_and_stored(tmp_path: Path) -> None:
    sizes = Sizes()
    done = run(experiment(tmp_path, sizes, **SHOTS), tmp_path / "runs")
    (condition,) = done.conditions
    stored = {
        name: [
            json.loads(line) for line in (condition.store.folder / name).read_text().splitlines()
        ]
        for name in ("examples.jsonl", "shots.jsonl")
    }
    for rows in stored.values():
        assert rows
        assert all(row["fields"]["size"] == {"letters": len(row["fields"]["utt"])} for row in rows)
    assert all("intent" not in row.fields and row.targets == () for row in sizes.seen)
    # The folder alone renders every prompt again: there is no such task any more.
    register("task", "sized")(replace(INTENT, name="sized"))
    (again,) = load_run("small", tmp_path / "runs").conditions
    for record in again.records.values():
        text = again.prompt(record).text
        assert text.count("letters)") == 3


def identity(folder: Path, enricher: Any) -> dict[str, Any]:
    loaded = load_experiment(experiment(folder, enricher, **SHOTS))
    return dict(build(list_points(loaded)[0], Loader(loaded)).identity)


def test_only_an_enricher_that_is_there_is_hashed(tmp_path: Path) -> None:
    one, two = identity(tmp_path, Sizes()), identity(tmp_path, Sizes(version=2))
    assert (one.pop("enricher"), two.pop("enricher")) == ({"sizes": 1}, {"sizes": 2})
    assert one == two
    (tmp_path / "plain").mkdir()
    loaded = load_experiment(write(tmp_path / "plain", **SHOTS))
    assert "enricher" not in build(list_points(loaded)[0], Loader(loaded)).identity


def test_rows_are_told_apart_by_what_the_data_says(tmp_path: Path) -> None:
    """A hint that differs between equal rows lets no test row into the pool."""

    @dataclass(frozen=True)
    class ById(Sizes):
        def enrich(self, example: Example) -> Example:
            made = super().enrich(example)
            return replace(made, fields={**made.fields, "of": example.id})

    file = experiment(tmp_path, ById(), **SHOTS)
    lines = (tmp_path / "rows.jsonl").read_text().splitlines()
    copied = {**json.loads(lines[0]), "id": "copy", "split": "train"}
    (tmp_path / "rows.jsonl").write_text("\n".join([*lines, json.dumps(copied)]) + "\n")
    loaded = load_experiment(file)
    loader = Loader(loaded)
    made = build(list_points(loaded)[0], loader)
    assert made.left_out == 1 and "copy" not in {row.id for row in made.pool}
    again = build(list_points(loaded)[0], loader)
    assert again.pool[0] is made.pool[0], "rows are enriched once for all conditions"


def test_shots_written_by_hand_are_enriched_too(tmp_path: Path) -> None:
    lines = [
        {"fields": {"utt": "play a song"}, "target": "play_music"},
        {"fields": {"utt": "rain?", "size": {"letters": 5}}, "target": "weather_query"},
    ]
    (tmp_path / "shots.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    file = experiment(tmp_path, Sizes(), grid={"shots": [{"file": "shots.jsonl"}]})
    loaded = load_experiment(file)
    made = build(list_points(loaded)[0], Loader(loaded))
    text = made.request(made.examples[0]).prompt.text
    assert "Say: play a song (11 letters)" in text and "Say: rain? (5 letters)" in text


def test_a_row_typed_in_the_workbench_and_a_record_opened_there(tmp_path: Path) -> None:
    file = experiment(tmp_path, Sizes(), **SHOTS)
    run(file, tmp_path / "runs")
    given = load_experiment(file)
    work = Workbench(given.raw["models"], tmp_path, tmp_path / "private", given)
    try:
        typed = replace(work.first_screen(), own={"utt": "wake me", "size": ""}, k=0)
        seen = work.bind(typed)
        assert "Say: wake me (7 letters)" in seen.condition.request(seen.example).prompt.text
        opened = RunBrowser([tmp_path / "runs"], work.sandbox.rendering).open("small", "1")
        screen, said = screen_of_record(work, opened, "r3")
        assert said.endswith("the prompt is the same, byte for byte")
        assert not screen.own and work.rows(screen)[screen.row - 1].id == "r3"
    finally:
        work.sandbox.close()


ROW = Example("r1", {"utt": "hello", "intent": "x"}, ("x",), {"locale": "en"}, ("intent",))


def test_nothing_but_fields_is_added() -> None:
    made = enrich_row(Sizes(), ROW, HIDDEN)
    assert made == replace(ROW, fields={**ROW.fields, "size": {"letters": 5}})
    assert enrich_row(Sizes(), made, HIDDEN) == made, "the same fields once more are no change"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"utt": "HELLO"}, "changes the field 'utt', which the data holds; add a field of another"),
        ({"intent": "x"}, "adds the field 'intent', which holds the answer and is hidden from inp"),
        ({"target": "x"}, "adds the field 'target', which holds the answer"),
        ({"when": object()}, "adds what is no plain JSON value: Object of type object"),
    ],
)
def test_what_an_enricher_may_not_do_is_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(DataError, match=f"example 'r1': the enricher Sizes {told}"):
        enrich_row(Sizes(changes=changes), ROW, HIDDEN)


@pytest.mark.parametrize(
    "changes", [{"id": "r2"}, {"targets": ("y",)}, {"meta": {}}, {"gold": ("utt",)}]
)
def test_ids_answers_and_facts_stay(changes: dict[str, Any]) -> None:
    class Bad(Sizes):
        def enrich(self, example: Example) -> Example:
            return replace(super().enrich(example), **changes)

    with pytest.raises(DataError, match="may add fields and nothing else; return dataclasses.rep"):
        enrich_row(Bad(), ROW, HIDDEN)


def test_a_field_that_is_left_out_is_told() -> None:
    class Bad(Sizes):
        def enrich(self, example: Example) -> Example:
            return replace(example, fields={"size": 1})

    with pytest.raises(DataError, match="changes the field 'utt'"):
        enrich_row(Bad(), ROW, HIDDEN)
