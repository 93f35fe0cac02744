"""Parallel lines, MASSIVE, and a format of one's own, on small files."""

import json
from pathlib import Path

import pytest

from icl.core.errors import ConfigError
from icl.core.registry import lookup, register
from icl.core.types import Example
from icl.data import DataSpec, load
from tests.datafiles import message, write

ROOT = Path(__file__).parents[2]


# --- parallel lines -----------------------------------------------------------------------------


def test_lines_pair(tmp_path):
    write(tmp_path / "dev.eng_Latn", "Good day.\r\nA\u2028B\n\nlast")
    write(tmp_path / "dev.swh_Latn", "Habari.\nC\n\nmwisho\n")
    spec = DataSpec("lines", tmp_path / "dev.{lang}", source="eng_Latn", target="swh_Latn")
    rows = load(spec)
    meta = {"source": "eng_Latn", "target": "swh_Latn", "locale": "swh_Latn"}
    first = {"source": "Good day.", "target": "Habari."}
    assert rows[0] == Example("0", first, ("Habari.",), meta, ("target",))
    assert [row.fields["source"] for row in rows] == ["Good day.", "A\u2028B", "", "last"]
    assert [row.id for row in rows] == ["0", "1", "2", "3"]


def test_lines_pair_folder_and_both_tags(tmp_path):
    (tmp_path / "eng-deu").mkdir()
    write(tmp_path / "eng-deu" / "t.eng", "one")
    write(tmp_path / "eng-deu" / "t.deu", "eins")
    path = tmp_path / "{source}-{target}" / "t.{lang}"
    (row,) = load(DataSpec("lines", path, source="eng", target="deu"))
    assert row.fields == {"source": "one", "target": "eins"}


def test_lines_without_gold(tmp_path):
    path = write(tmp_path / "news.txt", "one\ntwo\n")
    rows = load(DataSpec("lines", path, source="eng", locale="swh_Latn"))
    assert rows[1] == Example(
        "1",
        {"source": "two"},
        (),
        {"source": "eng", "target": "swh_Latn", "locale": "swh_Latn"},
        ("target",),
    )


def test_lines_of_different_length(tmp_path):
    write(tmp_path / "a.en", "1\n2\n")
    write(tmp_path / "a.de", "1\n2\n3\n")
    text = message(DataSpec("lines", tmp_path / "a.{lang}", source="en", target="de"))
    assert text.startswith(f"lines are not aligned: {tmp_path}/a.en has 2, {tmp_path}/a.de has 3")


def test_lines_errors(tmp_path):
    write(tmp_path / "a.en", "1\n2\n")
    (tmp_path / "a.de").write_bytes(b"1\n\xff\n")
    path = tmp_path / "a.{lang}"
    assert f"{tmp_path}/a.de:2: byte 0xff is not utf-8" in message(
        DataSpec("lines", path, source="en", target="de")
    )
    assert "Did you mean 'a.en'" in message(DataSpec("lines", path, source="en", target="em"))
    assert "give source:" in message(DataSpec("lines", path, target="de"))
    assert "source and target are the same file" in message(
        DataSpec("lines", path, source="en", target="en")
    )
    assert "names one file: write {lang}" in message(
        DataSpec("lines", tmp_path / "a.en", source="en", target="de")
    )
    assert "have no columns: leave out answer, id;" in message(
        DataSpec("lines", path, source="en", target="de", answer="x", id="y")
    )


# --- MASSIVE ------------------------------------------------------------------------------------


def massive_folder(tmp_path, inner="data"):
    folder = tmp_path / inner if inner else tmp_path
    folder.mkdir(exist_ok=True)
    for locale in ("sw-KE", "de-DE"):
        rows = [
            {
                "id": str(n),
                "locale": locale,
                "partition": part,
                "scenario": "alarm",
                "intent": "alarm_set",
                "utt": f"{locale} {n}",
                "annot_utt": f"{locale} [time : {n}]",
            }
            for n, part in enumerate(["train", "dev", "test"])
        ]
        write(folder / f"{locale}.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


@pytest.mark.parametrize("inner", ["data", ""])
def test_massive(tmp_path, inner):
    spec = DataSpec("massive", massive_folder(tmp_path, inner), locale="sw-KE", split="test")
    (row,) = load(spec)
    assert row == Example(
        "2",
        {
            "utt": "sw-KE 2",
            "intent": "alarm_set",
            "scenario": "alarm",
            "annot_utt": "sw-KE [time : 2]",
        },
        ("alarm_set",),
        {"locale": "sw-KE", "split": "test"},
        ("intent", "scenario", "annot_utt"),
    )


def test_massive_another_answer_and_own_names(tmp_path):
    spec = DataSpec(
        "massive",
        massive_folder(tmp_path),
        locale="sw-KE",
        answer="scenario",
        fields={"text": "utt", "slots": "annot_utt"},
    )
    row = load(spec)[0]
    assert row.targets == ("alarm",)
    assert row.inputs == {"text": "sw-KE 0"}


def test_massive_errors(tmp_path):
    folder = massive_folder(tmp_path)
    assert message(DataSpec("massive", folder, locale="sw")) == (
        f"no locale 'sw' in {folder}/data. Did you mean 'sw-KE'? There are: de-DE, sw-KE"
    )
    assert message(DataSpec("massive", folder)).startswith("massive needs a locale in")
    assert message(DataSpec("massive", folder)).endswith("; write one as `locale:` under `rows:`")
    assert "no split 'valid'. There are: dev, test, train" in message(
        DataSpec("massive", folder, locale="sw-KE", split="valid")
    )
    assert "no such file or folder" in message(DataSpec("massive", folder / "nix", locale="sw-KE"))
    file = folder / "data" / "sw-KE.jsonl"
    assert "is a file; give the folder" in message(DataSpec("massive", file, locale="sw-KE"))
    (tmp_path / "empty").mkdir()
    assert message(DataSpec("massive", tmp_path / "empty", locale="sw-KE")) == (
        f"no MASSIVE data in {tmp_path}/empty: LOCALE.jsonl or data/LOCALE.jsonl is needed"
    )


# --- load, sample, apart, hash ------------------------------------------------------------------


def test_a_format_of_a_plug_in():
    @register("format", "two_rows")
    def two_rows(spec):
        """Two rows of a test."""
        yield Example(spec.locale, {})
        yield Example("b", {})

    assert [row.id for row in load(DataSpec("two_rows", Path("x"), locale="a"))] == ["a", "b"]
    assert "the id 'b' appears twice" in message(DataSpec("two_rows", Path("x"), locale="b"))


def test_unknown_format():
    with pytest.raises(ConfigError, match="unknown format 'jsonl1'. Did you mean 'jsonl'"):
        load(DataSpec("jsonl1", Path("x")))


@pytest.mark.parametrize("name", ["jsonl", "csv", "tsv", "lines", "massive"])
def test_built_in_formats_are_those_of_the_entry_points(name):
    import tomllib
    from importlib import import_module

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, function = project["entry-points"]["icl.format"][name].partition(":")
    assert lookup("format", name) is getattr(import_module(module), function)
