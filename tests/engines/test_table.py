from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from icl.core.errors import ChoiceError, EngineError, WindowError
from icl.core.types import Prompt, Sampling
from icl.engines.table import TableEngine

ANSWERS = {"2+2=": " 4\nmore", "sky?": {" blue": -0.25, " red": -2.5}}


def test_generates_by_text_or_query_and_cuts_at_stop_strings() -> None:
    engine = TableEngine(ANSWERS)
    prompts = [Prompt("2+2="), Prompt("2+2=", instruction="Add.", stop=("\n",))]
    outputs = dict(engine.generate(prompts, Sampling()))
    assert (outputs[0].text, outputs[0].finish) == (" 4\nmore", "end")
    assert (outputs[1].text, outputs[1].finish) == (" 4", "stop")
    assert (outputs[1].prompt_tokens, outputs[1].output_tokens) == (2, 1)


def test_length_and_streaming() -> None:
    heard: list[tuple[int, str]] = []
    engine = TableEngine({"q": "one two  three"})
    sampling = Sampling(max_tokens=2)
    [(_, output)] = engine.generate([Prompt("q")], sampling, lambda i, t: heard.append((i, t)))
    assert (output.text, output.finish) == ("one two", "length")
    assert heard == [(0, "one"), (0, " two")]


def test_stop_event_cancels() -> None:
    stop = threading.Event()
    stop.set()
    outputs = [
        out for _, out in TableEngine(ANSWERS).generate([Prompt("2+2=")], Sampling(), stop=stop)
    ]
    assert [out.finish for out in outputs] == ["cancelled"]


def test_scores_from_the_table() -> None:
    prompt = Prompt("sky?")
    scores = [s for _, s in TableEngine(ANSWERS).score([(prompt, " blue"), (prompt, " red")])]
    assert [s.logprob for s in scores] == [-0.25, -2.5]
    assert (scores[0].tokens, scores[0].chars, scores[0].bytes) == (1, 5, 5)


def test_hash_answers_are_the_same_everywhere() -> None:
    engine = TableEngine(default="hash")
    [(_, first)] = engine.score([(Prompt("q"), " a b")])
    [(_, again)] = TableEngine(default="hash").score([(Prompt("q"), " a b")])
    [(_, other)] = engine.score([(Prompt("r"), " a b")])
    assert first == again != other
    assert -10.2 <= first.logprob <= -0.2
    # printf 'q' | sha256sum
    [(_, output)] = engine.generate([Prompt("q")], Sampling())
    assert output.text.startswith(
        " 8e35c2cd3bf6641bdb0e2050b76932cbb2e6034a0ddacc1d9bea82a6ba57f7cf"
    )


def test_missing_answers_say_what_to_do() -> None:
    engine = TableEngine(ANSWERS)
    with pytest.raises(EngineError, match=r"no text for the query 'sea\?'; add it to answers, or"):
        list(engine.generate([Prompt("sea?")], Sampling()))
    with pytest.raises(EngineError, match=r"no log-probability for choice ' x' after the query"):
        list(engine.score([(Prompt("sky?"), " x")]))
    with pytest.raises(ChoiceError, match="an empty choice"):
        list(engine.score([(Prompt("sky?"), "")]))
    with pytest.raises(
        WindowError, match="of 3 tokens and answer of 64 are longer than the window"
    ):
        list(TableEngine(window=20).generate([Prompt("a b c")], Sampling()))


def test_tokens_cover_the_text() -> None:
    prompt = Prompt("Utterance: जगाना मुझे\nIntent: ")
    tokens = TableEngine().tokens(prompt)
    assert "".join(token.text for token in tokens) == prompt.text
    assert all(prompt.text[t.start : t.end] == t.text for t in tokens)
    assert len(tokens) == 5


def test_identity_follows_the_table() -> None:
    assert TableEngine(ANSWERS).identity() == TableEngine(dict(ANSWERS)).identity()
    assert TableEngine(ANSWERS).identity() != TableEngine({}).identity()
    assert TableEngine().identity() != TableEngine(default="hash").identity()


def test_needs_no_torch() -> None:
    code = (
        "import sys, icl.engines.table, icl.engines.hf.engine\n"
        "print({'torch', 'transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
