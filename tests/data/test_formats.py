"""Packed files, columns, CoNLL, FLORES and NTREX: each reader on small files."""

import gzip
from pathlib import Path

import pytest

from icl.core.errors import ConfigError, DataError
from icl.core.types import Example
from icl.data import DataSpec, load
from icl.data.conll import join_tokens
from icl.data.flores_ntrex import pick_language
from tests.datafiles import message, write

# --- gzip ---------------------------------------------------------------------------------------

TEXTS = {
    "jsonl": '{"id": "1", "text": "eins"}\n{"id": "2", "text": "zwei"}\n',
    "csv": "id,text\n1,eins\n2,zwei\n",
    "tsv": "id\ttext\n1\teins\n2\tzwei\n",
    "lines": "eins\nzwei\n",
    "conll": "# id = 1\neins\tO\n\n# id = 2\nzwei\tO\n",
}


@pytest.mark.parametrize("format", list(TEXTS))
def test_every_text_format_may_be_packed(tmp_path, format):
    plain = write(tmp_path / "plain", TEXTS[format])
    packed = tmp_path / "packed.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    expected = load(DataSpec(format, plain))
    assert len(expected) == 2
    assert load(DataSpec(format, packed)) == expected
    assert load(DataSpec(format, tmp_path / "packed")) == expected  # .gz may be left out


def test_massive_may_be_packed(tmp_path):
    row = b'{"id": "1", "partition": "test", "utt": "a", "intent": "b", "scenario": "c", '
    (tmp_path / "sw-KE.jsonl.gz").write_bytes(gzip.compress(row + b'"annot_utt": "a"}'))
    assert load(DataSpec("massive", tmp_path, locale="sw-KE"))[0].targets == ("b",)


def test_broken_gzip_is_told_with_its_line(tmp_path):
    lines = b"".join(b'{"n": %d, "t": "%x"}\n' % (n, n**9) for n in range(20_000))
    packed = gzip.compress(lines)
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    text = message(DataSpec("jsonl", path))
    line = int(text.removeprefix(f"{path}:").partition(":")[0])
    assert 5_000 < line < 15_000
    assert text.endswith("the gzip file ends too early; get or pack it again")
    path.write_bytes(packed[:5000] + b"\0\xff" * 20 + packed[5040:])
    assert ": broken gzip (" in message(DataSpec("jsonl", path))
    path.write_bytes(b'{"n": 1}\n')
    text = message(DataSpec("jsonl", path))
    assert text.startswith(f"{path}:1: broken gzip (Not a gzipped file")
    assert text.endswith("or take .gz off the name of a file that is not packed")


def test_a_byte_far_down_is_told_with_its_line(tmp_path):
    good = b'{"t": "\xc3\xa4"}\n' * 3000
    (tmp_path / "a.jsonl").write_bytes(good + b'{"t": "\xff"}\n' + good)
    assert message(DataSpec("jsonl", tmp_path / "a.jsonl")).startswith(
        f"{tmp_path}/a.jsonl:3001: byte 0xff is not utf-8"
    )


# --- tables without a header, and values inside objects -----------------------------------------


def test_columns_name_a_table_without_a_header(tmp_path):
    path = write(tmp_path / "deu.trn", "sehen\tV;PST\tsah\ngehen\tV;PST\tging\n")
    spec = DataSpec("tsv", path, columns=("lemma", "features", "form"), answer="form")
    first, second = load(spec)
    assert first.fields == {"lemma": "sehen", "features": "V;PST", "form": "sah"}
    assert (second.id, second.targets, second.gold) == ("1", ("ging",), ("form",))
    skipped = load(DataSpec("tsv", path, columns=("lemma", "_", "form")))
    assert skipped[0].fields == {"lemma": "sehen", "form": "sah"}
    wrong = message(DataSpec("tsv", path, columns=("lemma", "form")))
    assert wrong.startswith(f"{path}:1: 3 cells, but columns: has 2;")
    doubled = write(tmp_path / "no.tsv", "a\ta\n")
    assert message(DataSpec("tsv", doubled)).endswith("give columns: [NAME, …]")


def test_a_field_may_be_a_key_of_an_object(tmp_path):
    path = write(
        tmp_path / "a.jsonl",
        '{"q": "?", "answers": {"text": ["a", "b"], "start": [3]}, "x.y": 1}\n',
    )
    fields = {"question": "q", "place": "answers.start", "dotted": "x.y"}
    spec = DataSpec("jsonl", path, fields=fields, answer="answers.text", gold=("place",))
    (row,) = load(spec)
    assert row.targets == ("a", "b")
    assert row.inputs == {"question": "?", "dotted": 1}
    whole = load(DataSpec("jsonl", path, answer="answers.text"))[0]
    assert whole.gold == ("answers", "answers.text")
    text = message(DataSpec("jsonl", path, answer="answers.txt"))
    assert text == f"{path}:1: no column 'answers.txt'. Did you mean 'text'? There are: start, text"


@pytest.mark.parametrize(
    ("format", "key", "value", "error"),
    [
        (
            "jsonl",
            "columns",
            ("a",),
            "columns: is for the format csv or tsv or conll or xlsx or unimorph, not jsonl",
        ),
        ("csv", "config", "a", "config: is for the format hf, not csv"),
        ("parquet", "revision", "a", "revision: is for the format hf, not parquet"),
    ],
)
def test_a_key_that_a_format_does_not_know_is_refused(format, key, value, error):
    with pytest.raises(ConfigError) as caught:
        load(DataSpec(format, Path("x"), **{key: value}))
    assert error in str(caught.value)


# --- CoNLL --------------------------------------------------------------------------------------

XSID = """# id = 7
# text = Wie heiß ist es?
# text-en = How hot is it?
# intent = weather/find
1\tWie\tweather/find\tO
2\theiß\tweather/find\tB-weather/attribute

# id = 8
# intent = alarm/set
1\t#\talarm/set\tO
2\tx\talarm/set\tB-x
"""


def test_conll_with_comments(tmp_path):
    path = write(tmp_path / "de.valid.conll", XSID)
    columns = ("_", "tokens", "_", "tags")
    first, second = load(DataSpec("conll", path, locale="de", columns=columns))
    assert first == Example(
        "7",
        {
            "text": "Wie heiß ist es?",
            "text-en": "How hot is it?",
            "intent": "weather/find",
            "tokens": ["Wie", "heiß"],
            "tags": ["O", "B-weather/attribute"],
        },
        ("O B-weather/attribute",),
        {"locale": "de"},
        ("tags",),
    )
    assert second.fields["text"] == "# x"
    fields = {"utterance": "text", "english": "text-en", "slots": "tags"}
    intent = DataSpec(
        "conll", path, fields={**fields, "english": "intent"}, columns=columns, answer="intent"
    )
    row = load(intent)[0]
    assert (row.targets, row.gold) == (("weather/find",), ("english", "slots"))
    assert row.inputs == {"utterance": "Wie heiß ist es?"}


def test_conll_2003(tmp_path):
    text = "-DOCSTART- -X- O O\n\nEU NNP I-NP B-ORG\n. . O O\n\n\nPeter NNP B-NP B-PER"
    path = write(tmp_path / "eng.testa", text)
    columns = ("tokens", "pos", "_", "tags")
    rows = load(DataSpec("conll", path, columns=columns))
    assert [row.fields["text"] for row in rows] == ["EU .", "Peter"]
    assert rows[0].fields["pos"] == ["NNP", "."]
    assert [row.id for row in rows] == ["0", "1"]
    assert rows[0].inputs.keys() == {"text", "tokens", "pos"}


@pytest.mark.parametrize(
    ("locale", "text"),
    [("ja-JP", "東京はTokyo Towerです"), ("de-DE", "東京 は Tokyo Tower です"), (None, None)],
)
def test_tokens_are_joined_as_the_script_writes_them(tmp_path, locale, text):
    tokens = ["東京", "は", "Tokyo", "Tower", "です"]
    path = write(tmp_path / "a.conll", "".join(f"{token}\tO\n" for token in tokens))
    (row,) = load(DataSpec("conll", path, locale=locale))
    assert row.fields["text"] == (text or " ".join(tokens))
    assert join_tokens([], spaced=False) == ""


@pytest.mark.parametrize(
    ("text", "columns", "error"),
    [
        ("a\tO\nb\n", (), ":2: 1 columns, but columns: names 2 (tokens, tags); name all of them"),
        ("a O X\n", (), ":1: 3 columns, but columns: names 2"),
        ("# id = 1\n# id = 2\na O\n", (), ":2: the key 'id' appears twice before one sentence"),
        ("# tags = 1\na O\n", (), ":1: the key 'tags' is a name in columns: too"),
        ("# id = 1\na O\n\n# id = 1\nb O\n", (), ":5: the id '1' is also on line 2"),
        ("# only a comment\n", (), ": no rows; check the path"),
    ],
)
def test_conll_errors(tmp_path, text, columns, error):
    path = write(tmp_path / "a.conll", text)
    assert message(DataSpec("conll", path, columns=columns)).startswith(str(path) + error)
    nameless = message(DataSpec("conll", path, columns=("token", "tags")))
    assert nameless.endswith("one of them has to be 'tokens'")


# --- FLORES and NTREX ---------------------------------------------------------------------------

TAGS = ["eng_Latn", "swh_Latn", "zho_Hans", "zho_Hant", "deu_Latn"]


@pytest.fixture
def flores(tmp_path):
    for split, count in (("dev", 2), ("devtest", 3)):
        (tmp_path / split).mkdir()
        for tag in TAGS:
            lines = "".join(f"{tag} {split} {n}\n" for n in range(count))
            write(tmp_path / split / f"{tag}.{split}", lines)
    rows = "".join(f"u{n}\twikinews\t\tno\tyes\n" for n in range(3))
    write(
        tmp_path / "metadata_devtest.tsv", "URL\tdomain\ttopic\thas_image\thas_hyperlink\n" + rows
    )
    return tmp_path


def test_flores(flores):
    spec = DataSpec("flores", flores, source="en", target="sw", split="devtest")
    rows = load(spec)
    assert rows[2] == Example(
        "devtest-2",
        {"source": "eng_Latn devtest 2", "target": "swh_Latn devtest 2"},
        ("swh_Latn devtest 2",),
        {
            "source": "en",
            "target": "sw",
            "locale": "sw",
            "split": "devtest",
            "domain": "wikinews",
        },
        ("target",),
    )
    dev = load(DataSpec("flores", flores, source="eng_Latn", target="zh-Hant", split="dev"))
    assert [row.id for row in dev] == ["dev-0", "dev-1"]
    assert dev[0].targets == ("zho_Hant dev 0",)
    only = load(DataSpec("flores", flores, source="de", split="dev"))
    assert (only[0].fields, only[0].targets) == ({"source": "deu_Latn dev 0"}, ())


def test_flores_errors(flores):
    def told(**options):
        return message(DataSpec("flores", flores, **{"source": "en", "split": "dev"} | options))

    assert told(target="fr").startswith(f"no language 'fr' in {flores}/dev")
    assert "source and target are the same file" in told(target="eng")
    assert told(split="test") == (
        f"no split 'test' in {flores}. Did you mean 'devtest'? There are: dev, devtest"
    )
    assert told(split=None).startswith(f"flores needs a split in {flores}")
    assert told(source=None) == "flores is parallel text: give pair: {from: LANG, to: LANG}"
    assert told(target="klingonisch").startswith("'klingonisch' is not the tag of a language")
    write(flores / "devtest" / "swh_Latn.devtest", "1\n2\n")
    text = told(split="devtest", target="sw")
    assert text.startswith("lines are not aligned") and "has 3" in text and "has 2" in text
    for tag in TAGS:
        write(flores / "devtest" / f"{tag}.devtest", "1\n2\n3\n4\n")
    assert "metadata_devtest.tsv has fewer rows than" in told(split="devtest", target="sw")
    empty = flores / "empty"
    empty.mkdir()
    assert message(DataSpec("flores", empty, source="en")) == (
        f"no FLORES in {empty}: devtest/LANG.devtest or dev/LANG.dev is needed"
    )
    file = flores / "metadata_devtest.tsv"
    assert message(DataSpec("flores", file, source="en")).endswith(
        "give the folder of the data set"
    )
    assert "leave out answer; templates read" in message(DataSpec("flores", flores, answer="x"))


@pytest.mark.parametrize("inner", ["NTREX-128", ""])
def test_ntrex(tmp_path, inner):
    folder = tmp_path / inner
    folder.mkdir(exist_ok=True)
    names = ["src.eng", "ref.zho-CN", "ref.zho-TW", "ref.fra", "ref.fra-CA", "ref.eng-GB"]
    for name in names:
        write(folder / f"newstest2019-{name}.txt", f"{name} 0\n{name} 1\n")
    write(tmp_path / "DOCUMENT_IDS.tsv", "bbc.1\nbbc.2\n")
    rows = load(DataSpec("ntrex", tmp_path, source="en", target="zh"))
    assert rows[1].fields == {"source": "src.eng 1", "target": "ref.zho-CN 1"}
    assert rows[1].meta["document"] == "bbc.2"
    assert rows[1].id == "1"
    for tag, name in (("zh-TW", "ref.zho-TW"), ("fr", "ref.fra"), ("fr-CA", "ref.fra-CA")):
        row = load(DataSpec("ntrex", tmp_path, source="eng", target=tag))[0]
        assert row.targets == (f"{name} 0",)
    text = message(DataSpec("ntrex", tmp_path, source="en", target="fr", split="dev"))
    assert text == "NTREX has no splits: leave out split: 'dev', or give lines:"
    (tmp_path / "none").mkdir()
    assert message(DataSpec("ntrex", tmp_path / "none", source="en")) == (
        f"no NTREX in {tmp_path}/none: newstest2019-ref.LANG.txt is needed"
    )


def test_pick_language():
    assert pick_language("sw-KE", ["swh_Latn", "eng_Latn"]) == "swh_Latn"
    assert pick_language("sr-Cyrl", ["srp-Latn", "srp-Cyrl"]) == "srp-Cyrl"
    assert pick_language("pt-BR", ["por"]) == "por"
    with pytest.raises(DataError, match="the data has 2 files of 'es': write spa-ES or spa-MX"):
        pick_language("es", ["spa-ES", "spa-MX"])
    with pytest.raises(DataError, match="no language 'zh-TW' in the data; there is zho_Hans"):
        pick_language("zh-TW", ["zho_Hans", "eng_Latn"])
