"""The store: whole batches or nothing, one writer, old files intact when the disk is full."""

from __future__ import annotations

import errno
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import BusyError, DataError, StoreError
from icl.core.files import replace_file
from icl.core.strict_json import read_json
from icl.core.types import Choice, Example, Output, Record
from icl.records.condition_file import RowsIdentity
from icl.records.store import ConditionStore, write_record_line

IDS = ["a", "b", "c", "d", "e"]
BATCHES = [["a", "b"], ["c", "d"], ["e"]]


def record(name: str, **changes: object) -> Record:
    values: dict[str, object] = {"logprobs": (-1.5, -0.25), "shots": (("s1", "x", 2.5),)}
    return Record(name, "cond", f"hash-{name}", **{**values, **changes})  # type: ignore[arg-type]


def examples() -> list[Example]:
    return [Example(name, {"utt": f"say {name} ✓"}, ("x",), {"locale": "en"}) for name in IDS]


def filled(folder: Path, upto: int) -> ConditionStore:
    store = ConditionStore(folder)
    with store.writing():
        store.begin({"fingerprint": "cond"})
        store.plan(BATCHES, examples(), [Example("s1", {"utt": "shot"}, ("x",))])
        for index in range(upto):
            store.commit(index, [record(name) for name in BATCHES[index]], {"seconds": 1.5})
    return store


def test_records_come_back_as_they_were(tmp_path: Path) -> None:
    output = Output("a\u2028b\x00\ud800 ✓", "stop", 5, 3)
    sent = Record("é/1", "cond", "h", (("s", None, None),), ("d",), 7, (output,), spanning=1)
    store = ConditionStore(tmp_path)
    with store.writing():
        store.plan([["é/1"]], [])
        store.commit(0, [sent], {})
    assert store.records() == {"é/1": sent}


def test_float32_sums_survive_as_the_shortest_decimal() -> None:
    numpy = pytest.importorskip("numpy")
    value = float(numpy.float32(-12.345678))
    line = json.loads(write_record_line(record("a", logprobs=(value,))))
    assert numpy.float32(line["logprobs"][0]) == numpy.float32(value)
    assert len(str(line["logprobs"][0])) <= 11


def test_defaults_are_not_written() -> None:
    assert set(json.loads(write_record_line(Record("a", "c", "h")))) == {
        "id",
        "condition",
        "request",
    }


def test_examples_shots_and_choices_are_kept(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    assert store.examples()["c"] == examples()[2]
    assert store.shots()["s1"].fields == {"utt": "shot"}
    assert store.keep_choices([Choice("x", " x"), Choice("y", " y")], [1, 2]) == (1, 2)
    assert store.keep_choices([Choice("x", " x"), Choice("y", " y")], [3, 3]) == (1, 2)
    assert [choice.text for choice in store.choices()] == [" x", " y"]
    assert store.timing() == {"rows": 2, "seconds": 1.5}


@pytest.mark.parametrize("cut", range(1, 60, 7))
def test_a_torn_batch_is_dropped_and_computed_again(tmp_path: Path, cut: int) -> None:
    filled(tmp_path, 2)
    path = tmp_path / "records.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[:-cut])
    store = ConditionStore(tmp_path)
    with store.writing():
        assert [index for index, _ in store.unfinished()] == [1, 2]
        for index, ids in store.unfinished():
            store.commit(index, [record(name) for name in ids], {"seconds": 1.5})
    assert path.read_bytes()[: len(whole)] == whole
    assert list(store.records()) == IDS
    assert store.timing() == {"rows": 5, "seconds": 4.5}


def test_garbage_at_the_end_is_dropped(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    path = tmp_path / "records.jsonl"
    path.write_bytes(path.read_bytes() + b"\x00" * 40)
    assert list(ConditionStore(tmp_path).records()) == ["a", "b", "c", "d"]


def test_a_corrupt_line_in_the_middle_is_refused_and_named(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    path = tmp_path / "records.jsonl"
    lines = path.read_text().splitlines()
    lines[1] = lines[1][:-5]
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(StoreError, match=r"records\.jsonl:2: corrupt record .* delete line 2"):
        ConditionStore(tmp_path).records()
    assert path.read_text().splitlines() == lines


def test_a_record_that_is_not_in_the_plan_is_refused(tmp_path: Path) -> None:
    filled(tmp_path, 1)
    path = tmp_path / "records.jsonl"
    path.write_text(path.read_text().replace('"id":"b"', '"id":"z"'))
    store = ConditionStore(tmp_path)
    with (
        pytest.raises(StoreError, match=r":2: record of 'z' where the plan has 'b'"),
        store.writing(),
    ):
        pass


def test_records_without_their_plan_are_never_dropped(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    kept = (tmp_path / "records.jsonl").read_bytes()
    (tmp_path / "plan.json").unlink()
    store = ConditionStore(tmp_path)
    with (
        pytest.raises(StoreError, match=r"has 4 records, and plan.json names 0; put plan.json bac"),
        store.writing(),
    ):
        pass
    assert (tmp_path / "records.jsonl").read_bytes() == kept


def test_a_second_writer_is_refused(tmp_path: Path) -> None:
    one, two = ConditionStore(tmp_path), ConditionStore(tmp_path)
    with one.writing(), pytest.raises(BusyError, match="another process is writing"), two.writing():
        pass
    with two.writing():
        pass


def test_the_plan_of_a_resumed_run_stays_with_its_splits(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    with store.writing():
        store.split(1)
        assert store.batches() == [["a", "b"], ["c"], ["d"], ["e"]]
        store.plan([["c", "d"], ["e"]], examples())
        assert store.batches() == [["a", "b"], ["c"], ["d"], ["e"]]


def test_the_plan_is_read_once_however_many_batches_there_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path, 0)
    read: list[str] = []

    def counted(path: Path, *_: object) -> Any:
        read.append(path.name)
        return json.loads(path.read_text())

    monkeypatch.setattr("icl.records.store.read_json", counted)
    with store.writing():
        while left := store.unfinished():
            index, ids = left[0]
            store.commit(index, [record(name) for name in ids], {})
    assert read == ["plan.json"]
    assert store.batches() == BATCHES


ABOUT = {
    "task": "intent", "method": "rank", "sampling": None,
    "identity": {"engine": {}, "rows": ["made", None, [1, 9], None, ["en", "de"]]},
    "template": {
        "name": "t", "text": "x", "language": "en", "words": {}, "labels": {}, "fallbacks": [],
    },
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"template": {"name": "t"}}, "template.text is missing"),
        ({"identity": {"engine": {}, "rows": 3}}, "identity.rows: expected array, got int"),
        (
            {"identity": {"engine": {}, "rows": []}},
            "identity.rows: expected array of at least length 5, got 0",
        ),
        ({"sampling": "greedy"}, "sampling: expected object | null, got str"),
        ({"identity": None}, "identity: expected object, got null"),
    ],
)
def test_what_a_condition_says_of_itself_is_checked(
    tmp_path: Path, change: dict[str, Any], wrong: str
) -> None:
    store = ConditionStore(tmp_path)
    store.begin(ABOUT)
    made = store.condition()
    assert made.identity.json == ABOUT["identity"]
    assert made.identity.rows == RowsIdentity("made", None, (1, 9), None, ("en", "de"))
    assert (made.task, made.max_tokens, made.template.text) == ("intent", None, "x")
    (tmp_path / "condition.json").write_text(json.dumps({**ABOUT, **change}))
    with pytest.raises(StoreError, match=f"condition.json: {wrong}; put the file back"):
        store.condition()


def test_other_rows_are_planned_anew_behind_what_is_done(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    with store.writing():
        store.plan([["e"]], [])
        assert store.batches() == [["a", "b"], ["e"]]
    assert set(store.examples()) == set(IDS)


def test_a_batch_out_of_turn_is_our_own_bug(tmp_path: Path) -> None:
    store = filled(tmp_path, 1)
    with store.writing(), pytest.raises(AssertionError, match="not the next"):
        store.commit(2, [record("e")], {})


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_full_disk_leaves_the_records_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    store = filled(tmp_path, 1)
    before = (tmp_path / "records.jsonl").read_bytes()
    real = os.write
    calls = 0

    def write(handle: int, data: bytes) -> int:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(code, os.strerror(code))
        return real(handle, bytes(data)[:10])

    with store.writing():
        monkeypatch.setattr(os, "write", write)
        with pytest.raises(StoreError, match="everything committed so far is safe"):
            store.commit(1, [record("c"), record("d")], {})
        monkeypatch.setattr(os, "write", real)
        assert (tmp_path / "records.jsonl").read_bytes() == before
        store.commit(1, [record("c"), record("d")], {})
    assert list(store.records()) == ["a", "b", "c", "d"]


def test_two_threads_replace_a_file_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, sync, other = tmp_path / "a.json", os.fsync, []

    def meanwhile(handle: int) -> None:
        if not other:
            other.append(threading.Thread(target=replace_file, args=(path, "second")))
            other[0].start()
            other[0].join()
        sync(handle)

    monkeypatch.setattr(os, "fsync", meanwhile)
    replace_file(path, "first")
    assert path.read_text() == "first"
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_replacing_a_file_fails_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "plan.json"
    replace_file(path, "old")

    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="no room on disk for .*plan.json"):
        replace_file(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["plan.json"]


def test_unreadable_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is missing"):
        read_json(tmp_path / "none.json", list[str])
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(StoreError, match="bad.json cannot be read"):
        read_json(tmp_path / "bad.json", list[str])
    (tmp_path / "examples.jsonl").write_text('{"id": "a"}\n')
    with pytest.raises(StoreError, match=r"examples\.jsonl:1: corrupt line"):
        ConditionStore(tmp_path).examples()


def test_a_torn_timing_loses_only_its_seconds(tmp_path: Path) -> None:
    store = filled(tmp_path, 2)
    path = tmp_path / "timings.jsonl"
    path.write_text(path.read_text()[:-4])
    assert store.timing() == {"rows": 2, "seconds": 1.5}
    assert len(store.records()) == 4


def test_what_stands_in_a_field_keeps_the_order_of_its_row(tmp_path: Path) -> None:
    first = Example("a", {"utt": "x", "found": {"z": 1, "a": {"y": 2, "b": 3}}}, ("t",))
    other = Example("a", {"utt": "x", "found": {"a": {"b": 3, "y": 2}, "z": 1}}, ("t",))
    store = ConditionStore(tmp_path)

    def kept(found: dict[str, Example]) -> str:
        return json.dumps(found["a"].fields["found"])

    with store.writing():
        store.plan([["a"]], [first], [first])
        assert kept(store.examples()) == kept(store.shots()) == kept({"a": first})
        store.plan([["a"]], [other])  # as an earlier version sorted it: another request is sent
        assert kept(store.examples()) == kept({"a": other})


def test_a_row_too_deep_to_be_read_again_is_refused_before_it_is_asked(tmp_path: Path) -> None:
    deep = Example("a", {"x": json.loads("[" * 200 + "]" * 200)})
    store = ConditionStore(tmp_path)
    with store.writing(), pytest.raises(DataError, match="'a': nested more than 100 brackets deep"):
        store.plan([["a"]], [deep])


def test_the_last_line_alone_may_be_torn(tmp_path: Path) -> None:
    filled(tmp_path, 2)
    path = tmp_path / "timings.jsonl"
    path.write_text('{"batch": ' + path.read_text())  # a killed writer's line, and the next one's
    assert ConditionStore(tmp_path).timing() == {"rows": 2, "seconds": 1.5}


def test_surrogates_of_all_kinds_come_back(tmp_path: Path) -> None:
    odd = Example("\ud800", {"a\udc00": "b\ud800c", "n": 10**30, "f": 0.1}, ("\udfff",))
    store = ConditionStore(tmp_path)
    with store.writing():
        store.plan([["\ud800"]], [odd])
        store.commit(0, [record("\ud800", shots=(("\udc01", "\ud800", 2.0),))], {})
    assert store.examples() == {"\ud800": odd}
    assert store.records() == {"\ud800": record("\ud800", shots=(("\udc01", "\ud800", 2.0),))}
    path = tmp_path / "examples.jsonl"
    path.write_bytes(path.read_bytes().replace(b"\xed\xa0\x80", b"\\ud800"))
    assert store.examples() == {"\ud800": odd}
