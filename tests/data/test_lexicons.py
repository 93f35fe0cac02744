"""Dictionaries read from tables and dictd files, and what is wrong in them."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from icl.core.errors import DataError
from icl.data.lexicons import Lexicon, chain_lexicons, read_inflections, read_lexicon

ENTRIES = (
    "good /ɡˈʊd/ <adj>\n\nema\n zuri (of taste), tamu\n",
    "grow up /ɡɹˈəʊ/ <v>\n1. kua\nto become older\n2. komaa\n",
)
DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


def table(folder: Path, text: str) -> Path:
    path = folder / "eng-swh.tsv"
    path.write_bytes(text.encode("utf-8"))
    return path


def dictd(folder: Path) -> Path:
    """A dictd dictionary of two entries with a header, as Debian's packages hold it."""
    header = "00-database-dictfmt-1.13.0\n"
    held, lines = header, [f"00databasedictfmt1130\tA\t{DIGITS[len(header)]}"]
    for entry, word in zip(ENTRIES, ("good", "grow up"), strict=True):
        start, size = len(held.encode()), len(entry.encode())
        assert size < 128 and start < 128
        numbers = [DIGITS[one // 64] + DIGITS[one % 64] for one in (start, size)]
        lines.append("\t".join([word, *numbers]))
        held += entry
    (folder / "eng-swh.index").write_text("\n".join(lines) + "\n")
    (folder / "eng-swh.dict.dz").write_bytes(gzip.compress(held.encode()))
    return folder / "eng-swh.index"


def test_a_table_of_two_or_three_columns(tmp_path: Path) -> None:
    told: list[str] = []
    text = "# FreeDict\nGood\tadj\tema; zuri\n\nGOOD\tn\twema\r\nbad\tadj\t \nodd\n"
    made = read_lexicon("d", table(tmp_path, text), tell=told.append)
    assert made.entries == {("good",): ("ema", "zuri", "wema")}
    assert told == [
        "lexicons.d: 2 of 4 lines are no word with translations and are left out, the first is "
        "eng-swh.tsv:5"
    ]
    two = read_lexicon("d", table(tmp_path, "grow up\tkua\n"))
    assert two.entries == {("grow", "up"): ("kua",)} and two.longest == 2


def test_letters_and_their_marks_are_one_character(tmp_path: Path) -> None:
    made = read_lexicon("d", table(tmp_path, "cafe\u0301\tcafe\u0301\n"))
    assert made.entries == {("café",): ("café",)}


def test_named_columns_turn_a_dictionary_round(tmp_path: Path) -> None:
    path = table(tmp_path, "ema\tadj\tgood\n")
    made = read_lexicon("d", path, ["senses", "_", "word"])
    assert made.entries == {("good",): ("ema",)}


@pytest.mark.parametrize("ending", [".index", ".dict", ".dict.dz"])
def test_a_dictd_dictionary_by_any_of_its_names(tmp_path: Path, ending: str) -> None:
    path = dictd(tmp_path)
    if ending == ".dict":
        (tmp_path / "eng-swh.dict").write_bytes(
            gzip.decompress((tmp_path / "eng-swh.dict.dz").read_bytes())
        )
    made = read_lexicon("d", path.with_name(f"eng-swh{ending}"))
    assert made.entries == {("good",): ("ema",), ("grow", "up"): ("kua", "komaa")}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a\tb\tc\td\n", "has 4 cells, and 2 (word, senses) or 3 (word, pos, senses) are known; "),
        ("a\t\nb\t ;\n", "holds no word with a translation; a line is a word, a tab and its tra"),
    ],
)
def test_a_table_that_is_none(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(DataError) as caught:
        read_lexicon("d", table(tmp_path, text))
    assert str(caught.value).startswith("lexicons.d: ") and told in str(caught.value)


def test_broken_dictd_files_are_told(tmp_path: Path) -> None:
    path = dictd(tmp_path)
    with pytest.raises(DataError, match="a dictd dictionary has no columns; leave out columns:"):
        read_lexicon("d", path, ["word", "senses"])
    path.write_text("good\t?\n")
    with pytest.raises(DataError, match=r"eng-swh\.index:1 is no headword with its place"):
        read_lexicon("d", path)
    (tmp_path / "eng-swh.dict.dz").write_bytes(b"no gzip")
    with pytest.raises(DataError, match=r"eng-swh\.dict\.dz cannot be read: .*; get it again"):
        read_lexicon("d", path)
    with pytest.raises(DataError, match="no such file"):
        read_lexicon("d", tmp_path / "none.tsv")


def test_forms_of_unimorph(tmp_path: Path) -> None:
    path = table(tmp_path, "grow\tgrew\tV;PST\n\ngrow\tgrown\tV;V.PTCP\nsee\tsaw\tV\nsaw\tsaw\tV\n")
    found = read_inflections("d", path)
    assert found == {"grew": ("grow",), "grown": ("grow",), "saw": ("see", "saw")}
    with pytest.raises(DataError, match=r"eng-swh\.tsv:1 is no line of UniMorph; write the lemma"):
        read_inflections("d", table(tmp_path, "grow\n"))


def test_two_dictionaries_through_a_pivot() -> None:
    first = Lexicon.of("swh-eng", [("zuri", ["good", "fine thing"]), ("kitu", ["thing"])])
    second = Lexicon.of("eng-deu", [("good", ["gut", "brav"]), ("fine", ["fein"])])
    told: list[str] = []
    made = chain_lexicons(first, second, told.append)
    assert made.entries == {("zuri",): ("gut", "brav")}
    assert told == ["lexicons.swh-eng: 1 of 2 words have a translation through eng-deu"]
    with pytest.raises(DataError, match="no translation in it is a word of swh-eng; `through:`"):
        chain_lexicons(first, first)


def test_any_changed_entry_changes_the_hash() -> None:
    one, two = (Lexicon.of("d", [("good", [word])]) for word in ("ema", "zuri"))
    assert one.identity() == Lexicon.of("other", [("Good", ["ema"])]).identity()
    assert one.identity() != two.identity()
