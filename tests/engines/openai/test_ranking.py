"""Ranking through a server: by echo the same numbers as in process, and each way kept apart."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from icl import load_experiment, run
from icl.core.errors import ChoiceError, EngineError, WindowError
from icl.core.types import Choice, Prompt
from icl.engines.hf.engine import HFEngine
from icl.engines.openai.errors import RowError, TemporaryError
from icl.engines.openai.logprobs import (
    Echo,
    begins_apart,
    make_likely,
    read_echo,
    read_top,
    score_echo,
    score_first,
)
from icl.experiment.condition import build
from icl.experiment.grid import list_points
from icl.experiment.loader import Loader
from icl.reports.tables import render, render_record
from tests.engines.test_contract import made
from tests.servers import Server, Tiny
from tests.table_experiment import write

Serve = Callable[..., Server]
PROMPTS = [
    Prompt("Utterance: wake me up at nine am\nIntent:"),
    Prompt("Utterance: set the volume to fifty\nIntent: "),  # its space joins the choice's token
    Prompt("金曜日の朝九時に\n:"),
]
CHOICES = ["alarm set", " alarm set", " volume", " volume set", " वॉल्यूम", " 起こす"]


@pytest.mark.parametrize("list_bos", [True, False])
def test_echo_gives_the_numbers_of_the_model_in_process(
    serve: Serve, tiny_model: Path, list_bos: bool
) -> None:
    local = HFEngine(str(tiny_model), device="cpu")
    engine = made(serve(model=Tiny(tiny_model), list_bos=list_bos))
    items = [(prompt, choice) for prompt in PROMPTS[:2] for choice in CHOICES]
    wanted, found = dict(local.score(items)), dict(engine.score(items))
    assert sorted(found) == list(range(len(items)))
    for index, score in found.items():
        assert score.logprob == pytest.approx(wanted[index].logprob, abs=1e-4)
        for name in ("tokens", "chars", "bytes", "spanning"):
            assert getattr(score, name) == getattr(wanted[index], name)
    assert any(score.spanning for score in found.values())
    assert engine.ranked_by(CHOICES) == "echo"


def test_tokens_that_are_parts_of_characters_leave_the_order_as_it_is(
    serve: Serve, tiny_model: Path
) -> None:
    items = [(PROMPTS[2], choice) for choice in CHOICES]
    wanted = dict(HFEngine(str(tiny_model), device="cpu").score(items))
    found = dict(made(serve(model=Tiny(tiny_model))).score(items))
    differences = [found[i].logprob - wanted[i].logprob for i in range(len(items))]
    assert differences == pytest.approx([differences[0]] * len(items), abs=1e-4)


def test_requests_of_a_prompt_follow_each_other(serve: Serve) -> None:
    server = serve()
    items = [(prompt, choice) for prompt in PROMPTS[:2] for choice in CHOICES[2:4]]
    list(made(server, concurrency=1).score(items[::2] + items[1::2]))
    texts = [body["prompt"] for body in server.asked]
    assert [text.startswith(PROMPTS[0].text) for text in texts] == [True] * 3 + [False] * 3
    assert all(body["echo"] and body["max_tokens"] == 1 for body in server.asked)


def test_rows_of_one_text_share_its_echo_and_nothing_else(serve: Serve, tiny_model: Path) -> None:
    server = serve(model=Tiny(tiny_model))
    engine = made(server, concurrency=1)
    texts = ("金曜日", "alarm set", "volume set", "alarm set")
    rows = [(Prompt("Say: ", query_id=str(i)), text) for i, text in enumerate(texts)]
    found = dict(engine.score(rows))
    asked = [body["prompt"] for body in server.asked if body.get("echo")]
    assert len(asked[-4:]) == len(set(asked[-4:])) == 4
    assert sorted(asked[-4:]) == sorted({"Say: ", *(p.text + text for p, text in rows)})
    local = HFEngine(str(tiny_model), device="cpu")
    for i, row in enumerate(rows):
        alone = dict(local.score([row]))[0]
        assert found[i].logprob == pytest.approx(alone.logprob, abs=1e-4)
        assert (found[i].tokens, found[i].spanning) == (alone.tokens, alone.spanning)
    assert [found[i].spanning for i in range(4)] == [0, 1, 1, 1]


def test_spanning_tokens_are_scored_with_the_choice() -> None:
    prompt = Echo(("<s>", "a", "b"), (None, -1.0, -2.0))
    joined = [
        Echo(("<s>", "a", "bc"), (None, -1.0, -3.0)),
        Echo(("<s>", "a", "b", "d"), (None, -1.0, -2.0, -4.0)),
    ]
    found = score_echo(["c", "d"], prompt, joined)
    assert [(s.logprob, s.tokens, s.spanning) for s in found] == [(-3.0, 1, 1), (-6.0, 2, 1)]


@pytest.mark.parametrize("shown", ["", "\ufffd"])
def test_parts_of_characters_at_the_border_are_scored(shown: str) -> None:
    prompt = Echo(("<s>", "a", shown), (None, -1.0, -2.0))
    joined = [
        Echo(("<s>", "a", shown, shown), (None, -1.0, -2.0, -3.0)),
        Echo(("<s>", "a", shown, shown), (None, -1.0, -2.5, -4.0)),
    ]
    found = score_echo(["x", "y"], prompt, joined)
    assert [(s.logprob, s.spanning) for s in found] == [(-5.0, 1), (-6.5, 1)]


def test_what_cannot_be_scored_is_told() -> None:
    prompt = Echo(("a",), (None,))
    with pytest.raises(EngineError, match="no BOS before the first scored token"):
        score_echo(["x"], None, [Echo(("x",), (None,))])
    with pytest.raises(ChoiceError, match="'x' adds no token"):
        score_echo(["x"], prompt, [Echo(("a",), (None,))])
    same = Echo(("a", "b"), (None, -1.0))
    with pytest.raises(ChoiceError, match="'b' and 'B' have the same tokens"):
        score_echo(["b", "B"], prompt, [same, same])
    with pytest.raises(EngineError, match="no log-probability for a token of 'b'"):
        score_echo(["b"], prompt, [Echo(("a", "b"), (None, None))])
    assert score_echo([" b"], None, [Echo(("<s>", " b"), (None, -1.0))])[0].logprob == -1.0


@pytest.mark.parametrize(
    "data",
    [
        {"choices": []},
        {"choices": [{"logprobs": None}]},
        {"choices": [{"logprobs": {"tokens": ["a"], "token_logprobs": []}}],
         "usage": {"prompt_tokens": 1}},
        {"choices": [{"logprobs": {"tokens": ["a"] * 4, "token_logprobs": [0] * 4}}],
         "usage": {"prompt_tokens": 2}},
        {"choices": [{"logprobs": {"tokens": ["a"], "token_logprobs": [0]}}]},
    ],
)  # fmt: skip
def test_a_broken_echo_is_asked_again(data: Any) -> None:
    with pytest.raises(TemporaryError):
        read_echo(data, 0)


def test_first_token_scores() -> None:
    told = [(" al", 0.25), (" a", 0.125), (" ", math.exp(-1)), (" play", 0.25)]
    top = make_likely([(text, math.log(share)) for text, share in told], chat=False)
    found, bounds = score_first([" alarm", " play", " quiet"], top, 7)
    assert found[0].logprob == pytest.approx(math.log(0.375))
    assert found[1].logprob == pytest.approx(math.log(0.25))
    rest = 1 - 0.25 - 0.125 - 0.25 - math.exp(-1.0)
    assert rest < 0.125
    assert found[2].logprob == pytest.approx(math.log(rest))
    assert (bounds, found[0].prompt_tokens, found[0].tokens) == (1, 7, 1)
    shared, _ = score_first([" alarm", " album"], top, 0)
    assert shared[0].logprob == shared[1].logprob  # a token that begins both tells nothing
    with pytest.raises(TemporaryError, match="lacks its top"):
        read_top({"choices": [{"logprobs": None}]})
    with pytest.raises(TemporaryError, match="lists no token"):
        read_top({"choices": [{"logprobs": {"top_logprobs": [{}]}}]})
    with pytest.raises(RowError, match="reported no first token .*set ranking: generate"):
        read_top({"choices": [{"logprobs": {"content": None}}]})


def test_choices_are_apart_if_no_beginning_is_shared() -> None:
    assert begins_apart([" yes", " no"], [" y", " n"])
    assert not begins_apart([" alarm", " album"], [" a", " a"])
    assert begins_apart([" alarm", " album"], [" alarm", " alb"])
    assert not begins_apart([" a", " b"], [" ", " b"])


@pytest.mark.parametrize("completions", [True, False])
def test_first_tokens_of_both_kinds_of_completion(serve: Serve, completions: bool) -> None:
    server = serve(echo=False, completions=completions)
    engine = made(server)
    assert engine.identity()["api"] == ("completions" if completions else "chat")
    choices = [" alarm", " play", " set"]
    assert engine.ranked_by(choices) == "first_token"
    found = dict(engine.score([(Prompt("Q:"), choice) for choice in choices]))
    top = server.model.top("Q:", 20)
    wanted = [top[choice] for choice in choices]
    assert [found[i].logprob for i in range(3)] == pytest.approx(wanted, abs=1e-6)
    assert len(server.asked) == 1
    assert engine.ranked_by([" alarm", " album"]) == "generate"
    with pytest.raises(EngineError, match="no log-probabilities that distinguish these choices"):
        list(engine.score([(Prompt("Q:"), " alarm"), (Prompt("Q:"), " album")]))


def test_a_tokenizer_tells_more_choices_apart(serve: Serve, tiny_model: Path) -> None:
    server = serve(model=Tiny(tiny_model), echo=False)
    choices = [" alarm", " am"]  # its tokens: " al", "ar", "m"; " am"
    assert made(server).ranked_by(choices) == "generate"
    assert made(server, tokenizer=str(tiny_model)).ranked_by(choices) == "first_token"


def test_a_way_that_is_asked_for_is_taken_or_refused(serve: Serve) -> None:
    assert made(serve(), ranking="generate").ranked_by([" a", " b"]) == "generate"
    assert made(serve(), ranking="first_token").ranked_by([" a", " b"]) == "first_token"
    with pytest.raises(EngineError, match="ranking 'echo': .* gives no log-probabilities of pro"):
        made(serve(echo=False), ranking="echo").ranked_by([" a", " b"])
    with pytest.raises(EngineError, match="cannot distinguish these choices by their first token"):
        made(serve(), ranking="first_token").ranked_by([" ab", " ac"])
    with pytest.raises(EngineError, match="gives no first-token log-probabilities; set ranking"):
        made(serve(echo=False, top=0), ranking="first_token").ranked_by([" a", " b"])


def test_a_choice_in_a_chat(serve: Serve) -> None:
    engine = made(serve(completions=False))
    assert engine.choice(Choice("a", " yes", "\n")) == Choice("a", "yes")
    assert made(serve()).choice(Choice("a", " yes", "\n")) == Choice("a", " yes", "\n")


def test_too_long_for_the_window(serve: Serve) -> None:
    engine = made(serve(counts=True), window=8)
    with pytest.raises(WindowError, match="over the window of 8"):
        list(engine.score([(Prompt("a b c d e"), " f g h"), (Prompt("a b c d e"), " i")]))


def test_each_way_of_ranking_is_another_condition_in_another_column(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server = serve()
    models = {way: server.entry(ranking=way) for way in ("echo", "first_token", "generate")}
    template = "labels: {alarm_set: alarm, play_music: play, weather_query: weather}"
    file = write(tmp_path, models=models, grid={"shots": [0], "model": list(models)})
    text = (tmp_path / "intent.j2").read_text()
    before = "labels: {alarm_set: set alarm, play_music: play music, weather_query: weather}"
    (tmp_path / "intent.j2").write_text(text.replace(before, template))
    file.write_text(
        json.dumps(
            {**json.loads(file.read_text()), "tasks": json.loads(file.read_text())["tasks"][:1]}
        )
    )
    experiment = load_experiment(file)
    built = [build(point, Loader(experiment)) for point in list_points(experiment)]
    assert [c.ranking for c in built] == ["echo", "first_token", "generate"]
    assert len({c.fingerprint for c in built}) == 3
    assert [c.identity["method"] for c in built] == [
        "rank:echo",
        "rank:first_token",
        "rank:generate",
    ]
    from icl.running.progress import Progress
    from icl.running.run import run as go

    done = go(file, tmp_path / "runs", Progress())
    names = [{s.name for s in c.scores if s.kind == "model"} for c in done.conditions]
    assert names == [
        {"accuracy", "macro_f1"},
        {"accuracy@first_token", "macro_f1@first_token"},
        {"accuracy@written", "macro_f1@written"},
    ]
    table = render(done)
    assert "choices ranked by the server's log-probability of their first token alone" in table
    assert "choices ranked by the server's text, parsed" in table
    assert max(map(len, table.splitlines())) <= 80
    err = capsys.readouterr().err
    assert "first_token: choices are ranked by the first token's log-probability alone" in err
    for condition in done.conditions:
        record = next(iter(condition.records.values()))
        assert record.prompt_tokens > 0
        assert "rendered again: the same as was sent" in render_record(condition, record)


def test_the_table_counts_a_ranked_run(serve: Serve, tmp_path: Path) -> None:
    file = write(tmp_path, models={"s": serve().entry()}, grid={"shots": [{"k": 2}]})
    done = run(file, tmp_path / "runs")
    assert "choices ranked by the server's log-probabilities of all their tokens" in render(done)
    assert [score.n for score in done.scores if score.name == "accuracy"] == [10]
