"""Rows that a server does not answer: unscored, told, asked again; and when a run ends for them."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from icl import compare, load_run, run, score_run
from icl.cli import main
from icl.core.errors import EngineError, MetricError, StoreError
from icl.core.types import Record
from icl.metrics import VerdictMetric, asks_judge, make_metric
from icl.records.results import ConditionResult, Run
from icl.records.store import ConditionStore
from icl.reports.card import make_card, render_card
from icl.reports.grid import make_score_grids
from icl.reports.markdown_csv_json import as_json, as_markdown
from icl.reports.page.page import report_page
from icl.reports.tables import render, render_record
from icl.running.failures import FailureTally, TooManyFailures
from icl.running.search.objective import make_objective
from icl.scoring.judge_verdicts import judge_parts
from tests.engines.openai.test_conformance import top
from tests.metrics.test_judge import study
from tests.servers import Reply, Server, is_probe
from tests.table_experiment import write

Serve = Callable[..., Server]


class Moody:
    """A chat server that likes ``alarm_set`` best, and gives some rows no first token."""

    def __init__(self, *silent: int) -> None:
        self.silent = set(silent)

    def __call__(self, path: str, body: dict[str, Any]) -> Reply | None:
        text = body["messages"][-1]["content"] if "messages" in body else ""
        if any(f"utterance {number} " in text for number in self.silent) and not is_probe(body):
            numbers: Any = {"content": None}
        else:
            likely = [("set", 0.6), ("play", 0.3), ("weather", 0.05)]
            told = [{"token": t, "logprob": math.log(p), "bytes": [*t.encode()]} for t, p in likely]
            numbers = {"content": [{**told[0], "top_logprobs": told}]}
        choice = {"index": 0, "message": {"content": "set"}, "finish_reason": "length"}
        return Reply({"model": "m", "choices": [{**choice, "logprobs": numbers}]})


def moody(serve: Serve, *silent: int) -> tuple[Server, Moody]:
    mood = Moody(*silent)
    return serve(completions=False, quirk=mood), mood


def ranked(folder: Path, server: Server, **options: Any) -> Path:
    """The intents of ten rows, ranked by their first tokens on this server."""
    file = write(folder, models={"s": server.entry(retries=0, **options)}, grid={"shots": [0]})
    made = json.loads(file.read_text())
    file.write_text(json.dumps({**made, "tasks": made["tasks"][:1], "batch_size": 4}))
    return file


def value(done: Run, name: str = "accuracy@first_token") -> tuple[float | None, int]:
    (found,) = (score for score in done.scores if score.name == name)
    return found.value, found.n


def pick_judge(condition: ConditionResult) -> VerdictMetric:
    (judge,) = (one for _, one in map(make_metric, condition.entry.metrics) if asks_judge(one))
    return judge


def silent_rows(done: Run) -> list[str]:
    return list(done.conditions[0].unscored)


def test_an_unscored_row_is_left_out_told_and_asked_again(serve: Serve, tmp_path: Path) -> None:
    server, mood = moody(serve)
    file = ranked(tmp_path, server)
    whole = run(file, tmp_path / "whole")
    asked = {name: int(name[1:]) for name in whole.conditions[0].records}
    right = [name for name, number in asked.items() if number % 3 == 0]
    mood.silent = {asked[right[0]], asked[right[1]]}
    server.asked.clear()
    done = run(file, tmp_path / "runs")
    assert (done.computed, done.reused) == (8, 0)
    assert sorted(silent_rows(done)) == sorted(right[:2])
    assert value(whole) == (10.0 * len(right), 10)
    assert value(done) == (100 * (len(right) - 2) / 8, 8)
    table = " ".join(render(done).split())
    assert "8 (2 unscored)" in table
    wrong = 100 * (len(right) - 2) / 10
    assert f"were they wrong, acc would be {wrong:.1f} instead of {value(done)[0]:.1f}" in table
    assert "rows so far" not in table
    assert max(map(len, render(done).splitlines())) <= 80
    folder = tmp_path / "runs" / "small"
    assert "8 (2 unscored)" in as_markdown(make_score_grids(done))
    assert json.loads(as_json(done))["conditions"][0]["rows"] == {
        "answered": 8,
        "asked": 10,
        "unscored": 2,
    }
    page = report_page(done)
    assert "8 (2 unscored)" in page
    assert "2 of 10 rows are unscored and left out of n" in page
    again = score_run(load_run(folder))
    assert value(again) == value(done)

    mood.silent = {asked[right[0]]}
    server.asked.clear()
    more = run(file, tmp_path / "runs")
    assert (more.computed, more.reused, len(server.asked)) == (1, 8, 2)
    assert silent_rows(more) == [right[0]]
    assert "9 (1 unscored)" in render(more)
    mood.silent = set()
    last = run(file, tmp_path / "runs")
    assert value(last) == value(whole)
    assert silent_rows(last) == []
    assert "unscored" not in render(last)
    assert (last.computed, last.reused) == (1, 9)


def test_show_tells_why_and_what_was_asked(
    serve: Serve,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server, mood = moody(serve)
    file = ranked(tmp_path, server)
    first, *_ = run(file, tmp_path / "whole").conditions[0].records
    mood.silent = {int(first[1:])}
    done = run(file, tmp_path / "runs")
    (condition,) = done.conditions
    record = condition.record(first)
    text = render_record(condition, record)
    assert "unscored   the server reported no first token" in text
    assert "the next icl run tries it again" in text
    assert f"utterance {first[1:]} " in text
    assert "rendered again: the same as was sent" in text
    card = render_card(make_card(condition, record))
    assert "<th>unscored</th><td>the server reported no first token" in card
    assert "✗ wrong" not in card
    shown = ["icl", "show", f"small#{first}", "--out", str(tmp_path / "runs")]
    monkeypatch.setattr("sys.argv", shown)
    with contextlib.suppress(SystemExit):
        main()
    said = capsys.readouterr().out
    assert "unscored   the server reported no first token" in said
    assert "rendered again: the same as was sent" in said


def test_pairs_leave_it_out_on_both_sides(serve: Serve, tmp_path: Path) -> None:
    server, mood = moody(serve)
    file = ranked(tmp_path, server)
    whole = run(file, tmp_path / "whole")
    first, *_ = whole.conditions[0].records
    mood.silent = {int(first[1:])}
    done = run(file, tmp_path / "runs")
    found = compare(whole.conditions[0], done.conditions[0])
    assert (found.n_a, found.n_b, found.n) == (10, 9, 9)
    assert found.value_a == found.value_b


@pytest.mark.parametrize(("allowed", "ends"), [(None, True), (3, True), (4, False), (0, True)])
def test_too_many_end_the_run_which_goes_on(
    serve: Serve, tmp_path: Path, allowed: int | None, ends: bool
) -> None:
    server, mood = moody(serve)
    option = {} if allowed is None else {"max_failures": allowed}
    file = ranked(tmp_path, server, **option)
    names = list(run(file, tmp_path / "whole").conditions[0].records)
    mood.silent = {int(name[1:]) for name in names[:4]}
    if not ends:
        assert len(silent_rows(run(file, tmp_path / "runs"))) == 4
        return
    most = 3 if allowed is None else allowed
    told = f"of 10 rows could not be answered, and max_failures allows {most}; the last one: the "
    with pytest.raises(EngineError, match=told) as caught:
        run(file, tmp_path / "runs")
    assert "raise max_failures in the model's entry, and run the same command again" in str(
        caught.value
    )
    mood.silent = set()
    kept = {body["messages"][0]["content"] for body in server.asked}
    done = run(file, tmp_path / "runs")
    assert value(done)[1] == 10
    assert silent_rows(done) == []
    assert kept


def test_a_condition_without_any_answer_is_no_result(serve: Serve, tmp_path: Path) -> None:
    server, mood = moody(serve, *range(30))
    with pytest.raises(TooManyFailures, match="none of 10 rows could be answered; the last one:"):
        run(ranked(tmp_path, server, max_failures=10), tmp_path / "runs")


@pytest.mark.parametrize("step", ["keep_unscored", "_write_plan", "commit"])
def test_a_kill_at_any_step_loses_and_doubles_nothing(
    serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    class Killed(BaseException):
        """Stands for a kill -9 in the moment before a write."""

    server, mood = moody(serve)
    file = ranked(tmp_path, server)
    names = list(run(file, tmp_path / "whole").conditions[0].records)
    mood.silent = {int(names[0][1:])}
    plain = getattr(ConditionStore, step)
    calls = {"left": 0}

    def before(store: ConditionStore, *given: Any, **named: Any) -> Any:
        failing = step != "keep_unscored" or bool(given[0])
        if failing and store.unscored() or (failing and step == "keep_unscored"):
            calls["left"] += 1
            raise Killed
        return plain(store, *given, **named)

    monkeypatch.setattr(ConditionStore, step, before)
    with pytest.raises(Killed):
        run(file, tmp_path / "runs")
    assert calls["left"] == 1
    monkeypatch.setattr(ConditionStore, step, plain)
    done = run(file, tmp_path / "runs")
    assert silent_rows(done) == [names[0]]
    assert sorted(done.conditions[0].records) == sorted(names[1:])
    mood.silent = set()
    assert value(run(file, tmp_path / "runs"))[1] == 10


def test_a_row_whose_data_changed_is_not_read_by_its_old_answer(
    serve: Serve, tmp_path: Path
) -> None:
    server, mood = moody(serve)
    file = ranked(tmp_path, server)
    first, *_ = run(file, tmp_path / "runs").conditions[0].records
    number = int(first[1:])
    rows = (tmp_path / "rows.jsonl").read_text()
    (tmp_path / "rows.jsonl").write_text(
        rows.replace(f"utterance {number} about", f"utterance {number} on")
    )
    mood.silent = {number}
    changed = run(file, tmp_path / "runs")
    assert silent_rows(changed) == [first]
    assert first not in changed.conditions[0].records
    (tmp_path / "rows.jsonl").write_text(rows)
    back = run(file, tmp_path / "runs")
    assert (silent_rows(back), value(back)[1]) == ([], 10)


def test_written_answers_are_left_out_too(serve: Serve, tmp_path: Path) -> None:
    def quirk(path: str, body: dict[str, Any]) -> Reply | None:
        bad = "utterance 3 " in body["messages"][-1]["content"]
        return Reply({"error": {"message": "flagged"}}, 400) if bad else None

    server = serve(completions=False, top=0, quirk=quirk)
    done = run(ranked(tmp_path, server), tmp_path / "runs")
    (condition,) = done.conditions
    assert condition.entry.method == "generate"
    assert {name: "flagged" in row.error for name, row in condition.unscored.items()} == (
        {"r3": True} if "r3" in condition.ids else {}
    )
    assert len(condition.records) + len(condition.unscored) == 10
    assert "r3" in condition.unscored


def test_a_search_compares_candidates_on_rows_that_both_answered(
    serve: Serve, tmp_path: Path
) -> None:
    server, mood = moody(serve)
    file = ranked(tmp_path, server)
    (whole,) = run(file, tmp_path / "whole").conditions
    mood.silent = {int(name[1:]) for name in list(whole.records)[:2]}
    (left,) = run(file, tmp_path / "runs").conditions
    for objective in ("gold_logprob", "accuracy"):
        one, two = make_objective(objective, "rank").pair(whole, left)
        assert one.rows.tolist() == two.rows.tolist()
        assert len(one.rows) == 8


def test_a_judge_that_is_silent_on_an_output(serve: Serve, tmp_path: Path) -> None:
    said = {"A": ("yes", 0.8), "B": ("no", 0.9)}

    def quirk(path: str, body: dict[str, Any]) -> Reply | None:
        text = body["messages"][-1]["content"]
        label, share = next((said[k] for k in said if f'"{k}"' in text), ("yes", 0.5))
        numbers: Any = top((label, share), ("no" if label == "yes" else "yes", 0.05))
        if '"C"' in text:
            numbers = {"content": None}
        choice = {"index": 0, "message": {"content": label}, "finish_reason": "length"}
        return Reply({"model": "m", "choices": [{**choice, "logprobs": numbers}]})

    file = study(tmp_path, ["A", "B", "C", "B"], [True] * 4)
    made = json.loads(file.read_text())
    made["models"]["j"] = serve(completions=False, quirk=quirk).entry(retries=0)
    file.write_text(json.dumps(made))
    done = run(file, tmp_path / "runs")
    (quality,) = (one for one in done.scores if one.name == "quality")
    assert (round(quality.value or 0, 1), quality.n) == (33.3, 3)
    (condition,) = done.conditions
    with pytest.raises(MetricError, match="gave no verdict on 1 of 4 outputs, such as .* again"):
        judge_parts([condition], "quality", pick_judge(condition), [condition.predictions()])


def test_a_damaged_file_is_one_line(serve: Serve, tmp_path: Path) -> None:
    server, _ = moody(serve, 0, 1, 2)
    done = run(ranked(tmp_path, server), tmp_path / "runs")
    (condition,) = done.conditions
    path = condition.store.folder / "unscored.jsonl"
    path.write_text('{"error": 5}\n')
    with pytest.raises(StoreError, match=r"unscored.jsonl:1: corrupt line .*; delete the file"):
        render(load_run(done.folder))


def test_the_limit() -> None:
    assert [FailureTally("m", rows).limit for rows in (1, 20, 61, 200, 1000)] == [3, 3, 4, 10, 50]
    assert FailureTally("m", 200, 0).limit == 0
    tally = FailureTally("m", 5, 1)
    tally.add(Record("a", "c", "h"), "no")
    assert tally.describe() == (
        "1 of 5 rows is unscored, since the model gave no answer (a: no); the next icl run tries "
        "it again"
    )
    with pytest.raises(TooManyFailures, match="m: 2 of 5 rows could not be answered"):
        tally.add(Record("b", "c", "h"), "no")
