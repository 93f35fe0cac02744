"""Versions of a template on the same rows: the table engine answers, the rest is the real line."""

from __future__ import annotations

import re
import threading
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from icl.core.errors import ConfigError, StoreError
from icl.running.run import run
from icl.scoring.compare import compare
from icl.workbench.jobs import JobProgress, StoppedError
from icl.workbench.run_history import RunHistory
from icl.workbench.screen import Screen, ShotEdits
from icl.workbench.version_runs import VersionRun, find_row, run_version
from icl.workbench.workbench import Workbench
from tests.workbench.conftest import TABLE, screen, used


def ask(
    work: Workbench,
    one: Screen,
    n: int | None = 12,
    history: RunHistory | None = None,
    page: str = "p",
) -> VersionRun:
    return run_version(
        work, history or RunHistory(work.base), page, one, n, JobProgress(threading.Event())
    )


@pytest.fixture
def first(work: Workbench) -> Screen:
    return screen(work, "intent/plain", k=2)


def edited(one: Screen) -> Screen:
    return replace(one, text=one.text.replace("Utterance", "Somebody says"))


def test_an_edit_is_compared_row_by_row_with_the_version_before(
    work: Workbench, first: Screen
) -> None:
    history = RunHistory(work.base)
    one = ask(work, first, history=history)
    assert re.fullmatch(
        r"12 rows · acc \d+\.\d \[.*\] · no other version was run on these rows yet", one.headline()
    )
    two = ask(work, edited(first), history=history)
    assert (one.run.version, two.run.version) == (1, 2)
    assert two.before is not None and two.comparison is not None and two.flips is not None
    # The statistics are those of icl compare, on the same records.
    expected = compare(two.before.condition, two.now.condition)
    assert two.comparison.difference == expected.difference and expected.n == 12
    then, now = (
        {key: run.answers[key].right for key in two.now.answers} for run in (two.before, two.now)
    )
    right = sum(now[key] and not then[key] for key in now)
    wrong = sum(then[key] and not now[key] for key in now)
    assert (two.flips.better, two.flips.worse, two.flips.hits) == (right, wrong, True)
    assert (
        f"· version 1: {expected.value_a:.1f} · {right} flipped right, {wrong} flipped wrong, p "
        in two.headline()
    )
    assert two.details()[0].startswith(
        "version 2 against version 1: both have answered the same 12"
    )
    shown = two.page("all").table.rows
    assert [row[0] for row in shown] == list(two.now.answers)
    for key, _, gold, answer, sign, sure, before in shown:
        said, was = two.now.answers[key], two.before.answers[key].prediction.value
        assert (answer, gold) == (said.prediction.value, " | ".join(said.example.targets))
        assert sign == ("✓" if now[key] else "✗") and sure.endswith(" %")
        assert before.startswith(f"was {was}" if was != answer else "")
        assert ("flipped right" in before, "flipped wrong" in before) == (
            now[key] and not then[key],
            then[key] and not now[key],
        )
    changed = two.page("changed").table.rows
    assert [row[0] for row in changed] == [row[0] for row in shown if row[-1]]
    assert 0 < len(changed) <= 12
    assert {row[4] for row in two.page("wrong").table.rows} <= {"✗"}
    assert not two.page("unparsed").table.rows


def test_records_are_those_of_icl_run_and_the_same_rows_are_asked_once(
    work: Workbench, first: Screen
) -> None:
    made = ask(work, first)
    (records,) = (work.base / "runs" / "conditions").glob("*/records.jsonl")
    kept = records.read_bytes()
    again = ask(work, first)
    assert records.read_bytes() == kept and again.headline() == made.headline()
    # What is exported, with twelve rows for the one, is answered from the same records.
    whole = yaml.safe_load(work.export(first).text)
    del whole["tasks"][0]["rows"]["lines"]
    whole["tasks"][0]["rows"]["n"] = 12
    (work.base / "mine.yaml").write_text(yaml.safe_dump(whole))
    done = run(work.base / "mine.yaml", work.base / "runs")
    assert (done.computed, done.reused) == (0, 12) and records.read_bytes() == kept
    assert list(done.conditions[0].ids) == list(made.now.answers)
    # More rows go on from them.
    more = ask(work, first, n=20)
    assert records.read_bytes().startswith(kept) and len(more.now.answers) == 20
    assert {*made.now.answers} <= {*more.now.answers}


def test_all_rows_of_the_split_are_asked(work: Workbench, first: Screen) -> None:
    made = ask(work, first, n=None)
    assert len(made.now.answers) == made.asked == len(work.rows(first)) > 20
    page = made.page("all", 2)
    assert (len(page.table.rows), page.number) == (25, 2) and page.pages == -(-made.asked // 25)


def test_fewer_rows_than_are_drawn_are_all_asked(work: Workbench, first: Screen) -> None:
    rows = [f"{number} o'clock,alarm_set,test" for number in range(9)]
    rows += [f"play number {number},play_music,train" for number in range(5)]
    name = used(work, "mine.csv", "\n".join(["utt,intent,split", *rows]))
    made = ask(work, replace(first, data=name, locale=None), n=20)
    assert made.headline().startswith("9 rows · acc ")
    shots = {shot for one in made.now.answers.values() for shot, _, _ in one.record.shots}
    assert shots and not shots & {*made.now.answers}


def test_going_back_compares_with_what_was_left(work: Workbench, first: Screen) -> None:
    history = RunHistory(work.base)
    for one in (first, edited(first), edited(first), first):
        made = ask(work, one, history=history)
    assert made.earlier is not None and made.earlier.screen.text == edited(first).text
    assert (made.run.version, made.earlier.version) == (3, 2)


def test_other_settings_that_changed_are_named(work: Workbench, first: Screen) -> None:
    history = RunHistory(work.base)
    ask(work, first, history=history)
    made = ask(work, replace(edited(first), k=3, seed=7), history=history)
    assert made.details()[1] == "changed since then: template, k 2 → 3, seed 0 → 7"


def test_pages_have_their_own_history_and_a_new_start_has_that_on_disk(
    work: Workbench, first: Screen, tmp_path: Path
) -> None:
    history = RunHistory(work.base)
    ask(work, first, history=history, page="a")
    ask(work, replace(first, k=0), history=history, page="b")
    made = ask(work, edited(first), history=history, page="a")
    assert made.earlier is not None and made.earlier.screen == first  # not that of page b
    history.forget("a")
    later = Workbench({"t": TABLE}, work.base, tmp_path / "later")
    try:
        found = ask(later, replace(first, k=1))
        assert found.earlier is not None and found.earlier.screen == edited(first)
        assert found.before is not None and len(found.before.answers) == 12
        # Other data is another history.
        other = ask(later, replace(first, locale="de-DE"))
        assert other.earlier is None
    finally:
        later.sandbox.close()


def test_damaged_history_is_told_and_written_anew(work: Workbench, first: Screen) -> None:
    ask(work, first)
    (file,) = (work.base / ".icl" / "rows").rglob("*.json")
    file.write_text('[{"screen": {"name": 3}}]')
    made = ask(work, edited(first))
    assert made.before is None
    assert re.search(
        r"the run before cannot be compared: .*plain\.json.*delete .* twice", made.details()[0]
    )
    assert ask(work, first).before is not None
    file.write_text(" " * (1 << 20) + "[]")
    assert "bytes, 1,048,576 are read; delete" in ask(work, edited(first)).details()[0]


def test_a_stop_keeps_what_is_done(work: Workbench, first: Screen) -> None:
    stop = threading.Event()
    progress = JobProgress(stop)
    advance = progress.advance

    def commit(rows: int, tokens: int, left_s: float | None = None) -> None:
        stop.set()
        advance(rows, tokens, left_s)

    progress.advance = commit  # type: ignore[method-assign]
    made = run_version(work, RunHistory(work.base), "p", first, 12, progress)
    assert made.headline().startswith("4 of 12 rows · acc ")
    assert made.details() == [
        "stopped; finished answers are saved, and running again continues from them"
    ]
    assert ask(work, first).headline().startswith("12 rows · ")
    stop.set()
    with pytest.raises(StoppedError):
        run_version(work, RunHistory(work.base), "p", edited(first), 12, JobProgress(stop))


def test_shots_by_hand_stand_before_every_row(work: Workbench, first: Screen) -> None:
    pool = [
        shot.example.id
        for shot in work.bind(first).condition.request(work.bind(first).example).shots
    ]
    made = ask(work, replace(first, hand=ShotEdits(order=(pool[1], pool[0]))))
    shots = {tuple(name for name, _, _ in one.record.shots) for one in made.now.answers.values()}
    assert shots == {(pool[1], pool[0])}


def test_a_typed_row_has_no_others(work: Workbench, first: Screen) -> None:
    with pytest.raises(ConfigError, match="^a row typed by hand is alone; take the tick from"):
        ask(work, replace(first, own={"utt": "wake me"}))


def test_a_row_of_the_table_is_found_in_the_data(work: Workbench, first: Screen) -> None:
    made = ask(work, first)
    key = list(made.now.answers)[3]
    number = find_row(work, first, made, key)
    assert work.rows(first)[number - 1].id == key
    with pytest.raises(ConfigError, match="^this row is of samples/intent en-US; choose that data"):
        find_row(work, replace(first, locale="de-DE"), made, key)
    with pytest.raises(StoreError):
        find_row(work, first, made, "gone")


def test_filters_say_what_they_need(work: Workbench, first: Screen) -> None:
    made = ask(work, first)
    with pytest.raises(ConfigError, match="^nothing to compare with yet: run another version"):
        made.page("changed")
    with pytest.raises(ConfigError, match="must be one of all, wrong, changed, unparsed"):
        made.page("right")


def test_texts_are_compared_by_their_metric(work: Workbench) -> None:
    history = RunHistory(work.base)
    one = screen(work, "translation/plain", data="samples/translation", target="swh_Latn", k=0)
    ask(work, one, n=4, history=history)
    made = ask(work, replace(one, k=1), n=4, history=history)
    assert re.search(
        r"^4 rows · chrF\+\+ .* · version 1: [\d.]+ · \d better, \d worse, p ", made.headline()
    )
    assert all(len(cell) <= 300 for row in made.page().table.rows for cell in row)


def test_nothing_is_written_outside_the_history(
    work: Workbench, first: Screen, tmp_path: Path
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (work.base / ".icl").mkdir()
    (work.base / ".icl" / "rows").symlink_to(elsewhere)
    with pytest.raises(StoreError, match="link"):
        ask(work, first)
    assert not any(elsewhere.iterdir())
