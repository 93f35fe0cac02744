"""Shots with other labels than their own: gold, random, flipped, none."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import ConfigError, IclError
from icl.core.types import Example, Shot
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.experiment.shots import relabel
from icl.prompts.template import Template, load_template
from icl.records.results import load_run
from icl.running.run import run
from tests.table_experiment import INTENTS, TEMPLATE, write

WORDS = {"alarm_set": "set alarm", "play_music": "play music", "weather_query": "weather"}


def template(folder: Path) -> Template:
    (folder / "intent.j2").write_text(TEMPLATE)
    return load_template("intent.j2", base=str(folder))


def rows(n: int) -> list[Shot]:
    return [Shot(Example(f"s{i}", {"utt": f"u{i}"}, (INTENTS[i % 3],)), float(i)) for i in range(n)]


def shown(folder: Path, how: str, seed: int = 0, query: str = "q", n: int = 300) -> list[str]:
    made = relabel(template(folder), Example(query, {}), rows(n), how, seed, False)
    return [str(shot.label) for shot in made]


def test_random_labels_are_drawn_evenly_and_flipped_ones_are_never_right(tmp_path: Path) -> None:
    own = [shot.example.targets[0] for shot in rows(300)]
    drawn = shown(tmp_path, "random")
    assert set(Counter(drawn)) == set(INTENTS) and min(Counter(drawn).values()) > 70
    assert 70 < sum(a == b for a, b in zip(drawn, own, strict=True)) < 130  # a third
    flipped = shown(tmp_path, "flipped")
    assert not any(a == b for a, b in zip(flipped, own, strict=True))
    assert set(flipped) == set(INTENTS)


def test_labels_depend_on_seed_query_and_shot_alone(tmp_path: Path) -> None:
    whole = shown(tmp_path, "random", n=40)
    assert shown(tmp_path, "random", n=20) == whole[:20]
    assert shown(tmp_path, "random", seed=1, n=40) != whole
    assert shown(tmp_path, "random", query="other", n=40) != whole
    one = relabel(template(tmp_path), Example("a", {}), rows(9), "random", 0, True)
    two = relabel(template(tmp_path), Example("b", {}), rows(9), "random", 0, True)
    assert one == two  # shots that all queries share keep their labels


def test_the_prompt_shows_the_label_and_none_shows_the_input_alone(tmp_path: Path) -> None:
    made = template(tmp_path)
    query, shot = Example("q", {"utt": "hi"}), rows(1)[0]
    for label, target in (("weather_query", " weather"), ("", ""), (None, " set alarm")):
        sent = made.prompt(query, [Shot(shot.example, 1.0, label)])
        assert sent.shots == (("Say: u0\nIntent:", target),)


def study(folder: Path, labels: list[str], **changes: Any) -> Path:
    shots = [{"k": 3, "select": "bm25", "shown_labels": how} for how in labels]
    task = {
        "task": "intent",
        "prompt": "intent.j2",
        "pool": {"split": "train"},
        "rows": {"data": "rows", "split": "test"},
    }
    return write(folder, tasks=[task], grid={"shots": shots}, **changes)


def test_every_record_renders_again_and_the_vote_uses_what_was_shown(tmp_path: Path) -> None:
    file = study(tmp_path, ["gold", "random", "flipped", "none"])
    run(file, tmp_path / "runs")
    done = load_run("small", tmp_path / "runs")
    assert [c.axes["shots"] for c in done.conditions] == [
        "3 bm25",
        "3 bm25 random labels",
        "3 bm25 flipped labels",
        "3 bm25 no labels",
    ]
    assert [c.settings["shown_labels"] for c in done.conditions] == [
        "gold",
        "random",
        "flipped",
        "none",
    ]
    gold, _, flipped, none = done.conditions
    for condition in done.conditions:
        for record in condition.records.values():
            assert condition.hash_again(record) == record.request
    for name, record in flipped.records.items():
        pool = flipped.store.shots()
        right = [pool[shot].targets[0] for shot, _, _ in record.shots]
        sent = [label for _, label, _ in record.shots]
        assert all(a != b for a, b in zip(right, sent, strict=True))
        assert [target for _, target in flipped.prompt(record).shots] == [
            f" {WORDS[str(label)]}" for label in sent
        ]
        assert [s for s, _, _ in record.shots] == [s for s, _, _ in gold.records[name].shots]
    assert all(not p.shot_labels for p in none.predictions())
    votes = {
        c.axes["shots"]: [s for s in c.scores if s.name == "vote/accuracy"] for c in done.conditions
    }
    assert votes["3 bm25"][0].value != votes["3 bm25 flipped labels"][0].value
    assert votes["3 bm25 no labels"] == []
    assert run(file, tmp_path / "runs").computed == 0


def test_a_probe_has_the_labels_of_the_row_beside_which_it_stands(tmp_path: Path) -> None:
    """All rows get the same two shots, each row with labels of its own draw."""
    task = {"task": "intent", "prompt": "intent.j2", "pool": {"split": "train", "n": 1},
            "rows": {"data": "rows", "split": "test"},
            "calibrate": [{"calibrator": "contextual", "inputs": ["N/A"]}]}  # fmt: skip
    shots = [{"k": 1, "select": "bm25", "shown_labels": how} for how in ("random", "none", "gold")]
    done = run(write(tmp_path, tasks=[task], grid={"shots": shots}), tmp_path / "runs")
    drawn, *others = done.conditions
    labels = {label for record in drawn.records.values() for _, label, _ in record.shots}
    probes = drawn.probes("content_free").records
    assert len(labels) == 3
    assert {label for record in probes.values() for _, label, _ in record.shots} == labels
    assert [len(one.probes("content_free").records) for one in others] == [1, 1]
    assert all(not one.refused for c in done.conditions for one in c.calibrations)


def test_the_seed_counts_where_labels_are_drawn_and_nowhere_else(tmp_path: Path) -> None:
    def made(labels: str) -> list[dict[str, str]]:
        shots = [{"k": 2, "select": "bm25", "shown_labels": labels, "seeds": [0, 1]}]
        done = run(
            write(
                tmp_path,
                grid={"shots": shots},
                tasks=[
                    {
                        "task": "intent",
                        "prompt": "intent.j2",
                        "pool": {"split": "train"},
                        "rows": {"data": "rows", "split": "test", "n": 4},
                    }
                ],
            ),
            tmp_path / "runs",
        )
        return [dict(c.settings) for c in done.conditions]

    assert [row["seed"] for row in made("random")] == ["0", "1"]
    assert len(made("none")) == 1 == len(made("gold"))


def test_gold_labels_ask_what_they_always_asked(tmp_path: Path) -> None:
    plain = run(study(tmp_path, ["gold"]), tmp_path / "runs").conditions[0]
    assert "labels" not in plain.store.condition().identity.json["shots"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"shown_labels": "wrong"},
            "shown_labels: Input should be 'gold', 'random', 'flipped' or 'none'",
        ),
        (
            {"shown_labels": "none", "method": "channel"},
            "'none' has no meaning for method: channel",
        ),
        (
            {"shown_labels": "random", "task": "translation"},
            "whose answers are free text; accepted there: gold, none",
        ),
    ],
)
def test_what_has_no_meaning_is_refused(
    tmp_path: Path, changes: dict[str, str], message: str
) -> None:
    file = write(tmp_path)
    (tmp_path / "intent.j2").write_text(
        TEMPLATE + "[[channel]]\nIntent: {{ label }}\nSay:||| {{ utt }}\n"
    )
    raw = dict(load_experiment(file).raw)
    task = next(t for t in raw["tasks"] if t["task"] == changes.get("task", "intent"))
    task = {**task, **({"method": changes["method"]} if "method" in changes else {})}
    shots = [{"k": 1, "select": "random", "shown_labels": changes["shown_labels"]}]
    with pytest.raises(IclError, match=re.escape(message)):
        run(write_again(tmp_path, task, shots), tmp_path / "runs")


def write_again(folder: Path, task: dict[str, Any], shots: list[Any]) -> Path:
    text = (folder / "intent.j2").read_text()
    file = write(folder, tasks=[task], grid={"shots": shots})
    (folder / "intent.j2").write_text(text)
    return file


def test_none_goes_with_text_too_and_not_with_empty_turns(tmp_path: Path) -> None:
    from icl.experiment.shots import check_labels

    raw = load_experiment(write(tmp_path)).raw
    shots = [{"k": 1, "select": "random", "shown_labels": "none"}]
    done = run(write(tmp_path, tasks=raw["tasks"][1:], grid={"shots": shots}), tmp_path / "runs")
    record = next(iter(done.conditions[0].records.values()))
    assert done.conditions[0].prompt(record).shots[0][1] == ""
    point = list_points(load_experiment(tmp_path / "small.yaml"))[0]
    with pytest.raises(ConfigError, match="would send empty turns"):
        check_labels(point.shots, template(tmp_path), "rank", {"chat": {"shots": "turns"}})
