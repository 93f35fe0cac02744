"""The HTML page of a run: what stands on it, and that no text of a stranger becomes a tag."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from icl.core.types import Score
from icl.records.results import Run, load_run
from icl.reports.page import plots
from icl.reports.page.page import report_page
from icl.reports.page.sections import PROMPTS
from icl.running.run import run
from tests.hostile_page import HOSTILE, hostile_run
from tests.table_experiment import INTENTS, write

VOID = {"meta", "br", "path", "use", "line", "circle", "rect"}


class Seen(HTMLParser):
    """Tags with their attributes, and text, as an HTML parser reads a page."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.values: list[str] = []
        self.ids: list[str] = []
        self.open: list[str] = []
        self.said: list[str] = []
        self.feed(text)
        self.close()
        self.text = "".join(self.said)
        self.words = " ".join(" ".join(self.said).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.values += [value or "" for name, value in attrs if name not in ("content", "d")]
        self.ids += [value or "" for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.said.append(data)


TAGS = set(
    [
        "html",
        "head",
        "meta",
        "title",
        "style",
        "body",
        "header",
        "h1",
        "h2",
        "h3",
        "p",
        "nav",
        "ul",
        "li",
        "a",
        "main",
        "section",
        "dl",
        "dt",
        "dd",
        "div",
        "span",
        "strong",
        "em",
        "br",
        "table",
        "caption",
        "thead",
        "tbody",
        "tr",
        "th",
        "td",
        "svg",
        "line",
        "rect",
        "circle",
        "details",
        "summary",
        "article",
        "figure",
        "figcaption",
        "code",
        "g",
        "defs",
        "path",
        "clippath",
        "use",
        "text",
    ]
)
ATTRIBUTES = set(
    [
        "lang",
        "charset",
        "http-equiv",
        "content",
        "name",
        "href",
        "id",
        "class",
        "aria-label",
        "aria-labelledby",
        "aria-hidden",
        "role",
        "tabindex",
        "scope",
        "colspan",
        "dir",
        "style",
        "open",
        "title",
        "data-name",
        "x",
        "x1",
        "x2",
        "y",
        "y1",
        "y2",
        "cx",
        "cy",
        "r",
        "width",
        "height",
        "viewbox",
        "d",
        "clip-path",
        "transform",
    ]
)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("small")
    grid = {
        "shots": [
            0,
            {"k": 2, "select": "bm25"},
            *({"k": k, "select": "random", "seeds": [0, 1]} for k in (2, 4)),
        ]
    }
    return run(str(write(folder, grid=grid)), folder / "runs")


@pytest.fixture(scope="module")
def text(small: Run) -> str:
    return report_page(small)


def sections(text: str) -> dict[str, str]:
    """The text of each part of the first task, by its heading."""
    parts = re.split(r"<h3>(.*?)</h3>", text.partition("</section>")[0])
    return {
        heading: Seen(f"<div>{body}").words
        for heading, body in zip(parts[1::2], parts[2::2], strict=True)
    }


def test_the_page_is_whole_and_holds_nothing_that_runs_or_loads(text: str) -> None:
    seen = Seen(text)
    assert seen.open == []
    assert set(seen.tags) <= TAGS
    assert seen.attributes <= ATTRIBUTES
    assert len(seen.ids) == len(set(seen.ids))
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in text
    for value in seen.values:
        assert not re.search(r"\w+://|javascript:|data:", value)
    assert "@import" not in text and "url(http" not in text


def test_every_reference_inside_the_page_leads_somewhere(text: str) -> None:
    found = set(re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text))
    wanted = {one or two for one, two in found}
    assert wanted and wanted <= set(Seen(text).ids)


def test_the_same_run_gives_the_same_page(small: Run, text: str) -> None:
    assert report_page(load_run(small.folder)) == text


def test_the_summary_says_what_was_asked_and_what_came_out(small: Run, text: str) -> None:
    words = Seen(text).words
    assert "Data: 10 of 12 rows of rows (split test) each, by ranking 3 labels" in words
    first = [c for c in small.conditions if c.entry.task == "intent"]
    best = max(
        (s for c in first for s in c.scores if s.name == "accuracy"), key=lambda s: s.value or 0
    )
    assert f"with acc {best.value:.1f}, 95 % interval [{best.low:.1f}, {best.high:.1f}]" in words
    assert "The strongest baseline" in words
    assert "writing text" in words


def test_the_table_has_every_condition_with_interval_and_baselines(small: Run, text: str) -> None:
    table = sections(text)["Scores"]
    for condition in small.conditions:
        if condition.entry.task == "intent":
            accuracy = next(s for s in condition.scores if s.name == "accuracy")
            said = f"{accuracy.value:.1f} [{accuracy.low:.1f}, {accuracy.high:.1f}]"
            assert f"{condition.axes['shots']} {said}" in table
    for name in ("chance", "majority", "vote", "macro-F1", "accuracy|match:exact|ci:wilson"):
        assert name in table


def test_prompts_stand_there_as_sent_with_their_parts_marked(small: Run, text: str) -> None:
    condition = small.conditions[2]  # intent with two shots
    record = next(iter(condition.records.values()))
    sent = condition.sent(condition.prompt(record))
    found = [
        Seen(f"<div>{box}").text for box in re.findall(r'<div class="text".*?</div>', text, re.S)
    ]
    assert sent in found
    for kind in ("instruction", "input", "target", "query"):
        assert f'class="k-{kind}"' in text
    assert '<span class="w-newline">\n</span>' in text
    assert '<span class="w-space"> </span>' in text
    assert "NOT the prompt" not in text


def test_curves_spread_confusions_and_errors_are_there(text: str) -> None:
    found = sections(text)
    assert "the band reaches from the lowest to the highest" in found["Score against shots"]
    assert "seed" in found["Spread over what should not matter"]
    assert "ECE" in found["Does it know when it is right?"]
    assert "right labels in rows" in found["Labels mixed up"]
    assert "these are the ones it was surest of" in found["The worst errors"]
    assert "Confusion" not in text.rpartition('id="task2"')[2]  # free text has none
    assert "have the lowest chrF++ on their own" in text


def test_without_matplotlib_one_line_says_what_brings_the_plots(
    small: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    made = report_page(small)
    assert "pip install 'icl-workbench[report]'" in made
    assert "<path" not in made
    assert Seen(made).open == []


def test_forty_hostile_texts_in_every_place_stay_text(tmp_path: Path) -> None:
    assert len(HOSTILE) == 40
    made = report_page(hostile_run(tmp_path))
    made.encode("utf-8")
    seen = Seen(made)
    assert seen.open == []
    assert set(seen.tags) <= TAGS
    assert seen.attributes <= ATTRIBUTES
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f]", made)
    assert "<script>in()</script>" in seen.text
    assert len(set(re.findall(r"mark\d+", seen.text))) >= 30
    assert len(made.encode()) < 3_000_000


def test_a_part_of_a_run_says_what_is_missing(tmp_path: Path) -> None:
    whole = run(str(write(tmp_path)), tmp_path / "runs")
    torn = whole.conditions[0].store.folder / "records.jsonl"
    torn.write_text("".join(torn.read_text().splitlines(keepends=True)[:4]))
    gone = whole.conditions[2].store.folder
    for path in sorted(gone.rglob("*"), reverse=True):
        path.unlink()
    gone.rmdir()
    manifest = json.loads((whole.folder / "manifest.json").read_text())
    (whole.folder / "manifest.json").write_text(json.dumps({**manifest, "finished": False}))
    (whole.folder / "scores.json").unlink()
    made = report_page(load_run(whole.folder))
    words = Seen(made).words
    assert "this run is not finished" in words
    assert "Unfinished: 4 of 20 rows of 2 of 2 conditions" in words
    assert "Nothing is scored yet" in words
    assert "not begun" in words


def test_no_nan_is_printed(small: Run) -> None:
    odd = Score("comet", math.nan, math.nan, math.inf, 3, "x")
    changed = replace(small.conditions[0], scores=(*small.conditions[0].scores, odd))
    made = report_page(replace(small, conditions=(changed, *small.conditions[1:])))
    assert not re.search(r"\b(nan|inf)\b", Seen(made).text, re.I)


def test_one_condition_of_one_row(tmp_path: Path) -> None:
    changes: dict[str, Any] = {"grid": {"shots": [0]}}
    file = write(tmp_path, **changes)
    raw = json.loads(file.read_text())
    raw["tasks"] = raw["tasks"][:1]
    raw["tasks"][0]["rows"]["n"] = 1
    file.write_text(json.dumps(raw))
    made = report_page(run(str(file), tmp_path / "runs"))
    words = Seen(made).words
    assert "One condition: acc" in words
    assert "Is the best one better?" not in made
    assert "Score against shots" not in made


def test_what_is_listed_is_bounded_however_much_there_is(tmp_path: Path) -> None:
    """Hostile texts of 14 MB in 30 conditions: the page counts what it leaves out."""
    file = write(tmp_path, grid={"shots": [{"k": 4, "select": "random", "seeds": list(range(30))}]})
    rows = [
        {
            "id": f"r{i}",
            "utt": f"{i} " + "<&\"'>  " * 200,
            "intent": INTENTS[i % 3],
            "split": "test" if i < 12 else "train",
        }
        for i in range(30)
    ]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    raw = json.loads(file.read_text())
    raw["tasks"] = raw["tasks"][:1]
    raw["models"]["t"]["window"] = 100_000
    file.write_text(json.dumps(raw))
    made = report_page(run(str(file), tmp_path / "runs"))
    assert len(made.encode()) < 3_000_000
    words = Seen(made).words
    assert f"{30 - PROMPTS} more conditions have a prompt too" in words
    assert "characters left out here" in words
    assert "conditions further down were not compared" in words


def test_rows_that_would_do_are_not_told_of_few_rows_and_one_shot_is_one(tmp_path: Path) -> None:
    file = write(tmp_path, grid={"shots": [0, {"k": 1, "select": "random"}]})
    text = report_page(run(file, tmp_path / "runs"))
    # A side of these few rows is nearly constant, so that nothing can be said.
    assert "rows would be needed" not in text
    assert re.search(r'not shown</td><td class="n">–</td>', text)
    assert ", 1 shot, " in text and ", 0 shots, " in text


def test_reliability_is_drawn_of_calibrated_answers_too(tmp_path: Path) -> None:
    calibrate = ["none", "batch", "per_token", "vote_mix"]  # the last one needs shots
    tasks = json.loads(write(tmp_path).read_text())["tasks"][:1]
    tasks[0]["calibrate"] = calibrate
    done = run(write(tmp_path, tasks=tasks, grid={"shots": [0]}), tmp_path / "runs")
    assert [bool(one.refused) for one in done.conditions[0].calibrations] == [0, 0, 0, 1]
    page = report_page(load_run("small", tmp_path / "runs"))
    titles = re.findall(r"<figcaption><strong>(.*?)</strong>: ECE", page)
    assert titles == ["uncalibrated", "batch", "per_token"]
    if plots.is_available():
        assert page.count("expected calibration error") >= 3


def test_the_page_has_one_column_for_the_strongest_baseline(tmp_path: Path) -> None:
    from icl.reports.margins import format_margin
    from icl.scoring.against import measure_margins

    done = run(write(tmp_path), tmp_path / "runs")
    seen = Seen(report_page(done))
    assert seen.words.count("over the best baseline [95 % interval], p") == 2  # of two tasks
    for one in measure_margins(done.conditions).strongest.values():
        assert format_margin(one) in seen.words
    assert "corrected for 2 conditions (Holm)" in seen.words
    assert "The strongest baseline, " in seen.words


def test_baselines_are_spoken_of_where_there_are_some(tmp_path: Path) -> None:
    rows = {"data": "rows", "split": "test", "n": 4}
    tasks = [
        {"task": "intent", "prompt": "intent.j2", "rows": rows},
        {"task": "generate", "prompt": "free.j2", "rows": rows, "metrics": ["exact_match"]},
    ]
    file = write(tmp_path, tasks=tasks, grid={"shots": [0]})
    head = '---\ntask: generate\nstop: ["\\n"]\n---\n'
    (tmp_path / "free.j2").write_text(
        f"{head}[[example]]\nIn: {{{{ utt }}}}\nOut:||| {{{{ target }}}}\n"
    )
    page = report_page(run(str(file), tmp_path / "runs"))
    captions = re.findall(r"<caption>(.*?)</caption>", page, re.S)
    told = ["the strongest baseline, row by row" in one for one in captions if "interval" in one]
    assert told[0] and not all(told)
