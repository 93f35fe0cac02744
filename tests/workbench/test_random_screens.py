"""Screens drawn at random: their exported experiments send the same bytes and score the same."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from icl.running.run import run
from icl.workbench.answer import ModelAnswer, generated_answer, rank, stream
from icl.workbench.row_sources import RowSource
from icl.workbench.screen import Screen, ShotEdits, arrange_shots
from icl.workbench.workbench import Workbench
from tests.workbench.conftest import screen

TEMPLATES = {
    "samples/intent": ("intent/plain", "intent/native", "intent/instructed"),
    "samples/translation": ("translation/plain", "translation/native"),
    "samples/sentiment": ("sentiment/plain",),
    "samples/choose": ("choose/copa",),
    "samples/extract": ("extract/json",),
    "samples/generate": ("generate/question",),
    "samples/summarization": ("summarization/plain",),
    "samples/slots": ("slots/marked", "slots/frame"),
}


@pytest.fixture
def place(tmp_path: Path, wide_model: Path) -> Iterator[Workbench]:
    (tmp_path / "base").mkdir()
    entry = {"source": str(wide_model), "width": "fp32"}
    made = Workbench({"t": entry}, tmp_path / "base", tmp_path / "private")
    yield made
    made.sandbox.close()


def drawn(work: Workbench, draw: random.Random) -> Screen:
    """Template, rows, shots and what is changed by hand, all at random."""
    data = draw.choice(list(TEMPLATES))
    source: RowSource = work.sources[data]
    one = screen(
        work,
        draw.choice(TEMPLATES[data]),
        data=data,
        locale=draw.choice(source.locales) if source.locales else None,
        source="eng_Latn" if source.sources else None,
        target=draw.choice([t for t in source.targets if t != "eng_Latn"] or [None]),
        words=draw.choice(["en", "row"]) if source.locales or source.sources else "en",
        select=draw.choice(["random", "bm25", *["balanced"] * (data == "samples/intent")]),
        k=draw.choice([0, 1, 2, 4]),
        seed=draw.randrange(5),
        max_tokens=draw.randint(1, 6),
    )
    one = replace(one, row=draw.randint(1, len(work.rows(one))))
    if draw.random() < 0.3:
        one = replace(one, text=one.text.replace("|||", " =>|||"))
    return replace(one, hand=hand(work, one, draw)) if one.k and draw.random() < 0.5 else one


def hand(work: Workbench, one: Screen, draw: random.Random) -> ShotEdits:
    """A shot pinned, one removed, one moved."""
    seen = work.bind(one)
    made = ShotEdits().toggle_pin(draw.choice([row.id for row in seen.condition.pool]))
    made = made.remove(draw.choice(list(seen.scores)))
    ids = arrange_shots(seen.scores, made, one.k)
    return made.move(ids, draw.choice(ids), draw.choice([-1, 1])) if ids else made


def asked(work: Workbench, one: Screen) -> ModelAnswer:
    """What the playground answers."""
    condition = work.bind(one).condition
    request = condition.request(condition.examples[0])
    if condition.method == "rank":
        return rank(condition, request)
    *_, last = stream(condition.engine, request.prompt, condition.sampling, threading.Event())
    assert last.output is not None
    return generated_answer(condition, request, [last.output], last.seconds)


def reproduced(work: Workbench, number: int) -> str:
    """The screen's name, once its export has sent the same and got the same."""
    one = drawn(work, random.Random(number))
    made = asked(work, one)
    done = run(work.write(work.export(one), f"e{number}"), work.base / "runs")
    (found,) = done.conditions
    (record,) = found.records.values()
    assert record.request == made.record.request, one
    sent = found.prompt(record)
    assert sent.text.encode() == made.request.prompt.text.encode(), one
    assert [shot[0] for shot in record.shots] == [shot[0] for shot in made.record.shots], one
    assert (record.logprobs is None) == (made.record.logprobs is None)
    if record.logprobs:
        assert record.logprobs == pytest.approx(made.record.logprobs, abs=1e-3), one
    texts = [[output.text for output in kept.outputs] for kept in (record, made.record)]
    assert texts[0] == texts[1], one
    assert found.predictions()[0].value == made.prediction.value, one
    return one.name


def test_ten_screens_are_reproduced_by_their_exports(place: Workbench) -> None:
    assert len({reproduced(place, number) for number in range(10)}) > 4


@pytest.mark.slow
def test_a_hundred_screens_are_reproduced_by_their_exports(place: Workbench) -> None:
    assert len({reproduced(place, number) for number in range(10, 110)}) == 10
