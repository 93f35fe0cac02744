"""Runs of a folder, and records filtered, searched and paged."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from icl.core.errors import ConfigError, StoreError
from icl.reports.card import make_card, render_card
from icl.running.run import run
from icl.workbench.browse_runs import (
    ORDERS,
    PAGE_ROWS,
    OpenCondition,
    RecordQuery,
    RunBrowser,
    save_card,
)
from icl.workbench.run_tables import record_view
from tests.table_experiment import write


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> RunBrowser:
    folder = tmp_path_factory.mktemp("browse")
    said = {n: f" LINE {n} OF TEXT" for n in range(3)}
    said |= {4: " строка номер четыре", 5: "\n\n"}
    answers = {f"In: line {n} of text\nOut:": text for n, text in said.items()}
    file = write(folder, models={"t": {"engine": "table", "default": "hash", "answers": answers}})
    run(str(file), folder / "runs")
    return RunBrowser([folder / "runs", folder / "absent"])


@pytest.fixture
def ranked(browser: RunBrowser) -> OpenCondition:
    return browser.open("small", "1")


@pytest.fixture
def written(browser: RunBrowser) -> OpenCondition:
    return browser.open("small", "2")


def keys(opened: OpenCondition, show: str, text: str = "", order: str = "as run") -> list[str]:
    return opened.find(RecordQuery(show, text, order))


def test_verdicts_part_the_records(ranked: OpenCondition, written: OpenCondition) -> None:
    for opened in (ranked, written):
        parts = [keys(opened, show) for show in ("right", "wrong", "unparsed")]
        assert sorted(sum(parts, [])) == sorted(opened.answers)
    right = [k for k, one in ranked.answers.items() if one.prediction.value in one.example.targets]
    assert keys(ranked, "right") == right
    assert 0 < len(right) < 10


def test_off_target_is_another_script(written: OpenCondition) -> None:
    shown = [written.answers[key].prediction.value for key in keys(written, "off-target")]
    assert shown == ["строка номер четыре"]
    assert set(keys(written, "off-target")) <= set(keys(written, "wrong"))


def test_search_needs_every_word_in_any_case(ranked: OpenCondition) -> None:
    assert keys(ranked, "all", "10 ABOUT") == ["r10"]
    said = ranked.answers["r0"].prediction.value or ""
    assert "r0" in keys(ranked, "all", said.upper())
    assert keys(ranked, "all", "about nothing-like-this") == []


def test_orders(ranked: OpenCondition) -> None:
    sure = [
        ranked.answers[key].confidence or 0 for key in keys(ranked, "all", order="least sure first")
    ]
    assert sure == sorted(sure)
    lengths = [
        sum(len(str(value)) for value in ranked.answers[key].example.inputs.values())
        for key in keys(ranked, "all", order="longest first")
    ]
    assert lengths == sorted(lengths, reverse=True)
    by_id = keys(ranked, "all", order="by id")
    assert by_id == sorted(by_id, key=lambda key: int(key[1:]))
    values = [ranked.answers[key].value for key in keys(ranked, "all", order="worst first")]
    assert values == sorted(values, key=lambda value: value or 0)
    sure = [
        ranked.answers[key].confidence or 0 for key in keys(ranked, "all", order="surest first")
    ]
    assert sure == sorted(sure, reverse=True)
    assert keys(ranked, "all") == list(ranked.condition.records)


def test_different_rows_are_those_with_another_answer(
    browser: RunBrowser, ranked: OpenCondition
) -> None:
    other = browser.resolve("3", "small")
    assert browser.resolve("small#3", "") is other
    found = ranked.find(RecordQuery("different"), other)
    assert found == [
        key
        for key in ranked.answers
        if ranked.answers[key].prediction.value != other.answers[key].prediction.value
    ]
    assert found
    line = ranked.page(RecordQuery("different"), 1, other).lines[0]
    assert line.other == other.answers[line.id].prediction.value != line.answer
    assert ranked.find(RecordQuery("different"), ranked) == []
    with pytest.raises(ConfigError, match="name another condition to see where the two differ"):
        ranked.find(RecordQuery("different"))


def test_pages_hold_every_record_once(
    ranked: OpenCondition, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("icl.workbench.browse_runs.PAGE_ROWS", 4)
    pages = [ranked.page(RecordQuery(), number) for number in (1, 2, 3)]
    assert [len(page.lines) for page in pages] == [4, 4, 2]
    assert [line.id for page in pages for line in page.lines] == list(ranked.answers)
    assert {(page.pages, page.found, page.of) for page in pages} == {(3, 10, 10)}
    assert ranked.page(RecordQuery(), 99).number == 3
    assert ranked.page(RecordQuery(), -1).number == 1
    none = ranked.page(RecordQuery(text="zzz"))
    assert (none.lines, none.number, none.pages, none.found) == ((), 1, 1, 0)
    assert PAGE_ROWS == 25


def test_bad_questions_say_what_is_accepted(browser: RunBrowser, ranked: OpenCondition) -> None:
    with pytest.raises(ConfigError, match="'wrongs': must be one of all, wrong, right"):
        ranked.find(RecordQuery("wrongs"))
    with pytest.raises(ConfigError, match="'down': must be one of as run, worst first"):
        ranked.find(RecordQuery(order="down"))
    with pytest.raises(StoreError, match="no run 'smal' in .*Did you mean 'small'"):
        browser.run("smal")
    for path in ("../runs/small", "/etc", "", ".", "conditions"):
        with pytest.raises(StoreError, match="no run"):
            browser.run(path)
    with pytest.raises(StoreError, match="conditions are called 'zz'"):
        browser.open("small", "zz")


def test_pages_searches_and_records_read_no_file_twice(tmp_path: Path) -> None:
    run(str(write(tmp_path, grid={"shots": [{"k": 2, "select": "bm25"}]})), tmp_path / "runs")
    browser = RunBrowser([tmp_path / "runs"])
    read: list[str] = []
    with opened_files(tmp_path / "runs" / "conditions", read):
        for text in ("", "utterance", "about 1"):
            for show in ("all", "wrong", "right", "unparsed"):
                for order in ORDERS:
                    for number in (1, 2):
                        browser.open("small", "1").page(RecordQuery(show, text, order), number)
        at_first = list(read)
        for key in browser.open("small", "1").answers:
            assert "the same as was sent" in record_view(browser.open("small", "1"), key).facts
    assert len(at_first) == len(set(at_first))
    assert "records.jsonl" in at_first
    assert sorted(read) == sorted(set(read)), "each file once"
    assert {"examples.jsonl", "shots.jsonl", "condition.json"} <= set(read)


@contextmanager
def opened_files(folder: Path, names: list[str]) -> Iterator[None]:
    """Notes the names of the files that are opened under a folder."""
    on = [True]

    def note(event: str, args: tuple[object, ...]) -> None:
        if on[0] and event == "open" and str(args[0]).startswith(str(folder)):
            names.append(Path(str(args[0])).name)

    sys.addaudithook(note)  # stays for good, so it can be silenced
    yield
    on[0] = False


def test_what_changed_on_disk_is_read_again(tmp_path: Path) -> None:
    made = run(str(write(tmp_path)), tmp_path / "runs")
    browser = RunBrowser([tmp_path / "runs"])
    first = browser.open("small", "1")
    assert browser.open("small", made.conditions[0].entry.fingerprint) is first
    torn = made.conditions[0].store.folder / "records.jsonl"
    torn.write_text("".join(torn.read_text().splitlines(keepends=True)[:4]))
    assert len(browser.open("small", "1").answers) == 4
    manifest = tmp_path / "runs" / "small" / "manifest.json"
    held = browser.run("small")
    os.utime(manifest, ns=(1, 1))
    assert browser.run("small") is not held


def test_names_are_newest_first_and_the_first_root_wins(tmp_path: Path) -> None:
    for root, name, when in (("a", "x", 1), ("a", "y", 3), ("b", "x", 9), ("b", "z", 2)):
        path = tmp_path / root / name / "manifest.json"
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"name": name, "rows": {}, "conditions": []}))
        os.utime(path, (when, when))
    browser = RunBrowser([tmp_path / "a", tmp_path / "b"])
    assert browser.names() == ["y", "z", "x"]
    assert browser.run("x").folder == tmp_path / "a" / "x"


def test_a_saved_card_is_the_page_of_icl_show(ranked: OpenCondition, tmp_path: Path) -> None:
    path = save_card(tmp_path, ranked, "r3")
    assert path.parent == tmp_path / "cards"
    kept = ranked.condition
    assert path.read_text() == render_card(make_card(kept, kept.record("r3")))
    with pytest.raises(StoreError, match="no record 'r99'"):
        save_card(tmp_path, ranked, "r99")
