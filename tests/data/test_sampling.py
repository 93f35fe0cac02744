import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icl.core.errors import DataError
from icl.core.types import Example, digest
from icl.data import DataSpec, RowHashes, draw, hash_data, keep_apart, load, sample, scan
from icl.data.rows import Digests
from tests.datafiles import message, write

rows = st.lists(
    st.builds(
        Example, st.text(max_size=3), st.dictionaries(st.text(max_size=2), st.integers(0, 2))
    ),
    unique_by=lambda row: row.id,
    max_size=20,
)
quick = settings(deadline=None, database=None, max_examples=40)


@quick
@given(rows, st.none() | st.integers(0, 25), st.integers())
def test_a_stream_gives_the_same_sample_as_a_list(examples, n, seed):
    drawn = draw(iter(examples), n, seed)
    assert drawn.examples == sample(examples, n, seed)
    assert drawn.available == len(examples)


@quick
@given(rows, rows, st.booleans())
def test_apart_by_hashes_equals_apart_by_comparison(pool, test, same_source):
    ids = {row.id for row in test} if same_source else set()
    contents = {row.content for row in test}
    kept = [row for row in pool if row.id not in ids and row.content not in contents]
    assert keep_apart(iter(pool), test, same_source) == (kept, len(pool) - len(kept))
    seen = draw(iter(test), 1, 0).seen
    assert keep_apart(pool, seen, same_source, n=2, seed=7)[0] == sample(kept, 2, 7)


def test_a_larger_pool_sample_keeps_the_old_rows():
    pool = [Example(str(n), {"t": str(n)}) for n in range(50)]
    few, left_out = keep_apart(pool, pool[:10], n=5, seed=1)
    more, _ = keep_apart(pool, pool[:10], n=20, seed=1)
    assert more[:5] == few
    assert left_out == 10


def test_labels_are_kept_only_where_asked_for():
    examples = [Example(str(n), {}, (f"label {n % 3}", "other")) for n in range(9)]
    assert draw(examples, 2, 0).seen.labels == {"label 0", "label 1", "label 2", "other"}
    assert draw(examples, 2, 0, labels=False).seen.labels == set()


@quick
@given(st.lists(st.text(max_size=3), max_size=30), st.text(max_size=3))
def test_digests_are_a_set_that_knows_what_is_doubled(texts, other):
    digests = Digests(texts)
    assert (other in digests) == (other in texts)
    found = list(digests.doubled())
    assert [second for _, second in found] == [n for n, t in enumerate(texts) if t in texts[:n]]
    assert all(texts[first] == texts[second] for first, second in found)


def test_the_hash_of_a_stream_is_that_of_one_json_text():
    examples = [Example(str(n), {"b": [1, {"ä": None}], "a": "x"}, ("t",)) for n in range(3)]
    for some in (examples, examples[:1], []):
        whole = digest([[row.id, dict(row.fields), list(row.targets)] for row in some])
        assert hash_data(iter(some)) == whole


@pytest.mark.parametrize("count", [10_000, pytest.param(200_000, marks=pytest.mark.slow)])
def test_a_sample_of_a_large_file_takes_bounded_memory(tmp_path, count):
    path = tmp_path / "rows.jsonl"  # 1.3 KB a row: 13 MB and 260 MB
    filler = "word " * 255
    with path.open("w") as file:
        for n in range(count):
            file.write(f'{{"id": "r{n}", "t": "{n} {filler}", "split": "{"ab"[n % 2]}"}}\n')
    tracemalloc.start()
    drawn = draw(scan(DataSpec("jsonl", path, split="a")), 20, seed=3, labels=False)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert drawn.available == count // 2
    # 32 bytes of hashes for each of these rows, and as much again while one array is sorted.
    assert peak < 1_000_000 + 64 * drawn.available
    ids = (Example(f"r{n}", {}) for n in range(0, count, 2))
    assert [row.id for row in drawn.examples] == [row.id for row in sample(ids, 20, 3)]


def test_ids_that_stand_twice_are_told_with_both_lines(tmp_path):
    lines = [f'{{"id": "{n}", "split": "s"}}' for n in range(5)]
    lines[1:1] = [""]
    path = write(tmp_path / "a.jsonl", "\n".join([*lines, lines[3], lines[0]]))
    assert message(DataSpec("jsonl", path)) == (
        f"{path}:7: the id '2' is also on line 4; write `id: row` in the data to number the "
        "rows instead"
    )
    assert message(DataSpec("jsonl", path, split="s")).count("the id '2' is also on line 4;")


def test_what_stands_behind_the_lines_asked_for_is_checked_too(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"id": 1}\n{"id": 2}\n{"id": 1}\n')
    assert "the id '1' is also on line 1" in message(DataSpec("jsonl", path, lines=(1, 2)))
    write(tmp_path / "x.en", "1\n2\n3\n")
    write(tmp_path / "x.de", "1\n2\n")
    spec = DataSpec("lines", tmp_path / "x.{lang}", source="en", target="de", lines=(1, 2))
    assert message(spec).startswith("lines are not aligned")


def test_rows_before_a_fault_are_given_and_the_fault_is_not_lost(tmp_path):
    path = write(tmp_path / "a.jsonl", '{"t": 1}\n{"t": \n')
    stream = scan(DataSpec("jsonl", path))
    assert next(stream).id == "0"
    with pytest.raises(DataError, match=":2: not a line of JSON"):
        next(stream)


def test_ids_carry_the_split_that_picks_the_file(tmp_path):
    for split in ("train", "test"):
        write(tmp_path / f"{split}.jsonl", f'{{"t": "{split}"}}\n')
        write(tmp_path / f"{split}.en", "one\n")
    path = tmp_path / "{split}.jsonl"
    train, test = (load(DataSpec("jsonl", path, split=s)) for s in ("train", "test"))
    assert (train[0].id, test[0].id) == ("train-0", "test-0")
    assert keep_apart(train, test) == (train, 0)
    lines = DataSpec("lines", tmp_path / "{split}.{lang}", source="en", split="test")
    assert load(lines)[0].id == "test-0"
    assert len(RowHashes()) == 0
