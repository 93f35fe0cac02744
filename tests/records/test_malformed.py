"""ShapeError run folders: whatever a file holds, a command ends in one line that names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from icl import run
from tests.cli.test_cli import call
from tests.table_experiment import write

DEEP = b"[" * 100_000
HUGE = int("1" + "0" * 4000)
Change = Callable[[bytes], bytes]


def raw(data: bytes) -> Change:
    """Other bytes in the place of all."""
    return lambda _: data


def at(*path: Any, to: Any) -> Change:
    """Another value at a place of a JSON file."""
    return lambda data: dumped(placed(json.loads(data), path, to))


def without(*path: Any) -> Change:
    """The JSON without one of its keys."""

    def change(data: bytes) -> bytes:
        value = json.loads(data)
        inner = value
        for step in path[:-1]:
            inner = inner[step]
        del inner[path[-1]]
        return dumped(value)

    return change


def row(*path: Any, to: Any) -> Change:
    """Another value at a place of the first line."""

    def change(data: bytes) -> bytes:
        first, *others = data.split(b"\n")
        return b"\n".join([dumped(placed(json.loads(first), path, to)), *others])

    return change


def first(line: bytes) -> Change:
    """Another first line."""
    return lambda data: b"\n".join([line, *data.split(b"\n")[1:]])


def twice(data: bytes) -> bytes:
    """The first line once more."""
    return data.split(b"\n")[0] + b"\n" + data


def placed(value: Any, path: tuple[Any, ...], to: Any) -> Any:
    inner = value
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to(inner[path[-1]]) if callable(to) else to  # a key that is new, too
    return value


def dumped(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode("utf-8", "surrogatepass")


ENTRY = ("conditions", 0)
MANIFEST = {
    "empty": raw(b""),
    "no JSON": raw(b"{"),
    "zeros": raw(b"\0" * 40),
    "a list": raw(b"[]"),
    "null": raw(b"null"),
    "nested": raw(DEEP),
    "nested inside": at("machine", to=lambda _: json.loads("[" * 200 + "]" * 200)),
    "NaN": lambda data: data.replace(b'"finished": true', b'"finished": NaN'),
    "no name": without("name"),
    "a number for the name": at("name", to=3),
    "no conditions": without("conditions"),
    "null for conditions": at("conditions", to=None),
    "a mapping for conditions": at("conditions", to={}),
    "null for a condition": at(*ENTRY, to=None),
    "the same condition twice": lambda data: dumped(
        (made := json.loads(data)) | {"conditions": made["conditions"][:1] * 2}
    ),
    "no rows": without("rows"),
    "rows of numbers": at("rows", to={"a": [1]}),
    "an id twice": at("rows", to=lambda rows: {key: [*ids, ids[0]] for key, ids in rows.items()}),
    "rows that are not there": at(*ENTRY, "rows", to="none"),
    "a list for rows": at(*ENTRY, "rows", to=[]),
    "no axes": without(*ENTRY, "axes"),
    "axes of numbers": at(*ENTRY, "axes", "shots", to=2),
    "axes without shots": without(*ENTRY, "axes", "shots"),
    "settings of lists": at(*ENTRY, "settings", "k", to=["2"]),
    "no fingerprint": without(*ENTRY, "fingerprint"),
    "a number for the fingerprint": at(*ENTRY, "fingerprint", to=7),
    "an absolute folder": at(*ENTRY, "folder", to="/etc"),
    "a folder above": at(*ENTRY, "folder", to="../small"),
    "the folder above": at(*ENTRY, "folder", to=".."),
    "no folder": at(*ENTRY, "folder", to=""),
    "a folder with a zero": at(*ENTRY, "folder", to="a\0b"),
    "half a character in the folder": at(*ENTRY, "folder", to="a\ud800"),
    "a folder too long for a disk": at(*ENTRY, "folder", to="ä" * 200),
    "an unknown method": at(*ENTRY, "method", to="guess"),
    "an unknown ranking": at(*ENTRY, "ranking", to="best"),
    "no parser": without(*ENTRY, "parser"),
    "metrics of numbers": at(*ENTRY, "metrics", to=[1]),
    "a word for metrics": at(*ENTRY, "metrics", to="accuracy"),
    "labels below zero": at(*ENTRY, "labels", to=-1),
    "labels past all bounds": at(*ENTRY, "labels", to=HUGE),
    "a fraction of labels": at(*ENTRY, "labels", to=2.5),
    "a list for the pool": at(*ENTRY, "pool", to=[]),
    "a pool of words": at(*ENTRY, "pool", "labels", to={"a": "many"}),
    "a judge of nothing": at(*ENTRY, "judges", to={"good": {}}),
    "a word for versions": at("versions", to="new"),
    "a comparison of nothing": at("compare", to={}),
    "plug-ins of numbers": at("plugins", to={"modules": [1], "base": "."}),
    "plug-ins without a place": at("plugins", to={"modules": ["a"]}),
}
SCORES = {
    "no JSON": raw(b"[{"),
    "a mapping": raw(b"{}"),
    "numbers": raw(b"[1]"),
    "an unknown key": at(0, "score", "better", to=1),
    "no condition": without(0, "condition"),
    "NaN": at(0, "score", "value", to=float("nan")),
    "a word for a value": at(0, "score", "value", to="high"),
    "rows below zero": at(0, "score", "n", to=-5),
}
CALIBRATIONS = {
    "an unknown key": at(0, "calibration", "x", to=1),
    "a word for the entry": at(0, "calibration", "entry", to="batch"),
    "nested": raw(DEEP),
}
CONDITION = {
    "no JSON": raw(b"{"),
    "a list": raw(b"[]"),
    "no identity": without("identity"),
    "no engine": without("identity", "engine"),
    "rows of one": at("identity", "rows", to=["a"]),
    "lines of words": at("identity", "rows", 2, to=["a", "b"]),
    "three languages": at("identity", "rows", 4, to=["a", "b", "c"]),
    "no template": without("template"),
    "null for the text": at("template", "text", to=None),
    "no language": without("template", "language"),
    "labels of lists": at("template", "labels", to=["a"]),
    "a word for sampling": at("sampling", to="greedy"),
    "sampling of nothing": at("sampling", to={}),
}
CHOICES = {
    "no JSON": raw(b"["),
    "numbers": raw(b"[1]"),
    "no text": without(0, "text"),
    "an unknown key": at(0, "x", to=1),
    "a label twice": at(1, "label", to="alarm_set"),
    "tokens past all bounds": at(0, "tokens", to=HUGE),
}
RECORDS = {
    "no JSON": first(b"{"),
    "nested": first(DEEP),
    "a list": first(b"[]"),
    "an unknown key": lambda data: data.replace(b"{", b'{"x":1,', 1),
    "no log-probabilities": row("logprobs", to=[]),
    "too few log-probabilities": row("logprobs", to=[-1.0]),
    "words for log-probabilities": row("logprobs", to=["a", "b", "c"]),
    "NaN": row("logprobs", to=[float("nan")] * 3),
    "past all floats": row("logprobs", to=[HUGE] * 3),
    "the tokens of one choice": row("choice_tokens", to=[1]),
    "a number for the id": row("id", to=5),
    "tokens below zero": row("prompt_tokens", to=-1),
    "shots of numbers": row("shots", to=[1]),
    "outputs of words": row("outputs", to=["a"]),
    "shortened to nothing of nothing": row("shortened", to=[0, 0]),
}
EXAMPLES = {
    "no JSON": first(b"{"),
    "no fields": first(b'{"id":"r0","targets":[],"meta":{},"gold":[]}'),
    "a word for the targets": row("targets", to="a"),
    "a number for the id": row("id", to=1),
    "nested": first(b'{"fields":{"a":' + DEEP),
    "twice": twice,
}
TIMINGS = {
    "nothing": first(b"{}"),
    "a list": first(b"[]"),
    "a word": row("seconds", to="long"),
    "below zero": row("seconds", to=-1),
    "past all bounds": row("tokens", to=HUGE),
}
FILES = {
    "manifest.json": MANIFEST,
    "scores.json": SCORES,
    "calibrations.json": CALIBRATIONS,
    "condition.json": CONDITION,
    "choices.json": CHOICES,
    "records.jsonl": RECORDS,
    "examples.jsonl": EXAMPLES,
    "timings.jsonl": TIMINGS,
}
CASES = [(file, name) for file, changes in FILES.items() for name in changes]
WHOLE = {"show RUN", "show RECORD", "score", "compare", "report"}
READ_BY = {
    "condition.json": WHOLE - {"compare"},
    "choices.json": WHOLE,
    "records.jsonl": WHOLE,
    "examples.jsonl": WHOLE,
    "timings.jsonl": {"report"},
}
VERBS = {
    "show RUN": ["show", "small"],
    "show RECORD": ["show", "small#1/r0"],
    "score": ["score", "small"],
    "compare": ["compare", "small", "--by", "shots"],
    "report": ["report", "small"],
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two conditions that rank, scored and calibrated."""
    folder = tmp_path_factory.mktemp("whole")
    tasks = json.loads(write(folder).read_text())["tasks"][:1]
    tasks[0] |= {
        "calibrate": ["per_token"],
        "metrics": ["accuracy"],
        "rows": {"data": "rows", "split": "test"},
    }
    run(write(folder, tasks=tasks, data=data(folder)), folder / "runs")
    return folder


def data(folder: Path) -> dict[str, Any]:
    """Three rows in the order of their ids, and a pool."""
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    kept = [one for one in rows if one["split"] == "train" or one["id"] in ("r0", "r1", "r2")]
    (folder / "few.jsonl").write_text("".join(json.dumps(one) + "\n" for one in kept))
    return {"rows": {"format": "jsonl", "path": "few.jsonl", "answer": "intent"}}


@pytest.fixture(scope="module")
def copy(whole: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One copy for all cases; each puts back what it changed."""
    return Path(shutil.copytree(whole, tmp_path_factory.mktemp("copy") / "here"))


@pytest.fixture
def place(copy: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(copy)
    kept = {path: path.read_bytes() for path in (copy / "runs").rglob("*.json*")}
    yield copy
    for path, data in kept.items():
        path.write_bytes(data)


def target(folder: Path, file: str) -> Path:
    """The run's own file of that name, or that of its first condition."""
    runs = folder / "runs"
    if (runs / "small" / file).exists():
        return runs / "small" / file
    entry = json.loads((runs / "small" / "manifest.json").read_bytes())["conditions"][0]
    return Path(runs / "conditions" / entry["folder"] / file)


@pytest.mark.parametrize(("file", "name"), CASES, ids=[f"{file}: {name}" for file, name in CASES])
def test_a_malformed_file_is_one_line_that_names_it(
    place: Path,
    file: str,
    name: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = target(place, file)
    path.write_bytes(FILES[file][name](path.read_bytes()))
    for verb, arguments in VERBS.items():
        code, out, err = call(capsys, monkeypatch, *arguments)
        if verb in READ_BY.get(file, WHOLE):
            assert code == 2, (verb, out)
            assert err.startswith("icl: ") and err.count("\n") == 1, (verb, err)
            assert str(path.relative_to(place)) in err, (verb, err)
            assert out == ""
        else:
            assert code == 0, (verb, err)


def test_there_are_cases_enough_and_the_run_is_whole(
    place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(CASES) >= 74
    for arguments in VERBS.values():
        code, _, err = call(capsys, monkeypatch, *arguments)
        assert code == 0, err


def test_what_a_newer_version_adds_is_left_alone(place: Path) -> None:
    from icl import load_run

    for file, path in (("manifest.json", ENTRY), ("condition.json", ("identity",))):
        where = target(place, file)
        where.write_bytes(at(*path, to=lambda old: old | {"new": {"a": 1}})(where.read_bytes()))
    first = load_run("small").conditions[0]
    assert first.store.condition().identity.json["new"] == {"a": 1}


def test_what_an_earlier_version_left_out_is_still_read(place: Path) -> None:
    from icl import load_run

    where = target(place, "manifest.json")
    made = json.loads(where.read_bytes())
    for key in ("settings", "also", "calibrate", "cite", "rows_available", "rows_hash", "labels"):
        for entry in made["conditions"]:
            del entry[key]
    del made["compare"]
    where.write_bytes(dumped(made))
    first = load_run("small").conditions[0]
    assert first.entry.settings is None and first.entry.rows_hash is None
    assert [one.id for one in first.examples] == [*first.records]
