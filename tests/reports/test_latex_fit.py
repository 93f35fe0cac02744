"""Tables in LaTeX fit the page: estimated everywhere, compiled where a TeX is installed."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from icl.records.results import Run
from icl.reports.appendix import Appendix, SentPrompt, TemplateSource
from icl.reports.grid import Cell, Grid
from icl.reports.latex import as_latex
from icl.reports.latex_fit import COLUMN_EM, GAP_EM, PAGE_EM, PAGE_ROWS, divide_grid, measure_em
from icl.reports.paper_grids import make_paper_grids
from icl.reports.pivot import lay_out_pivot, pivot
from icl.scoring.scores import score_run
from tests.madeup import Made, Row, made
from tests.reports.test_report_formats import HOSTILE, assert_harmless

SMALL_PT = 9.25
TEXTWIDTH_PT, COLUMNWIDTH_PT = 345, 200
GERMAN = "Größenänderung für übermäßig schöne Straßenschilder, " * 12


@pytest.fixture(scope="module")
def sixteen(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Four prompts by four shots, two metrics, two calibrators: 16 conditions."""
    conditions = []
    for prompt in ("intent/plain", "intent/instructed", "intent/short", "prompts/mine_two.j2"):
        for place, shots in enumerate(("0", "4 random s0", "8 bm25 char", "16 balanced_knn")):
            rows = [
                Row("abc"[i % 3], "abc"[(i + (i % 7 < place)) % 3], record={"shots": ()})
                for i in range(40)
            ]
            conditions.append(
                Made(
                    rows,
                    {"prompt": prompt, "shots": shots, "locale": "de-DE"},
                    pool_labels={"a": 1, "b": 2, "c": 2},
                    metrics=["accuracy", "macro_f1"],
                )
            )
    run = made(tmp_path_factory.mktemp("sixteen"), *conditions)
    return score_run(run, calibrators=["batch", "per_char"])


def wide(heads: int, text: str = "75.0 [59.8, 85.8]", rows: int = 3, keys: int = 1) -> Grid:
    names = tuple(f"a head {n}" for n in range(heads))
    body = tuple(tuple(Cell(text) for _ in names) for _ in range(rows))
    return Grid("wide", "title", names, "l" * heads, body, ("note",), (), keys)


def tabulars(tex: str) -> list[tuple[str, str]]:
    """Find the column specification and the body of each tabular."""
    pattern = r"\\begin\{tabular\}\{@\{\}(.*?)@\{\}\}\n(.*?)\\end\{tabular\}"
    return re.findall(pattern, tex, re.S)


def columns(spec: str) -> list[float | None]:
    """Read the width of each column in em; None for one as wide as its widest cell."""
    found = re.findall(r">\{.*?\}p\{([\d.]+)em\}|[lr]", spec)
    return [float(em) if em else None for em in found]


def width_pt(tex: str) -> list[float]:
    """Estimate the width of each tabular as it stands in the text, in points at ``\\small``."""
    found = []
    for spec, body in tabulars(tex):
        lines = [line.removesuffix(r"\\").split(" & ") for line in body.splitlines() if "&" in line]
        widths = []
        for em, cells in zip(columns(spec), zip(*lines, strict=True), strict=True):
            shown = [re.sub(r"\\textbf|\\[A-Za-z]+\{\}|[{}\\$]", "", cell) for cell in cells]
            widths.append(max(map(measure_em, shown)) if em is None else em)
        found.append(SMALL_PT * (sum(widths) + GAP_EM * (len(widths) - 1)))
    return found


def test_a_grid_of_sixteen_conditions_fits_one_and_two_columns(sixteen: Run) -> None:
    tex = as_latex(make_paper_grids(sixteen))
    widths = width_pt(tex)
    environments = re.findall(r"\\begin\{(table\*?)\}", tex)
    assert len(widths) == len(environments) >= 2
    assert max(widths) <= TEXTWIDTH_PT
    for width, environment in zip(widths, environments, strict=True):
        assert environment == "table*" or width <= COLUMNWIDTH_PT
    assert_harmless(tex)


def test_intervals_stand_in_the_cell_and_constants_in_the_caption(sixteen: Run) -> None:
    grids = make_paper_grids(sixteen)
    first, calibrated = grids
    assert first.heads == ("prompt", "shots", "acc", "macro-F1", "chance", "majority")
    assert first.title == "classify · m · de-DE · n = 40 · [95 % interval]"
    assert first.rows[0][2].text == "100.0 [91.2, 100.0]"
    assert calibrated.heads[:5] == ("prompt", "shots", "calibrator", "acc", "macro-F1")
    assert calibrated.heads[-1] == "changed" and "ECE" in calibrated.heads
    assert [row[2].text for row in calibrated.rows[:3]] == ["–", "batch", "per_char"]
    assert len(calibrated.rows) == 16 * 3
    one = make_paper_grids(sixteen, "macro_f1")
    assert one[0].heads == ("prompt", "shots", "macro-F1", "majority")
    assert one[1].heads == ("prompt", "shots", "calibrator", "macro-F1", "changed")


def test_n_is_a_column_where_it_differs(tmp_path: Path) -> None:
    rows = [Row("a", "a"), Row("b", "a")] * 6
    run = made(tmp_path, Made(rows, {"prompt": "p"}), Made(rows[:10], {"prompt": "q"}))
    [grid] = make_paper_grids(run)
    assert grid.heads[-1] == "n" and [row[-1].text for row in grid.rows] == ["12", "10"]
    assert "n =" not in grid.title


def test_a_wide_table_is_divided_and_each_part_has_the_keys() -> None:
    parts = divide_grid(wide(9))
    assert len(parts) > 1
    assert {part.grid.heads[0] for part in parts} == {"a head 0"}
    assert [head for part in parts for head in part.grid.heads[1:]] == list(wide(9).heads[1:])
    assert all(part.em <= PAGE_EM for part in parts)
    assert [part.grid.title for part in parts] == [
        f"title ({number} of {len(parts)})" for number in range(1, len(parts) + 1)
    ]
    assert [bool(part.grid.notes) for part in parts] == [False] * (len(parts) - 1) + [True]
    assert len({part.grid.name for part in parts}) == len(parts)


def test_a_long_table_is_divided() -> None:
    parts = divide_grid(wide(2, rows=PAGE_ROWS * 2 + 1))
    assert [len(part.grid.rows) for part in parts] == [PAGE_ROWS, PAGE_ROWS, 1]
    [narrow] = divide_grid(wide(2))
    assert narrow.em <= COLUMN_EM and r"\begin{table}[t]" in as_latex([wide(2)])


@pytest.mark.parametrize("keys", [1, 3, 6])
@pytest.mark.parametrize(
    "text",
    ["x" * 300, "a word " * 60, "W" * 80, "漢字" * 50],
    ids=["letters", "words", "capitals", "han"],
)
def test_whatever_is_too_long_is_wrapped(keys: int, text: str) -> None:
    grid = wide(keys + 2, text, keys=keys)
    assert all(part.em <= PAGE_EM + 0.01 for part in divide_grid(grid))
    tex = as_latex([grid])
    assert max(width_pt(tex)) <= TEXTWIDTH_PT and r"\usepackage{array}" in tex
    assert r"p{" in tex
    for spec, body in tabulars(tex):
        rows = [line.removesuffix(r"\\").split(" & ") for line in body.splitlines() if "&" in line]
        for em, cells in zip(columns(spec), zip(*rows, strict=True), strict=True):
            pieces = re.split(r"\\allowbreak\{\}|\s", " ".join(cells))
            assert max(map(len, pieces)) <= (20 if em is None else em)


def test_a_pivot_of_many_columns_is_divided(sixteen: Run) -> None:
    tex = as_latex([lay_out_pivot(one) for one in pivot(sixteen, "shots", "prompt")])
    assert max(width_pt(tex)) <= TEXTWIDTH_PT and "(1 of 2)" in tex


def appendix(*texts: str) -> Appendix:
    prompts = tuple(SentPrompt("f", "zero shots", f"r{n}", t, ()) for n, t in enumerate(texts))
    return Appendix((TemplateSource("t", "de", "Satz: {{ text }}"),), prompts, ())


def test_no_line_of_german_breaks_inside_a_letter_in_pdflatex() -> None:
    tex = as_latex([], appendix(GERMAN, "plain " * 60))
    unicode_engines, pdf = re.search(
        r"\\ifdefined\\Umathchar\n(.*)\n\\else\n(.*)\n\\fi", tex
    ).groups()  # type: ignore[union-attr]
    assert "breakanywhere" in unicode_engines
    assert "breaklines" in pdf and "breakanywhere" not in pdf
    name = re.search(r"Environment\{(\w+)\}", pdf)
    assert name is not None
    quoted = re.findall(rf"\\begin\{{({name[1]}(?:ascii)?)\}}\n(.*?)\n\\end", tex, re.S)
    assert [(what, text.isascii()) for what, text in quoted] == [
        (f"{name[1]}ascii", True),
        (name[1], False),
        (f"{name[1]}ascii", True),
    ]
    assert "% all text is Latin" in tex and "does not break" not in tex
    assert "row r0: pdfLaTeX does not break its word of 81" in as_latex([], appendix("ü" * 81))


def test_glyphs_that_pdflatex_lacks_are_told() -> None:
    tex = as_latex([wide(2, "✓ ø ł")], appendix("мир"))
    assert "% pdfLaTeX has no glyph for ✓ U+2713, м U+043C, и U+0438, р U+0440\n" in tex
    assert "use XeLaTeX or LuaLaTeX" in tex
    many = as_latex([], appendix("".join(map(chr, range(0x4E00, 0x4E30)))))
    assert "and 36 more" in many
    assert "% all text is Latin" in as_latex([wide(2, "Łódź, Ångström – naïve → “so”")])


ENGINES = [one for one in ("pdflatex", "xelatex", "lualatex") if shutil.which(one)]


@pytest.mark.skipif(not ENGINES, reason="no TeX here")
@pytest.mark.parametrize("columns", ["onecolumn", "twocolumn"])
@pytest.mark.parametrize("engine", ENGINES)
def test_it_compiles_and_nothing_sticks_out(
    tmp_path: Path, sixteen: Run, engine: str, columns: str
) -> None:
    texts = [HOSTILE[n] for n in range(30) if HOSTILE[n].isascii()]
    grids = [*make_paper_grids(sixteen), wide(9), wide(3, texts[3])]
    body = as_latex(grids, appendix(GERMAN, "plain " * 60))
    (tmp_path / "x.tex").write_text(
        f"\\documentclass[{columns}]{{article}}\n"
        "\\usepackage[T1]{fontenc}\\usepackage{lmodern}\n"
        "\\usepackage{booktabs,textcomp,array,fvextra}\n"
        f"\\begin{{document}}\n{body}\\end{{document}}\n"
    )
    command = [engine, "-halt-on-error", "-interaction=nonstopmode", "x.tex"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    log = (tmp_path / "x.log").read_text("utf-8", "replace")
    assert "Missing character" not in log and "Invalid UTF-8" not in log
    assert not re.findall(r"Overfull \\hbox \((?:[5-9]|\d\d+)\.", log)
