"""Workbooks as Excel and LibreOffice write them, and as a stranger might."""

from __future__ import annotations

import datetime
import random
import re
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import openpyxl
import pytest

from icl.core.errors import ConfigError, DataError
from icl.data import DataSpec, load
from icl.data.columns import read_columns
from icl.experiment.file import load_experiment
from icl.experiment.table_starter import start_from_table

ROWS = [["text", "label", "n"], ["good film", "yes", 3], ["bad film", "no", 4.5]]


def write(path: Path, rows: Sequence[Sequence[Any]], **sheets: Sequence[Sequence[Any]]) -> Path:
    book = openpyxl.Workbook()
    first = book.active
    assert first is not None
    first.title = "first"
    for row in rows:
        first.append(row)
    for name, more in sheets.items():
        sheet = book.create_sheet(name)
        for row in more:
            sheet.append(row)
    book.save(path)
    return path


def spec(path: Path, **more: Any) -> DataSpec:
    return DataSpec("xlsx", path, **more)


def test_values_keep_their_type(tmp_path: Path) -> None:
    day = datetime.date(2026, 11, 29)
    cells = ["a", 3, 4.5, True, day, datetime.datetime(2026, 11, 29, 8, 30), None, "z"]
    names = ["t", "n", "x", "b", "day", "time", "empty", "last"]
    (row,) = load(spec(write(tmp_path / "t.xlsx", [names, cells])))
    assert list(row.fields.values()) == [
        "a",
        3,
        4.5,
        True,
        "2026-11-29",
        "2026-11-29T08:30:00",
        "",
        "z",
    ]
    assert row.id == "0"


def test_ids_splits_and_answers_are_those_of_a_table(tmp_path: Path) -> None:
    rows = [["id", "split", "text", "label"], [7, "test", "a", "yes"], [8, "train", "b", None]]
    path = write(tmp_path / "t.xlsx", rows)
    one, two = load(spec(path, answer="label"))
    assert (one.id, one.targets, one.meta) == ("7", ("yes",), {"split": "test"})
    assert (two.id, two.targets) == ("8", ())
    (only,) = load(spec(path, answer="label", split="train"))
    assert only.id == "8"


def test_rows_without_cells_are_skipped_and_the_sheet_may_begin_below(tmp_path: Path) -> None:
    rows = [[], [], ["text", "label"], [], ["a", "yes"], [None, None], ["b"]]
    found = load(spec(write(tmp_path / "t.xlsx", rows)))
    assert [row.fields for row in found] == [
        {"text": "a", "label": "yes"},
        {"text": "b", "label": ""},
    ]


def test_another_sheet_is_named_by_at(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", ROWS, other=[["q", "a"], ["1+1", "2"]])
    said: list[str] = []
    assert len(load(spec(path, tell=said.append))) == 2
    assert said[0] == f"{path}: the sheet 'first' is read; at: names another: other"
    (row,) = load(spec(path, at="other"))
    assert row.fields == {"q": "1+1", "a": "2"}
    with pytest.raises(DataError, match=r"at: no sheet 'othr'. Did you mean 'other'\?"):
        load(spec(path, at="othr"))


def test_columns_name_those_of_a_sheet_without_names(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", ROWS[1:])
    assert [row.fields for row in load(spec(path, columns=("text", "_", "n")))] == [
        {"text": "good film", "n": 3},
        {"text": "bad film", "n": 4.5},
    ]
    with pytest.raises(ConfigError, match="delimiter: is for the format csv or tsv, not xlsx"):
        load(spec(path, delimiter=";"))


@pytest.mark.parametrize(
    ("rows", "fault"),
    [
        ([], "empty; a first row with the names of the columns is needed$"),
        ([["a", "a"], [1, 2]], "row 1: the column 'a' appears twice in the first row; give each"),
        ([["a", None, "c"], [1, 2, 3]], "row 1: a column has no name in the first row; give each"),
        ([["a", "b"], [1, 2, 3]], "row 2: 3 cells, but there are 2 columns; name each column in"),
    ],
)
def test_a_table_that_is_none_is_told(tmp_path: Path, rows: Any, fault: str) -> None:
    with pytest.raises(DataError, match=re.escape(str(tmp_path / "t.xlsx")) + ".*" + fault):
        load(spec(write(tmp_path / "t.xlsx", rows)))


def test_a_path_that_ends_in_xlsx_tells_its_format(tmp_path: Path) -> None:
    write(tmp_path / "t.xlsx", ROWS)
    (tmp_path / "e.yaml").write_text(
        "models: {t: {engine: table}}\n"
        "data: {mine: {path: t.xlsx, answer: label}}\n"
        "tasks: [{task: generate, prompt: generate/question, rows: {data: mine}}]\n"
    )
    assert load_experiment(tmp_path / "e.yaml").raw["data"]["mine"]["path"] == "t.xlsx"


def test_a_starter_is_made_from_a_sheet_like_from_the_same_csv(tmp_path: Path) -> None:
    words = ["good", "bad"]
    rows = [[f"a {words[n % 2]} film, number {n}", words[n % 2]] for n in range(12)]
    sheet = write(tmp_path / "films.xlsx", [["review", "sentiment"], *rows])
    table = tmp_path / "films.csv"
    table.write_text("review,sentiment\n" + "".join(f'"{a}",{b}\n' for a, b in rows))
    one, two = (start_from_table(tmp_path / p.suffix[1:], p) for p in (sheet, table))
    assert [g.found for g in one.guesses] == [g.found for g in two.guesses]
    for name in ("prompt.j2", "rows.jsonl"):
        texts = [(made.experiment.parent / name).read_text() for made in (one, two)]
        assert texts[0].replace(".xlsx", ".csv") == texts[1]


def test_a_first_row_that_reads_like_a_row_is_told(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.xlsx", [["a film that is good", "yes"], ["a film that is bad", "no"]]
    )
    with pytest.raises(DataError, match=r"the first line reads .* such as 'text \| answer'"):
        read_columns(path)


# ---- of a stranger


def repack(path: Path, change: Callable[[str, bytes], bytes], **more: bytes) -> Path:
    with zipfile.ZipFile(path) as archive:
        parts = {name: change(name, archive.read(name)) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in {**parts, **more}.items():
            archive.writestr(name, data)
    return path


def in_sheet(old: bytes, new: bytes) -> Callable[[str, bytes], bytes]:
    return lambda name, data: data.replace(old, new, 1) if "worksheets/" in name else data


HOSTILE: dict[str, tuple[Callable[[str, bytes], bytes], str]] = {
    "entities": (
        in_sheet(b"<worksheet", b'<!DOCTYPE w [<!ENTITY a "b">]><worksheet'),
        "declares entities, which no spreadsheet does; save the sheet as CSV",
    ),
    "a row far below": (in_sheet(b'<row r="2"', b'<row r="99999999"'), "more than 1,000 cells"),
    "a wide row": (
        in_sheet(b"</row>", b'<c r="D1"><v>1</v></c>' * 600 + b"</row>"),
        "has more cells than a sheet has columns",
    ),
    "much markup": (
        in_sheet(b"<sheetData>", b"<sheetData>" + b'<row r="1"/>' * 6000),
        "it has more than 1,000 cells",
    ),
    "large styles": (
        lambda name, data: data + b" " * (9 << 20) if name.endswith("styles.xml") else data,
        r"its part 'xl/styles.xml' has 9,\d{3},\d{3} bytes, 8,388,608 are read",
    ),
    "large parts": (
        lambda name, data: data + b" " * 20_000_000 if "worksheets/" in name else data,
        r"unpacked it has 20,\d{3},\d{3} bytes, 20,000,000 are read",
    ),
    "no XML": (lambda name, data: b"<<<" if "worksheets/" in name else data, "no whole XLSX"),
    "no workbook": (
        lambda name, data: b"<a/>" if name.endswith("workbook.xml") else data,
        "XLSX|sheet",
    ),
}


@pytest.mark.parametrize("name", list(HOSTILE))
def test_a_strangers_workbook_is_refused_in_one_line(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    change, fault = HOSTILE[name]
    for limit, value in (
        ("CELLS", 1000),
        ("TAGS", 5000),
        ("ROW_TAGS", 2000),
        ("UNPACKED", 2 * 10**7),
    ):
        monkeypatch.setattr(f"icl.data.xlsx.MOST_{limit}", value)
    path = repack(write(tmp_path / "t.xlsx", ROWS), change)
    with pytest.raises(DataError, match=fault) as told:
        load(spec(path))
    assert "\n" not in str(told.value)


def test_a_size_that_the_file_claims_is_not_believed(tmp_path: Path) -> None:
    path = write(tmp_path / "t.xlsx", ROWS)
    repack(
        path, lambda name, data: re.sub(rb'<dimension ref="[^"]*"', b'<dimension ref="A1:A1"', data)
    )
    assert len(load(spec(path))) == 2 and len(load(spec(path))[0].fields) == 3


def test_what_is_no_workbook_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.xlsx"
    path.write_text("text,label\na,b\n")
    with pytest.raises(DataError, match="is no XLSX workbook: file is not a zip file; save it as"):
        load(spec(path))
    with path.open("wb") as file:
        file.truncate((32 << 20) + 1)
    with pytest.raises(DataError, match="it has 33,554,433 bytes, 33,554,432 are read; save the"):
        load(spec(path))


def test_damaged_files_end_in_one_line(tmp_path: Path) -> None:
    whole = write(tmp_path / "t.xlsx", ROWS).read_bytes()
    draw = random.Random(0)
    path = tmp_path / "broken.xlsx"
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        path.write_bytes(
            data[: draw.randint(len(data) // 2, len(data))] if draw.random() < 0.3 else data
        )
        try:
            load(spec(path))
        except DataError as error:
            assert "\n" not in str(error)
    with zipfile.ZipFile(tmp_path / "t.xlsx") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for _ in range(150):  # what the packing does not protect
        name = draw.choice(list(parts))
        data = bytearray(parts[name])
        for _ in range(draw.randint(1, 4)):
            data[draw.randrange(len(data))] = draw.randrange(256)
        with zipfile.ZipFile(path, "w") as archive:
            for one, content in {**parts, name: bytes(data)}.items():
                archive.writestr(one, content)
        try:
            load(spec(path))
        except DataError as error:
            assert "\n" not in str(error)


def test_the_missing_package_names_its_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "t.xlsx", ROWS)
    monkeypatch.setattr("icl.data.parquet.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"needs the package openpyxl: pip install .*\[xlsx\]"):
        load(spec(path))
