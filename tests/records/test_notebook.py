"""A run as a small table in a notebook: what it shows, and that no text in it is markup."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from icl.records.notebook import MOST_ROWS
from tests.madeup import Made, Row, made


def rows(right: int) -> list[Row]:
    return [Row("a", "a" if i < right else "b") for i in range(10)]


def cells(text: str) -> list[list[str]]:
    tree = ElementTree.fromstring(text)
    return [["".join(cell.itertext()) for cell in row] for row in tree.iter("tr")]


def test_a_run_is_a_small_table(tmp_path: Path) -> None:
    run = made(
        tmp_path, Made(rows(5), {"shots": "0"}), Made(rows(8), {"shots": "4 random"}), name="mine"
    )
    text = run._repr_html_()
    assert cells(text) == [
        ["#", "shots", "score", "value", "95 % interval", "n"],
        ["1", "0", "accuracy", "50.0", "[23.7, 76.3]", "10"],
        ["2", "4 random", "accuracy", "80.0", "[49.0, 94.3]", "10"],
    ]
    assert "<caption>mine; .frame() has all scores</caption>" in text


def test_no_text_is_markup_and_a_long_one_is_cut(tmp_path: Path) -> None:
    bad = "<script>alert(1)</script>&amp;\x1b[31m" + "x" * 200
    run = made(tmp_path, Made(rows(5), {"prompt": bad}), Made(rows(6), {"prompt": "b"}), name="r")
    text = run._repr_html_()
    assert "<script" not in text and "\x1b" not in text and "&lt;script&gt;" in text
    assert all(len(cell) <= 60 for line in cells(text) for cell in line)


def test_more_conditions_than_fit_are_told(tmp_path: Path) -> None:
    many = [Made(rows(1)[:1], {"prompt": f"p{n}"}) for n in range(MOST_ROWS + 3)]
    text = made(tmp_path, *many)._repr_html_()
    assert len(cells(text)) == MOST_ROWS + 1
    assert "3 more conditions: .frame() has all" in text
