"""A run folder of an early version: still the same bytes, still reused, still read the same way."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

import icl
from icl.experiment.differences import is_difference
from icl.records.manifest import read_manifest
from icl.scoring.compare import compare_runs
from icl.scoring.pairs import collect_settings
from tests.cli.test_cli import call
from tests.witness import (
    EXPECTED,
    RUNS,
    TRIALS,
    WRITTEN,
    command,
    holds,
    lay,
    no_engine,
    plain,
    readings,
    run_all,
    same,
    trials,
)

REWRITE = "if a number was corrected, `python -m tests.witness` writes it anew"
CONDITIONS = RUNS / "conditions"
NUMBERS = {
    "manifest.json",
    "timings.jsonl",
    "search.json",
    "search.jsonl",
    "scores.json",
    "calibrations.json",
}
"""Files that hold numbers, versions or seconds; everything else is the same bytes for ever."""


def sha(value: Any) -> str:
    """The hash of plain values as records of this folder have it; written apart from the code."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def files(root: Path, numbers: bool = False) -> dict[str, bytes]:
    """Every file below a folder by its path, without locks, or those that hold numbers alone."""
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and path.name[0] != "." and (path.name in NUMBERS) == numbers
    }


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line]


def loaded(path: Path) -> Any:
    return json.loads(path.read_text("utf-8", "surrogatepass"))


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same experiments and search, run by this version into an empty folder."""
    folder = lay(tmp_path_factory.mktemp("fresh"), runs=False)
    with contextlib.chdir(folder):
        run_all()
    return folder


@pytest.fixture(scope="module")
def resumed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str]]]:
    """A copy of the witness, run again and read; an engine that is asked fails the test."""
    folder = lay(tmp_path_factory.mktemp("resumed"))
    with contextlib.chdir(folder):
        with no_engine():
            found = readings()
        yield folder, found


def test_every_fingerprint_and_request_is_the_hash_of_the_same_json() -> None:
    identities = 0
    for path in CONDITIONS.rglob("condition.json"):
        about = loaded(path)
        assert about["fingerprint"] == sha(about["identity"])[:16]
        folder = path.parent.parents[1] if "probes" in path.parts else path.parent
        assert folder.name.endswith(f"-{about['fingerprint']}")
        identities += 1
    assert identities == 66
    requests = {"test": 0, "content_free": 0, "domain": 0, "pool": 0}
    for name in ("witness", "witness-shots"):
        for condition in icl.load_run(RUNS / name).conditions:
            own = {"test": condition} | {
                role: condition.probes(role)
                for role in requests
                if (condition.store.folder / "probes" / role).exists()
            }
            for role, asked in own.items():
                about = loaded(asked.store.folder / "condition.json")
                for record in asked.records.values():
                    assert (
                        record.request
                        == asked.hash_again(record)
                        == request(asked, record, about["sampling"])
                    )
                    requests[role] += 1
    assert requests == {"test": 144, "content_free": 24, "domain": 12, "pool": 6}


def request(asked: Any, record: Any, sampling: Any) -> str:
    """A request's hash from its rendered texts."""
    prompts = asked.prompts(record)
    if asked.entry.method == "channel":
        return sha({"prompts": [one.text for one in prompts], "scored": asked.scored(record)})
    choices = [choice.text + choice.end for choice in asked.choices(record)]
    return sha(
        {
            "prompt": prompts[0].text,
            "choices": choices,
            "stop": list(prompts[0].stop),
            "sampling": sampling,
        }
    )


def test_what_is_hashed_has_no_field_more_and_none_less(fresh: Path) -> None:
    for root in (CONDITIONS, fresh / "runs" / "conditions"):
        made = [loaded(path) for path in sorted(root.rglob("condition.json"))]
        assert {tuple(one["identity"]) for one in made} == {
            ("format", "engine", "method", "template", "choices", "sampling", "shots", "rows")
        }
        assert {one["identity"]["format"] for one in made} == {1}
        shots = {tuple(one["identity"]["shots"] or ()) for one in made}
        plain = ("k", "order", "selector", "options", "pool")
        assert shots == {
            (),
            plain,
            (*plain, "parallel"),
            (*plain, "labels"),
            (*plain, "labels", "label_seed", "label_draw"),
        }
        samplings = {json.dumps(one["identity"]["sampling"]) for one in made}
        assert samplings == {
            "null",
            '{"max_tokens": 2, "temperature": 0.0, "stop": []}',
            '{"max_tokens": 6, "temperature": 0.0, "stop": []}',
            '{"max_tokens": 12, "temperature": 0.0, "stop": []}',
            '{"max_tokens": 9, "temperature": 0.0, "stop": [], "thinking_tokens": 4}',
            '{"max_tokens": 4, "temperature": 1.0, "top_p": 1.0, "top_k": 0, "min_p": 0.0, '
            '"n": 2, "stop": [], "seed": 0}',
            '{"max_tokens": 3, "temperature": 0.7, "top_p": 0.9, "top_k": 5, "min_p": 0.05, '
            '"n": 3, "stop": [], "seed": 11}',
        }


def test_a_new_run_writes_the_same_bytes(fresh: Path) -> None:
    old, new = files(RUNS), files(fresh / "runs")
    assert sorted(new) == sorted(old)
    assert [name for name in old if old[name] != new[name]] == []
    assert len([name for name in old if name.endswith("records.jsonl")]) == 66


def test_a_new_run_says_all_that_the_old_one_said(fresh: Path) -> None:
    here = ("command", "versions", "machine", "experiment")
    for name in ("witness", "witness-shots"):
        was, now = (loaded(root / name / "manifest.json") for root in (RUNS, fresh / "runs"))
        assert was.keys() <= now.keys()
        for before, after in zip(was["conditions"], now["conditions"], strict=True):
            assert before.keys() <= after.keys()
        # Read, both say it by the names of today.
        old, new = (asdict(read_manifest(root / name)) for root in (RUNS, fresh / "runs"))
        assert _renamed(old["experiment"]) == new["experiment"]
        assert holds({key: value for key, value in old.items() if key not in here}, new)
    for path in sorted(CONDITIONS.rglob("timings.jsonl")):
        now = lines(fresh / "runs" / path.relative_to(RUNS))
        for was, row in zip(lines(path), now, strict=True):
            assert holds({key: was[key] for key in ("batch", "rows", "tokens")}, row)


def _renamed(text: str) -> str:
    """An experiment file of the witness with the keys of today in the places of the old ones."""
    text = re.sub(r"^    formats: ", "    layouts: ", text, flags=re.M)
    return re.sub(r", labels: (random|flipped|none)}", r", shown_labels: \1}", text)


def test_an_old_experiment_file_is_told_the_new_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, told in (
        ("witness", "tasks.2: 'formats' of a task is called 'layouts' now; rename it"),
        ("witness-shots", "grid: shots: 'labels' of shots is called 'shown_labels' now; rename it"),
    ):
        file = tmp_path / f"{name}.yaml"
        file.write_text(loaded(RUNS / name / "manifest.json")["experiment"], "utf-8")
        assert call(capsys, monkeypatch, "run", file) == (2, "", f"icl: {file}: {told}\n")


@pytest.mark.parametrize("name", ["witness", "witness-shots"])
def test_old_and_new_runs_are_compared_setting_by_setting(
    tmp_path: Path,
    fresh: Path,
    name: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lay(tmp_path)
    old, new = (icl.load_run(root / "runs" / name) for root in (tmp_path, fresh))
    known, today = collect_settings(old), collect_settings(new)
    assert today.items() >= known.items()
    assert all(map(is_difference, today.keys() - known.keys()))  # keys of a task, told since
    assert {"layout", "shown_labels"} <= collect_settings(old).keys()
    assert not {"format", "labels"} & collect_settings(old).keys()
    assert len(list(compare_runs(old, new))) == len(list(compare_runs(new, new)))
    by = {"witness": "layout", "witness-shots": "shown_labels"}[name]
    with contextlib.chdir(tmp_path):
        printed = {
            str(root): command(f"compare {root / 'runs' / name} --by {by} --metric accuracy")
            for root in (tmp_path, fresh)
        }
    assert len({text.replace(root, "") for root, text in printed.items()}) == 1
    word = {"layout": "format", "shown_labels": "labels"}[by]
    code, _, err = call(capsys, monkeypatch, "compare", old.folder, "--by", word)
    assert (code, err) == (2, f"icl: {old.name}: no setting {word!r}; it is called {by!r} now\n")


def test_a_new_search_takes_the_same_way(fresh: Path) -> None:
    old, new = (loaded(root / "witness-search" / "search.json") for root in (RUNS, fresh / "runs"))
    assert holds({key: old[key] for key in ("key", "rows", "opened")}, new)
    assert list(old["written"].values()) == list(new["written"].values())
    told = ("rung", "candidate", "name", "condition", "rows", "tokens")
    assert [[t[key] for key in told] for t in old["trials"]] == [
        [t[key] for key in told] for t in new["trials"]
    ]
    with contextlib.chdir(fresh):
        assert same((EXPECTED / TRIALS).read_text("utf-8"), trials()), REWRITE


def test_the_old_run_is_resumed_without_asking_anything(
    resumed: tuple[Path, dict[str, str]],
) -> None:
    folder, found = resumed
    assert "\n0 records computed, 132 reused; all of them in" in found["witness/run.txt"]
    assert "\n0 records computed, 54 reused; all of them in" in found["witness-shots/run.txt"]
    after = files(folder / "runs")
    assert {name: after[name] for name in files(RUNS)} == files(RUNS)
    names = ("witness", "witness-shots", "witness-search")
    assert {*after} - {*files(RUNS)} == {f"{name}/table.txt" for name in names}
    for name in ("witness", "witness-shots"):
        table = (folder / "runs" / name / "table.txt").read_text("utf-8")
        assert plain(table).startswith(found[f"{name}/details.txt"].rstrip())


def test_every_number_table_and_report_is_as_expected(
    resumed: tuple[Path, dict[str, str]],
) -> None:
    _, found = resumed
    kept = {path.relative_to(EXPECTED).as_posix() for path in EXPECTED.rglob("*.*")}
    assert kept - {TRIALS} == {*found}, REWRITE
    assert {*WRITTEN} <= {*found}
    changed = [
        name for name in found if not same((EXPECTED / name).read_text("utf-8"), found[name])
    ]
    assert changed == [], REWRITE


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        ("prompts/fields.j2", "Wish: {{", "Wish:  {{"),
        ("prompts/fields.j2", '"Wish:"]', '"wish:"]'),
        ("shots.yaml", "default: hash", "default: hash, window: 2047"),
        ("shots.yaml", "{k: 2, select: random}", "{k: 2, select: random, seed: 1}"),
        ("data/wishes.en.jsonl", "it is dark in the hall", "it is dark in the Hall"),
    ],
)
def test_a_byte_of_what_is_hashed_asks_anew(tmp_path: Path, file: str, old: str, new: str) -> None:
    lay(tmp_path)
    path = tmp_path / file
    text = path.read_text("utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), "utf-8", newline="")
    with contextlib.chdir(tmp_path), no_engine(), pytest.raises(AssertionError, match="was asked"):
        command("run shots.yaml")
    made = {path.name for path in Path(tmp_path, "runs/conditions").iterdir()}
    assert len(made - {path.name for path in CONDITIONS.iterdir()}) == 1


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        ("1.12345678", "1.12345678", True),
        ("a 1.1234567891234 b", "a 1.1234567891235 b", True),
        ("a 1.1234567 b", "a 1.1234568 b", False),
        ("1.12", "1.13", False),
        ("a 1.1234567891234 b", "a 1.1234567891234  b", False),
    ],
)
def test_texts_are_the_same_but_for_the_last_digits_of_a_processor(
    a: str, b: str, equal: bool
) -> None:
    assert same(a, b) is equal
    assert holds({"a": [1]}, {"a": [1], "b": 2}) and not holds({"a": [1]}, {"a": [1, 2]})
