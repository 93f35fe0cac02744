"""Tables of inflected forms: both orders of the columns, several right forms, and bad lines."""

from __future__ import annotations

from pathlib import Path

import pytest

from icl.core.errors import DataError
from icl.data import DataSpec, load
from tests.data.test_real import shared

FORM_FIRST = "sing\tsang\tV;PST\nsing\tsings\tV;PRS;3;SG\nwolf\twolves\tN;PL\n"
FORM_LAST = "sing\tV;PST\tsang\nsing\tV;PRS;3;SG\tsings\nwolf\tN;PL\twolves\n"


def spec(folder: Path, text: str, notes: list[str] | None = None, **options: object) -> DataSpec:
    path = folder / "eng.tsv"
    path.write_text(text, "utf-8")
    tell = None if notes is None else notes.append
    return DataSpec("unimorph", path, tell=tell, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("text", [FORM_FIRST, FORM_LAST], ids=["form first", "form last"])
def test_both_orders_give_the_same_rows(tmp_path: Path, text: str) -> None:
    rows = load(spec(tmp_path, text))
    assert [(row.inputs, row.targets) for row in rows] == [
        ({"lemma": "sing", "features": "V;PST"}, ("sang",)),
        ({"lemma": "sing", "features": "V;PRS;3;SG"}, ("sings",)),
        ({"lemma": "wolf", "features": "N;PL"}, ("wolves",)),
    ]
    assert all(row.gold == ("form",) for row in rows)


def test_columns_may_be_named(tmp_path: Path) -> None:
    columns = ("lemma", "form", "features", "_")
    (row,) = load(spec(tmp_path, "a\tb\tc\td\n", columns=columns))
    assert (row.inputs, row.targets) == ({"lemma": "a", "features": "c"}, ("b",))


def test_fields_may_have_other_names(tmp_path: Path) -> None:
    fields = {"word": "lemma", "tags": "features", "answer": "form"}
    row = load(spec(tmp_path, FORM_LAST, fields=fields))[0]
    assert row.inputs == {"word": "sing", "tags": "V;PST"} and row.targets == ("sang",)


def test_several_forms_of_one_cell_are_all_right(tmp_path: Path) -> None:
    notes: list[str] = []
    text = "dream\tdreamt\tV;PST\ndream\tdreams\tV;PRS\ndream\tdreamed\tV;PST\nX\tdreamt\tV;PST\n"
    rows = load(spec(tmp_path, text, notes))
    assert [row.targets for row in rows] == [("dreamt", "dreamed"), ("dreams",), ("dreamt",)]
    assert [note.partition(": ")[2] for note in notes] == [
        "1 lines repeat lemma and features of another one; each form of such a row counts as right"
    ]


def test_empty_lines_and_other_forms_of_unicode_are_counted(tmp_path: Path) -> None:
    notes: list[str] = []
    text = "\nsing\tsang\tV;PST\n\ncafe\u0301\tcafe\u0301s\tN;PL\nX\tx\tN\n"
    rows = load(spec(tmp_path, text, notes))
    assert [row.fields["lemma"] for row in rows] == ["sing", "cafe\u0301", "X"]
    assert [note.partition(": ")[2].partition(";")[0] for note in notes] == [
        "2 empty lines are left out",
        "1 lines are not in Unicode's form NFC",
    ]


@pytest.mark.parametrize(
    ("text", "columns", "message"),
    [
        ("a\tb\tN\nc\td\n", (), r":2: 2 columns, and 3 are needed \(lemma, form, features\); corr"),
        ("a\tb\tN\nc\t\tN\n", (), r":2: the form is empty; fill it in, or take the line out"),
        ("a\tb\n", (), r": 2 columns in the first line, and lemma, form and features between tabs"),
        ("a\tb\tc\n", (), r"column 1 in 0, column 2 in 0, column 3 in 0; .*write columns: \[lemma"),
        ("N;PL\ta\tb\n", (), r"column 1 in 1, .*in the second or in the third alone, so write"),
        ("a\tb\tN\n", ("lemma", "forn", "features"), r"lacks 'form'. Did you mean 'forn'"),
        ("", (), r": 0 columns in the first line"),
    ],
)
def test_bad_tables(tmp_path: Path, text: str, columns: tuple[str, ...], message: str) -> None:
    with pytest.raises(DataError, match=message):
        load(spec(tmp_path, text, columns=columns))


@pytest.mark.parametrize("folder", [shared("morphology")])
def test_real_tables(folder: Path) -> None:
    last = load(DataSpec("unimorph", folder / "sigmorphon2023" / "tur.dev"))
    assert len(last) == 200 and last[0].inputs["features"] == "V;NEC;PRS;NEG;DECL;NOM(2,PL)"
    path = folder / "sigmorphon2022" / "{locale}*.{split}"
    first = load(DataSpec("unimorph", path, locale="kor", split="train"))
    assert first[0].targets == ("흥분할",) and first[0].inputs["features"] == "V.PTCP;FUT"
    several = load(DataSpec("unimorph", folder / "unimorph" / "swc"))
    assert len(several) == 2525 - 275
    lines = (folder / "unimorph" / "swc").read_text("utf-8").splitlines()
    assert sum(len(row.targets) for row in several) == len(set(lines)) < len(lines)
