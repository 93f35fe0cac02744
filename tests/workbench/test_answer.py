"""Answers from the table engine: ranked, streamed, stopped, scored, kept."""

from __future__ import annotations

import html
import math
import re
import threading
import time
from dataclasses import replace

import pytest

from icl.cli import app
from icl.core.errors import ConfigError, DataError, EngineError, StoreError
from icl.core.types import Output, Prompt, Sampling, Shot, Token
from icl.engines.table import TableEngine
from icl.records.feedback import Feedback, collect_shots, read, write_shots
from icl.selectors.fixed import FixedShots
from icl.workbench.answer import (
    AnswerProgress,
    ModelAnswer,
    generated_answer,
    rank,
    stream,
    stream_answer,
)
from icl.workbench.feedback import card, note
from icl.workbench.model_status import TokenizerLoader, colour_grade, load_weights
from icl.workbench.row_cache import search, summary
from icl.workbench.screen import ShotEdits, arrange_shots, shot_file
from icl.workbench.shot_influence import influence
from icl.workbench.window_meter import WindowMeter, part_counts
from icl.workbench.workbench import Workbench
from tests.workbench.conftest import screen


def asked(work: Workbench, name: str = "intent/plain", **changes: object) -> ModelAnswer:
    condition = work.bind(screen(work, name, **changes)).condition
    return rank(condition, condition.request(condition.examples[0]))


def written(work: Workbench, text: str) -> ModelAnswer:
    one = screen(work, "generate/question", data="samples/generate")
    condition = work.bind(one).condition
    request = condition.request(condition.examples[0])
    return generated_answer(condition, request, [Output(text, "end", 1, 2)], 0.1)


def test_a_ranking_is_that_of_the_engine(work: Workbench) -> None:
    made = asked(work)
    engine = made.condition.engine
    items = [(made.request.prompt, c.text + c.end) for c in made.request.choices]
    sums = [s.logprob for _, s in engine.score(items)]
    assert list(made.record.logprobs) == sums
    ranking = made.ranking
    assert math.isclose(sum(share for _, share in ranking), 1)
    best = max(range(len(sums)), key=sums.__getitem__)
    assert ranking[0][0] == made.prediction.value == made.request.choices[best].label
    assert made.scores()[0]["acc"] == (100.0 if made.right else 0.0)


def test_a_generation_is_scored_with_the_metrics_of_its_task(work: Workbench) -> None:
    found, notes = written(work, " Nairobi").scores()
    assert (found["EM"], notes) == (100.0, [])
    assert written(work, " London").scores()[0]["EM"] == 0.0
    bare = written(work, " Nairobi")
    row = replace(bare.request.example, targets=())
    unknown = replace(bare, request=replace(bare.request, example=row))
    assert (unknown.right, unknown.scores()[1]) == (
        None,
        ["the row has no right answer to compare with"],
    )


def per_slot(work: Workbench, stop: threading.Event) -> list[AnswerProgress]:
    """The steps of an answer whose slots are asked about one by one."""
    one = screen(work, "slots/per_slot", data="samples/slots", k=2)
    condition = work.bind(one).condition
    return list(stream_answer(condition, condition.request(condition.examples[0]), stop))


def test_every_slot_is_asked_about_and_the_answer_comes_with_the_last(work: Workbench) -> None:
    steps = per_slot(work, threading.Event())
    made = steps[-1].answer
    assert made is not None and [one.answer for one in steps[:-1]] == [None] * (len(steps) - 1)
    slots = [choice.text for choice in made.request.choices]
    assert len(slots) == len(made.request.prompts) == len(made.record.outputs) > 1
    lines = steps[-1].text.split("\n")
    assert [line.split(":")[0] for line in lines] == slots
    assert [line.split(": ")[1] for line in lines] == [
        output.text.strip() for output in made.record.outputs
    ]
    assert "slot-F1" in made.scores()[0]


def test_an_answer_that_was_stopped_between_two_slots_is_none(work: Workbench) -> None:
    stop = threading.Event()
    one = screen(work, "slots/per_slot", data="samples/slots", k=2)
    condition = work.bind(one).condition
    request = condition.request(condition.examples[0])
    last = None
    for last in stream_answer(condition, request, stop):
        if last.step.output is not None:
            stop.set()
    assert last is not None and last.answer is None and len(request.prompts) > 1
    assert last.text.startswith(f"{request.choices[0].text}:") and "\n" not in last.text


def test_leaving_out_a_shot_asks_the_rest(work: Workbench) -> None:
    made = asked(work, k=3)
    found = influence(made)
    assert [one.shot for one in found] == list(made.request.prompt.shot_ids)
    kept = list(made.request.shots)[1:]
    without = replace(
        made.request, prompt=made.condition.template.prompt(made.request.example, kept), shots=kept
    )
    again = rank(made.condition, without)
    assert found[0].label == again.prediction.value
    assert found[0].flips == (again.prediction.value != made.prediction.value)
    right = made.request.example.targets[0]
    adds = math.log(dict(made.ranking)[right]) - math.log(dict(again.ranking)[right])
    assert found[0].adds == pytest.approx(adds)


def test_leaving_out_a_shot_is_refused_for_the_noisy_channel(work: Workbench) -> None:
    made = asked(work, k=3)
    split = replace(made, request=replace(made.request, prompts=[made.request.prompt]))
    with pytest.raises(ConfigError, match="not supported for the noisy channel.*method: rank"):
        influence(split)


def test_leaving_out_a_shot_of_free_text_scores_the_right_answer(work: Workbench) -> None:
    made = written(work, " x")
    found = influence(made)
    text = made.condition.template.target(made.request.example)
    kept = list(made.request.shots)[1:]
    prompts = [
        made.condition.template.prompt(made.request.example, k) for k in (made.request.shots, kept)
    ]
    whole, less = (s.logprob for _, s in made.condition.engine.score([(p, text) for p in prompts]))
    assert found[0].adds == pytest.approx(whole - less)
    assert found[0].label is None and len(found) == 3


def test_feedback_becomes_a_shot_file(work: Workbench, capsys: pytest.CaptureFixture[str]) -> None:
    made = asked(work)
    path = note(work.base, made, "good", None)
    other = asked(work, row=2)
    note(work.base, other, "bad", None)
    note(work.base, other, "corrected", "play_music")
    note(work.base, asked(work, row=3), "bad", "ignored")
    found = read(path)
    assert [one.verdict for one in found] == ["good", "bad", "corrected", "bad"]
    assert found[0].prompt == made.request.sent
    assert (found[0].request, found[0].condition) == (made.record.request, made.record.condition)
    assert found[3].correction is None
    rows = collect_shots(found)
    assert [row["target"] for row in rows] == [made.prediction.value, "play_music"]
    out = work.base / "shots.jsonl"
    app(["feedback", str(path), "-o", str(out)], standalone_mode=False)
    told = capsys.readouterr().out
    assert told.startswith("4 verdicts: 2 bad, 1 good, 1 corrected; 2 rows with a right answer\n")
    selector = FixedShots(file=out)
    selector.fit([])
    assert selector.pool[1].targets == ("play_music",)
    assert selector.pool[1].fields == dict(other.request.example.fields)
    with pytest.raises(StoreError, match="exists already; give another name with -o"):
        write_shots(out, rows)
    with pytest.raises(DataError, match="no output was judged good or corrected yet"):
        write_shots(work.base / "none.jsonl", [])
    with pytest.raises(DataError, match="a corrected output needs the text"):
        note(work.base, made, "corrected", " ")
    with pytest.raises(DataError, match="unknown verdict 'fine'. There are: bad, corrected, good"):
        Feedback("fine", "1", {}, (), "", "", None)
    path.write_text('{"verdict": "good", "x": 1}\n')
    with pytest.raises(DataError, match=r"feedback.jsonl:1: unknown key 'x'"):
        read(path)
    path.write_text('{"verdict": "good"}\n')
    with pytest.raises(DataError, match=r"feedback.jsonl:1: no feedback of this version"):
        read(path)


HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\ud800\0&amp;"


def test_a_card_is_one_page_in_which_nothing_runs(work: Workbench) -> None:
    made = written(work, HOSTILE)
    page = card(work.base, made).read_text("utf-8")
    assert "<script" not in page and "<img" not in page
    assert "default-src 'none'" in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert not re.search(r"(?:src|href)=", html.unescape(page).replace("<img src=x", ""))
    shown = html.unescape(re.sub(r"<[^>]*>", "", page))
    assert made.request.prompt.text in shown
    ranked = card(work.base, asked(work)).read_text("utf-8")
    assert ranked.count('class="bar"') in (15, 16)
    assert "email_query ✓" in ranked


class Slow(TableEngine):
    """Writes words for a long time, unless it is stopped."""

    def generate(self, prompts, sampling, on_token=None, stop=None):  # type: ignore[no-untyped-def]
        for n in range(1000):
            if stop is not None and stop.is_set():
                break
            time.sleep(0.01)
            on_token(0, f" {n}")
        yield from TableEngine({"q": " end"}).generate(prompts, sampling)


def test_a_stream_tells_of_its_text_and_stops() -> None:
    stop = threading.Event()
    told = []
    for made in stream(Slow(), Prompt("q"), Sampling(), stop, every_s=0.05):
        told.append(made)
        if len(told) == 4:
            stop.set()
    assert [one.output is not None for one in told] == [False] * (len(told) - 1) + [True]
    assert len(told) <= 6
    assert told[3].text.startswith(" 0 1 2")
    assert told[-1].text == " end"


def test_closing_a_stream_frees_the_engine() -> None:
    stop = threading.Event()
    made = stream(Slow(), Prompt("q"), Sampling(), stop, every_s=0.05)
    next(made)
    made.close()
    assert stop.is_set()
    assert not [t for t in threading.enumerate() if t.name.startswith("generate")]


def test_a_stream_raises_what_the_engine_raised() -> None:
    with pytest.raises(EngineError, match="the table has no text"):
        list(stream(TableEngine(), Prompt("q"), Sampling(), threading.Event()))


class Broken(TableEngine):
    """Cannot be opened."""

    def tokens(self, prompt: Prompt) -> list[Token]:
        raise EngineError("no such model")

    def load(self) -> None:
        raise EngineError("no such weights")


def test_a_model_opens_once_and_says_why_it_cannot() -> None:
    opening = TokenizerLoader()
    opening.begin(Broken())
    wait(opening)
    assert (opening.open, opening.failure) == (False, "no such model")
    opening.begin(TableEngine())
    wait(opening)
    assert (opening.open, opening.failure) == (True, None)
    opening.begin(Broken())
    wait(opening)
    assert opening.failure is None
    with pytest.raises(EngineError, match="no such weights"):
        list(load_weights(Broken()))
    assert list(load_weights(TableEngine())) == []


def wait(opening: TokenizerLoader) -> None:
    for _ in range(200):
        if not opening.busy:
            return
        time.sleep(0.01)
    pytest.fail("still busy")


def test_tokens_are_counted_by_part(work: Workbench) -> None:
    prompt = Prompt("q q", "do it", (("in a", " b"), ("in c", " d")), system="sys")
    tokens = [Token(0, "", 0, 0), *TableEngine().tokens(prompt)]
    assert part_counts(prompt, tokens) == {"special": 1, "instruction": 4, "shots": 6, "query": 1}
    sent = "<user> do it\n\nin a</s> b <user> in c</s> d <user> q q <bot>"
    chat = replace(prompt, system="")
    covered = TableEngine().tokens(Prompt(sent))
    counts = part_counts(chat, covered, sent)
    assert sum(counts.values()) == len(covered)
    assert counts["query"] and counts["instruction"] and counts["special"] >= 4
    assert WindowMeter(counts, 12, 30, 40).shares()["answer"] == 10


def test_shots_in_their_order() -> None:
    hand = ShotEdits(pinned=("z",), removed=("a",))
    assert arrange_shots("abc", hand, 2) == ["z", "b"]
    assert arrange_shots("abc", hand.move(["z", "b"], "z", 1), 2) == ["b", "z"]
    assert arrange_shots("abc", hand.move(["z", "b"], "z", -1), 2) == ["z", "b"]
    assert arrange_shots("abc", ShotEdits(pinned=("x", "y", "z")), 1) == ["x", "y", "z"]
    assert arrange_shots("abc", hand.toggle_pin("z"), 2) == ["b", "c"]
    assert arrange_shots("abc", hand.toggle_pin("a"), 2) == ["z", "a"]
    assert ShotEdits.of(hand.as_json()) == hand
    assert not ShotEdits.of({"pinned": [1]}) and not ShotEdits.of("x") and not ShotEdits()


def test_a_shot_file_stands_alone(work: Workbench) -> None:
    row = asked(work).request.shots[0].example
    name, content = shot_file("mine", [Shot(row)])
    path = work.base / name
    path.parent.mkdir()
    path.write_bytes(content)
    selector = FixedShots(file=path)
    selector.fit([])
    assert (selector.pool[0].fields, selector.pool[0].targets) == (row.fields, row.targets)
    with pytest.raises(DataError, match="no shots are sent, so there are none to save"):
        shot_file("mine", [])


def test_rows_are_found_by_their_words(work: Workbench) -> None:
    rows = work.rows(screen(work, "intent/plain"))
    found = search(rows, "ALARM")
    assert found and all("alarm" in str(row.fields).casefold() for _, row in found)
    assert rows[found[0][0] - 1] is found[0][1]
    assert search(rows, "", most=3)[2][0] == 3 and not search(rows, "nowhere at all")
    assert len(summary(rows[0], 10)) <= 10


def test_grades_of_probability() -> None:
    assert [colour_grade(math.log(p)) for p in (0.5, 0.1, 0.01, 0.009)] == [
        "over 50 %",
        "10 to 50 %",
        "1 to 10 %",
        "under 1 %",
    ]
    assert colour_grade(None) is None


def test_slots_are_drawn_and_kept_on_the_card(work: Workbench) -> None:
    own = {"utt": "wake me at <five>", "annot_utt": "wake me at [time : <five>]"}
    shown = screen(work, "slots/marked", data="samples/slots", own=own)
    condition = work.bind(shown).condition
    asked = condition.request(condition.examples[0])
    made = generated_answer(
        condition, asked, [Output("wake [time : me] at <five>", "stop", 9, 9)], 1
    )
    assert made.slots.count("<mark") == 2 and '"time ✗">me</mark>' in made.slots
    assert '"time ✗">&lt;five&gt;</mark>' in made.slots
    text = card(work.base, made).read_text("utf-8")
    assert made.slots in text and "wake [time : me] at &lt;five&gt;" in text
    assert '"tags"' not in text and "&quot;tags" not in text
