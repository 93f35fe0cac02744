"""Samples, pools kept apart, and readers on real data sets where they are at hand."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from icl.core.bio import (
    align_marks,
    find_chunks,
    find_spans,
    is_unspaced,
    read_exact_marks,
    read_marks,
    split_tokens,
    tag_spans,
    write_marks,
)
from icl.core.errors import ConfigError
from icl.core.slot_answers import read_slot_source, read_slot_tags
from icl.core.types import Example
from icl.data import DataSpec, hash_data, keep_apart, load, sample
from icl.data.tables import list_massive_locales

ROOT = Path(__file__).parents[2]
SHARED = ROOT.parent / "shared" / "data"


def shared(name):
    return pytest.param(
        SHARED / name,
        marks=pytest.mark.skipif(
            not (SHARED / name).is_dir(), reason=f"no {name} beside the checkout"
        ),
        id=name,
    )


def examples(ids):
    return [Example(identity, {"t": f"text of {identity}"}) for identity in ids]


def test_sample_is_in_the_order_of_sha256():
    rows = examples("abcdef")
    expected = sorted("abcdef", key=lambda i: hashlib.sha256(f"3:{i}".encode()).hexdigest())
    assert [row.id for row in sample(rows, 4, seed=3)] == expected[:4]
    assert [row.id for row in sample(rows, None, seed=3)] == expected
    assert [row.id for row in sample(rows, 99, seed=3)] == expected
    assert [row.id for row in sample(rows, None, seed=4)] != expected
    with pytest.raises(ConfigError, match="n is -1"):
        sample(rows, -1, seed=0)


ids = st.lists(st.text(max_size=4), unique=True, max_size=30)


@settings(deadline=None, database=None)
@given(ids, st.integers(0, 30), st.integers(0, 30), st.integers(), st.randoms())
def test_a_larger_sample_only_adds_and_file_order_is_nothing(names, few, more, seed, shuffle):
    few, more = sorted((few, more))
    rows = examples(names)
    mixed = list(rows)
    shuffle.shuffle(mixed)
    large = sample(rows, more, seed)
    assert sample(mixed, few, seed) == large[:few]
    assert len(large) == min(more, len(rows))


def test_apart_by_id_and_by_content():
    pool = [
        Example("1", {"t": "a"}),
        Example("2", {"t": "Same  Text"}),
        Example("3", {"t": "b"}),
        Example("4", {"t": "b"}),
    ]
    test = [Example("1", {"t": "other"}), Example("9", {"t": "same text"})]
    assert keep_apart(pool, test) == (pool[2:], 2)
    assert keep_apart(pool, test, same_source=False) == ([pool[0], *pool[2:]], 1)
    assert keep_apart(pool, []) == (pool, 0)


def test_data_hash():
    rows = [Example("1", {"b": 1, "a": "ä"}, ("x",), {"locale": "de"})]
    known = hashlib.sha256('[["1",{"a":"ä","b":1},["x"]]]'.encode()).hexdigest()
    assert hash_data(rows) == known
    assert hash_data([Example("1", {"b": 1, "a": "ä"}, ("y",))]) != known
    two = examples("ab")
    assert hash_data(two) != hash_data(two[::-1])


# --- real data ----------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [shared("massive")])
def test_real_massive(folder):
    drawn = set()
    for locale in ("en-US", "sw-KE", "hi-IN", "zh-CN"):
        splits = {
            s: load(DataSpec("massive", folder, locale=locale, split=s))
            for s in ("train", "dev", "test")
        }
        assert {s: len(rows) for s, rows in splits.items()} == {
            "train": 700,
            "dev": 100,
            "test": 200,
        }
        drawn.add(tuple(row.id for row in sample(splits["test"], 50, seed=0)))
        assert all(row.targets == (row.fields["intent"],) for row in splits["test"])
    assert len(drawn) == 1


@pytest.mark.parametrize("folder", [shared("flores200")])
def test_real_flores(folder):
    path = folder / "devtest" / "{lang}.devtest"
    drawn = set()
    for target in ("deu_Latn", "swh_Latn", "hin_Deva", "zho_Hans"):
        rows = load(DataSpec("lines", path, source="eng_Latn", target=target))
        assert [row.id for row in rows] == [str(n) for n in range(503)]
        part = load(DataSpec("lines", path, source="eng_Latn", target=target, lines=(301, 503)))
        assert part == rows[300:]
        drawn.add(tuple((r.id, r.fields["source"]) for r in sample(part, 20, seed=7)))
    assert len(drawn) == 1


@pytest.mark.parametrize("folder", [shared("ntrex")])
def test_real_ntrex(folder):
    path = folder / "NTREX-128" / "newstest2019-*.{lang}.txt"
    rows = load(DataSpec("lines", path, source="eng", target="zho-CN"))
    assert len(rows) == 603
    assert rows[0].meta == {"source": "eng", "target": "zho-CN", "locale": "zho-CN"}


@pytest.mark.parametrize("folder", [shared("tatoeba")])
def test_real_tatoeba(folder):
    path = folder / "{source}-{target}" / "tatoeba-test-v2021-08-07.{lang}"
    counts = {
        target: len(load(DataSpec("lines", path, source="eng", target=target)))
        for target in ("swa", "cym", "zho")
    }
    assert counts == {"swa": 200, "cym": 393, "zho": 500}


@pytest.mark.parametrize("folder", [shared("tico19")])
def test_real_tico19(folder):
    path = folder / "{source}-{target}" / "tico19-test.{lang}"
    for target in ("sw", "es_LA", "hi"):
        assert len(load(DataSpec("lines", path, source="en", target=target))) == 250


@pytest.mark.parametrize(
    ("folder", "counts"),
    [
        pytest.param(SHARED / "banking77", {"train": 924}, id="banking77"),
        pytest.param(SHARED / "clinc150", {"train": 1500, "val": 500}, id="clinc150"),
    ],
)
def test_real_intents_in_json_lines(folder, counts):
    if not folder.is_dir():
        pytest.skip(f"no {folder.name} beside the checkout")
    for split, count in counts.items():
        spec = DataSpec(
            "jsonl",
            folder / "{split}.jsonl",
            split=split,
            answer="intent",
            gold=("domain",) if folder.name == "clinc150" else (),
        )
        rows = load(spec)
        assert len(rows) == count
        assert list(rows[0].inputs) == ["text"]


@pytest.mark.parametrize("folder", [shared("xcopa")])
def test_real_xcopa(folder):
    found = {}
    for locale in ("id", "sw", "ta", "tr", "zh"):
        path = folder / "{locale}" / "val.{locale}.jsonl"
        rows = load(DataSpec("jsonl", path, locale=locale, answer="label", id="idx"))
        assert len(rows) == 100
        assert {row.targets for row in rows} == {("0",), ("1",)}
        found[locale] = [row.id for row in sample(rows, 10, seed=1)]
    assert len({tuple(drawn) for drawn in found.values()}) == 1


@pytest.mark.parametrize("folder", [shared("flores200")])
def test_real_flores_folder_is_the_lines_under_other_names(folder):
    lines = DataSpec(
        "lines", folder / "devtest" / "{lang}.devtest", source="eng_Latn", target="zho_Hans"
    )
    rows = load(DataSpec("flores", folder, source="en", target="zh"))
    assert [row.fields for row in rows] == [row.fields for row in load(lines)]
    assert rows[0].id == "devtest-0"
    assert rows[0].meta["domain"] == "wikinews"


@pytest.mark.parametrize("folder", [shared("ntrex")])
def test_real_ntrex_folder(folder):
    rows = load(DataSpec("ntrex", folder, source="en", target="sw"))
    assert len(rows) == 603
    assert rows[0].meta["document"].startswith("bbc.")
    assert len({row.meta["document"] for row in rows}) < 60


@pytest.mark.parametrize("folder", [shared("xsid")])
def test_real_xsid(folder):
    columns = ("_", "tokens", "_", "tags")
    for locale in ("de", "en", "id", "tr", "zh"):
        path = folder / "{locale}.valid.conll"
        rows = load(DataSpec("conll", path, locale=locale, columns=columns))
        assert len(rows) == 300
        assert [row.id for row in rows[:2]] == (["0", "1"] if locale == "en" else ["1", "2"])
        assert all(len(row.fields["tokens"]) == len(row.fields["tags"]) for row in rows)
        assert rows[0].gold == ("tags",)
        assert rows[0].fields["intent"] == "weather/find"


@pytest.mark.parametrize("folder", [shared("massive")])
def test_the_slots_of_massive_are_those_of_its_text_in_every_locale(folder):
    for locale in list_massive_locales(folder):
        unspaced = is_unspaced(locale)
        for row in load(DataSpec("massive", folder, locale=locale)):
            text, annotated = str(row.fields["utt"]), str(row.fields["annot_utt"])
            tokens = split_tokens(text, unspaced)
            spans = read_exact_marks(annotated, tokens)
            tags = tag_spans(spans, len(tokens))
            marked = write_marks(text, tokens, find_spans(tags), unspaced)
            assert "".join(marked.split()) == "".join(annotated.split()) or "][" in marked
            assert align_marks(read_marks(annotated), tokens, unspaced=unspaced) == (tags, False)


@pytest.mark.parametrize("folder", [shared("xsid")])
def test_the_slots_of_xsid_are_read_as_they_stand(folder):
    for path in sorted(folder.rglob("*.valid.conll")):
        spec = DataSpec("conll", path, locale=path.name[:2], columns=("_", "tokens", "_", "tags"))
        for row in load(spec):
            source = read_slot_source(row.fields, "text", "tags", path.name[:2])
            tags = read_slot_tags(row.fields["tags"], source)
            assert find_chunks(tags) == find_chunks(list(row.fields["tags"]))
            marked = read_marks(source.mark(tags), literal="[" in source.text)
            assert align_marks(marked, source.tokens, merge=False) == (tags, False)
