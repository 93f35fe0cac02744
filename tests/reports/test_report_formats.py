"""Reports as Markdown, LaTeX, CSV and JSON: what they say, and that no text in them is markup."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from icl.reports.appendix import Appendix, SentPrompt, TemplateSource, make_appendix
from icl.reports.grid import Cell, Grid, make_score_grids
from icl.reports.latex import as_latex, escape_latex
from icl.reports.margins import format_margin
from icl.reports.markdown_csv_json import as_csv, as_json, as_markdown, escape_markdown, fence_text
from icl.reports.paper_grids import make_paper_grids
from icl.reports.pivot import lay_out_pivot, pivot
from icl.reports.terminal import as_text
from icl.scoring.against import measure_margins
from tests.madeup import Made, Row, made

HOSTILE = [
    "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "</script>", "<!-- x", "&lt;b&gt;",
    "[a](javascript:alert(1))", "![a](http://x/y.png)", "`x` ``` ~~~", "**bold** _it_ __b__",
    "a | b \\| c", "# head", "- item", "1. item", "> quote", "line\nbreak\r\nmore", "\\", "\\\\",
    "\\input{/etc/passwd}", "\\end{Verbatim}\\input{x}", "\\end{iclprompt}\\write18{rm}", "%x",
    "$x$", "a_b^c~d#e&f{g}h", "}{", "--- -- ''", "?`!`<<>>,,", "=HYPERLINK(\"http://x\")", "+1",
    "-1+1", "@SUM(A1)", "\t=1", "\r=1", "\x00\x1b[31m\x9b", "\ud800", "\u202eabc\u2066",
    "a,b;\"c\"", "${1+1} {{ 7*7 }} {% raw %}", "|", "^^M\\par", "x" * 3000,
]  # fmt: skip
COMMANDS = {
    "usepackage", "begin", "end", "centering", "small", "caption", "label", "toprule", "midrule",
    "bottomrule", "par", "smallskip", "footnotesize", "textbf", "textbackslash", "textasciicircum",
    "textasciitilde", "textless", "textgreater", "textbar", "char", "textasciigrave",
    "textquotesingle", "textendash", "rightarrow", "downarrow", "uparrow", "pm", "dots",
    "textperiodcentered", "textasteriskcentered", "section", "paragraph",
    "DefineVerbatimEnvironment", "allowbreak", "raggedright", "arraybackslash", "setlength",
    "tabcolsep", "ifdefined", "Umathchar", "else", "fi",
}  # fmt: skip


def study(folder: Path, name: str = "made") -> Any:
    """Two prompts by two locales, with baselines, shots and a template."""
    conditions = []
    for locale in ("en-US", "de-DE"):
        for prompt, right in (("p_one", 20), ("p_two", 30)):
            rows = [
                Row(
                    "abc"[i % 3],
                    "abc"[i % 3] if i < right else "abc"[(i + 1) % 3],
                    record={"shots": (("p0", "b", 1.0),)},
                )
                for i in range(40)
            ]
            axes = {"locale": locale, "prompt": prompt}
            conditions.append(
                Made(
                    rows,
                    axes,
                    pool_labels={"a": 1, "b": 2},
                    template=prompt,
                    cite={"made": "@misc{m, title = {T}}"},
                )
            )
    return made(folder, *conditions, name=name)


def table(rows: list[list[str]], notes: tuple[str, ...] = ()) -> Grid:
    cells = tuple(
        tuple(Cell(text, bold=place == 1) for place, text in enumerate(row)) for row in rows
    )
    heads = ("head", *(f"h{n}" for n in range(len(rows[0]) - 1)))
    return Grid("a run/x", "title", heads, "l" * len(heads), cells, notes, notes)


def parsed(text: str) -> list[Any]:
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    return [inner for token in tokens for inner in [token, *(token.children or [])]]


def test_markdown_of_a_run(tmp_path: Path) -> None:
    text = as_markdown(make_score_grids(study(tmp_path)))
    lines = text.splitlines()
    assert lines[0] == "## classify · m · 0" or lines[0].startswith("## classify")
    head = next(line for line in lines if line.startswith("| prompt"))
    names = [cell.strip() for cell in head.strip("|").split("|")]
    assert names[:5] == ["prompt", "locale", "shots", "acc", "95 % interval"]
    assert {"chance", "majority", "vote"} <= set(names)
    widths = {len(line) for line in lines if line.startswith("|")}
    assert len(widths) == 1
    assert "| p_one  | en-US  |" in text
    assert "- accuracy: accuracy\\|match:exact\\|ci:wilson" in text
    assert "> check: " in text
    assert [t.type for t in parsed(text)].count("table_open") == 1


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_is_markdown(text: str) -> None:
    tokens = parsed(as_markdown([table([[text, text]], (text,))]))
    types = {token.type for token in tokens}
    assert not types & {"html_block", "html_inline", "image", "link_open", "code_inline", "em_open"}
    assert [t.type for t in tokens].count("td_open") == 2
    assert types & {"heading_open"} and [t.type for t in tokens].count("heading_open") == 1
    shown = [t.content for t in tokens if t.type == "inline"]
    assert len(shown) >= 5


@pytest.mark.parametrize("text", HOSTILE)
def test_a_fence_holds_whatever_stands_in_it(text: str) -> None:
    [token] = MarkdownIt().parse(fence_text(text))
    assert token.type == "fence"


@given(st.text(st.sampled_from("ab_*`[]()!<>|\\#&-+=1.~ \n"), max_size=12))
def test_markdown_text_reads_as_it_was(text: str) -> None:
    made_of = escape_markdown(text)
    tokens = MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(made_of)
    inner = [child for token in tokens for child in (token.children or [])]
    assert {child.type for child in inner} <= {"text", "text_special"}
    assert "".join(child.content for child in inner) == " ".join(text.split())


def outside_verbatim(text: str) -> str:
    for name in set(re.findall(r"DefineVerbatimEnvironment\{(\w+)\}", text)):
        text = re.sub(rf"\\begin{{{name}}}\n.*?\n\\end{{{name}}}\n", "", text, flags=re.S)
    return "\n".join(line for line in text.splitlines() if not line.startswith("%"))


def assert_harmless(text: str) -> None:
    """Only our own commands, closed braces, nothing special bare."""
    body = outside_verbatim(text)
    assert set(re.findall(r"\\([A-Za-z]+)", body)) <= COMMANDS
    bare = re.sub(r"\\\\|\\[^A-Za-z]", "", body)
    assert bare.count("{") == bare.count("}")
    assert not re.search(r"[%#_~^]", bare)
    assert re.findall(r"\$[^$]*\$", bare) == [
        part
        for part in re.findall(r"\$[^$]*\$", bare)
        if part in (r"$\rightarrow$", r"$\downarrow$", r"$\uparrow$", r"$\pm$")
    ]
    assert not re.search(r"\\\\\s*\n\s*\[", body)


def test_latex_of_a_run(tmp_path: Path) -> None:
    run = study(tmp_path)
    text = as_latex(make_paper_grids(run))
    assert text.startswith("% needs: \\usepackage{booktabs}")
    assert "% all text is Latin: XeLaTeX, LuaLaTeX and pdfLaTeX take it" in text
    assert r"\label{tab:made-classify}" in text
    assert r"p\_one & en-US" in text
    assert "{[}35.2, 64.8{]}" in text
    assert "% check: " in text
    assert_harmless(text)
    columns = [line.index("&") for line in text.splitlines() if "&" in line]
    assert len(set(columns)) == 1
    pivots = [lay_out_pivot(one) for one in pivot(run, "locale", "prompt")]
    text = as_latex(pivots)
    assert r"\textbf{75.0 {[}59.8, 85.8{]}}" in text
    assert r"50.0\textasteriskcentered{}" in text
    assert_harmless(text)


@pytest.mark.parametrize("text", HOSTILE)
def test_no_text_is_a_command_of_latex(text: str) -> None:
    made_of = Appendix(
        (TemplateSource(text, text, text),),
        (SentPrompt("f", text, text, text, (text,)),),
        ((text, text),),
    )
    whole = as_latex([table([[text, text], ["b", "c"]], (text,))], made_of)
    assert_harmless(whole)
    assert "\r" not in whole and "\x00" not in whole
    whole.encode("utf-8")
    names = set(re.findall(r"DefineVerbatimEnvironment\{(\w+)\}", whole))
    assert len(names) == 2 and sum(whole.count(f"\\end{{{name}}}") for name in names) == 2


@given(st.text(max_size=40))
def test_latex_text_is_one_line_of_known_commands(text: str) -> None:
    made_of = escape_latex(text)
    assert "\n" not in made_of
    assert_harmless(made_of)


def test_latex_names_fonts_of_other_scripts() -> None:
    shown = SentPrompt("f", "t", "r0", "मुझे जगाना 金曜日", ())
    text = as_latex([], Appendix((), (shown,), ()))
    assert "% scripts besides Latin: Deva, Hani;" in text
    assert "%   'Noto Sans Devanagari:mode=harf;'," in text
    assert "मुझे जगाना 金曜日" in text
    assert "scripts beside" not in as_latex([], Appendix((), (), ()))


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_csv_holds_every_score_unrounded(tmp_path: Path) -> None:
    run = study(tmp_path)
    rows = rows_of(as_csv(run))
    assert len(rows) == len(run.scores)
    first = rows[0]
    assert first["locale"] == "en-US" and first["prompt"] == "p_one"
    assert float(first["value"]) == run.scores[0].value
    assert float(first["low"]) == run.scores[0].low
    assert first["signature"] == run.scores[0].signature
    assert {row["kind"] for row in rows} == {"model", "baseline", "count"}
    only = rows_of(as_csv(run, metric="accuracy"))
    assert {row["score"] for row in only} == {
        "accuracy",
        "chance/accuracy",
        "majority/accuracy",
        "vote/accuracy",
    }


def test_every_format_has_the_difference_to_the_strongest_baseline(tmp_path: Path) -> None:
    run = study(tmp_path)
    margins = measure_margins(run.conditions).strongest
    said = [format_margin(one) for one in margins.values()]
    assert len(said) == 4 and all("p " in one and "(" in one for one in said)
    for text, escape in (
        (as_markdown(make_score_grids(run)), escape_markdown),
        (as_latex(make_score_grids(run)), escape_latex),
    ):
        assert all(escape(one) in text for one in said)
        assert "paired by row; p, corrected for 4 conditions" in text
    rows = [row for row in csv.DictReader(io.StringIO(as_csv(run))) if row["difference"]]
    assert [row["score"] for row in rows] == ["accuracy"] * 4
    for row, one in zip(rows, margins.values(), strict=True):
        assert row["baseline"] == one.a
        found = [float(row[f"difference{part}"]) for part in ("", "_low", "_high", "_p", "_p_holm")]
        made = one.difference
        assert found == [made.value, made.low, made.high, made.p, one.p_holm]
    kept = [one["over_best_baseline"] for one in json.loads(as_json(run))["conditions"]]
    assert [one["difference_p_holm"] for one in kept] == [one.p_holm for one in margins.values()]


def test_csv_of_a_pivot(tmp_path: Path) -> None:
    run = study(tmp_path)
    rows = rows_of(as_csv(run, pivot(run, "locale", "prompt")))
    assert [(row["locale"], row["prompt"], row["value"], row["best"]) for row in rows] == [
        ("en-US", "p_one", "50.0", "False"),
        ("en-US", "p_two", "75.0", "True"),
        ("de-DE", "p_one", "50.0", "False"),
        ("de-DE", "p_two", "75.0", "True"),
    ]
    assert float(rows[0]["p_holm"]) < 0.05 and rows[1]["p_holm"] == ""


@pytest.mark.parametrize("text", HOSTILE)
def test_csv_comes_back_as_it_was(tmp_path: Path, text: str) -> None:
    run = made(tmp_path, Made([Row("a", "a")], {"prompt": text}))
    printable = text.encode("utf-8", "backslashreplace").decode()
    rows = rows_of(as_csv(run))
    assert {row["prompt"] for row in rows} == {printable}
    for row in rows_of(as_csv(run, excel=True).removeprefix("\ufeff")):
        assert row["prompt"].removeprefix("'") == printable
        assert not row["prompt"].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))


def test_numbers_are_numbers_to_a_spreadsheet(tmp_path: Path) -> None:
    text = as_csv(study(tmp_path), excel=True)
    assert text.startswith("\ufeffrun,condition,task") and "\r\n" in text
    assert "'" not in text


def test_json_holds_everything(tmp_path: Path) -> None:
    run = study(tmp_path)
    body = json.loads(as_json(run, pivot(run, "locale", "prompt"), make_appendix(run)))
    assert [one["condition"] for one in body["conditions"]] == [
        one.entry.fingerprint for one in run.conditions
    ]
    scores = body["conditions"][0]["scores"]
    assert [score["value"] for score in scores] == [s.value for s in run.conditions[0].scores]
    assert body["conditions"][0]["settings"] == run.conditions[0].settings
    assert body["conditions"][0]["rows"] == {"answered": 40, "asked": 40}
    assert {"name", "count", "of", "text", "condition"} == body["checks"][0].keys()
    assert body["experiment"] == "name: made\n"
    assert len(body["pivots"][0]["places"]) == 4
    assert len(body["appendix"]["templates"]) == 2 and len(body["appendix"]["prompts"]) == 4
    assert body["conditions"][0]["cite"] == {"made": "@misc{m, title = {T}}"}


@pytest.mark.parametrize("text", HOSTILE)
def test_json_comes_back_and_closes_no_tag(tmp_path: Path, text: str) -> None:
    run = made(tmp_path, Made([Row("a", "a", {"text": text})], {"prompt": text}))
    made_of = as_json(run, appendix=make_appendix(run))
    assert "<" not in made_of
    made_of.encode("utf-8")
    body = json.loads(made_of)
    assert body["conditions"][0]["settings"]["prompt"] == text
    assert body["appendix"]["prompts"][0]["text"] == f"In: {text}\nOut:"


def test_the_appendix_has_templates_once_and_a_prompt_a_condition(tmp_path: Path) -> None:
    run = study(tmp_path)
    found = make_appendix(run)
    assert [one.name for one in found.templates] == ["p_one", "p_two"]
    assert found.templates[0].text.startswith("---\ntask: classify")
    assert len(found.prompts) == 4
    assert found.prompts[0].text == "In: text of p0\nOut: b\n\nIn: text 0\nOut:"
    assert found.prompts[0].title == "p_one · en-US"
    assert found.citations == (("made", "@misc{m, title = {T}}"),)
    text = as_markdown([], found)
    assert "```jinja\n---\ntask: classify" in text
    assert "```bibtex\n@misc{m, title = {T}}\n```" in text
    nothing = made(tmp_path / "none", Made([Row("a", "a")]))
    assert "give the data `cite:`" in as_markdown([], make_appendix(nothing))


def test_the_terminal_shows_text_as_it_is(tmp_path: Path) -> None:
    run = study(tmp_path)
    grids = [lay_out_pivot(one) for one in pivot(run, "locale", "prompt")]
    text = as_text(run, grids, plain=True)
    assert "▸ 75.0 [59.8, 85.8]" in text
    assert max(map(len, text.splitlines())) <= 80
    for hostile in HOSTILE:
        shown = as_text(run, [table([[hostile, "[red]x[/red]"]])], plain=True)
        assert "\x1b" not in shown and "\x9b" not in shown
        assert "[red]x[/red]" in shown


def test_a_run_that_was_not_finished_says_so(tmp_path: Path) -> None:
    run = study(tmp_path)
    path = run.conditions[0].store.folder / "records.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:30]))
    from icl.records.results import load_run

    text = as_markdown(make_score_grids(load_run(tmp_path / "made")))
    assert "30 of 40" in text
