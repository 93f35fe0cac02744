"""Servers as they are: one row for whatever one of them does otherwise than the others.

The table in docs/servers.md says the same in words. A server that is known for a quirk is named.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from icl.core.errors import EngineError
from icl.core.types import Output, Prompt, Sampling
from icl.engines.openai import OpenAIEngine
from icl.engines.protocol import LenientEngine, RowFailure
from tests.engines.test_contract import made
from tests.servers import Reply, Server, is_probe

Serve = Callable[..., Server]
PROMPT = Prompt("row", stop=("\n",), query_id="row")
FEW = Sampling(max_tokens=9)
USAGE = {"prompt_tokens": 3, "completion_tokens": 5}


def chat(message: Any, finish: str | None = "stop", usage: Any = USAGE, **more: Any) -> Reply:
    """A whole answer with this message, or with this content."""
    told = message if isinstance(message, dict) else {"content": message}
    choice = {"index": 0, "message": {"role": "assistant", **told}, "finish_reason": finish}
    return Reply({"model": "m", "choices": [choice | more], "usage": usage})


def delta(**told: Any) -> dict[str, Any]:
    return {"choices": [{"index": 0, "delta": told, "finish_reason": None}]}


END = {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}


def events(
    *told: Any, ends: str = "\n\n", kind: str = "text/event-stream", code: str = "utf-8"
) -> Reply:
    """A stream: objects as JSON, texts as the lines that they are."""
    lines = [
        one + ends if isinstance(one, str) else f"data: {json.dumps(one, ensure_ascii=False)}{ends}"
        for one in told
    ]
    return Reply("".join([*lines, f"data: [DONE]{ends}"]).encode(code, "surrogatepass"), kind=kind)


def cut_at_stop(text: str) -> Callable[[dict[str, Any]], Reply]:
    """A server that looks for stop strings everywhere, in the reasoning too."""

    def answer(body: dict[str, Any]) -> Reply:
        found = [text.index(stop) for stop in body.get("stop", ()) if stop in text]
        return chat(text[: min(found, default=len(text))])

    return answer


def refused(name: str, otherwise: Reply) -> Callable[[dict[str, Any]], Reply]:
    def answer(body: dict[str, Any]) -> Reply:
        told = f"Unsupported parameter: '{name}' is not supported with this model."
        return Reply({"error": {"message": told}}, 400) if name in body else otherwise

    return answer


@dataclass(frozen=True)
class Quirk:
    """What a server answers, and what is to be made of it."""

    name: str
    answer: Reply | Callable[[dict[str, Any]], Reply]
    text: str = "A"
    finish: str = "stop"
    reasoning: str | None = None
    tokens: int | None = 5
    options: tuple[tuple[str, Any], ...] = ()


THINK = (("reasoning", ["<think>", "</think>"]),)
THOUGHT = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}

WHOLE = [
    Quirk("content in parts (Mistral)", chat([THOUGHT, {"type": "text", "text": "A"}]),
          reasoning="hm"),
    Quirk("content in parts of text", chat([{"text": "A"}, {"type": "text", "text": "B"}]), "AB"),
    Quirk("null content, reasoned to the end",
          chat({"content": None, "reasoning_content": "I think"}, "length"), "", "reasoning",
          "I think"),
    Quirk("no content, reasoned to the end (vLLM)", chat({"reasoning": "I think"}, "length"), "",
          "reasoning", "I think"),
    Quirk("reasoning by both names",
          chat({"content": "A", "reasoning": "hm", "reasoning_content": "hm"}), reasoning="hm"),
    Quirk("a block in the text, cut by the stop string",
          cut_at_stop("<think>\nB or A?\n</think>\n\nA\nB"), reasoning="B or A?"),
    Quirk("a block in a field, cut by the stop string",
          lambda body: chat({"content": None, "reasoning_content": "B"} if "stop" in body else
                            {"content": "A", "reasoning_content": "B\nor A"}), reasoning="B\nor A"),
    Quirk("a lone end of a block", chat("B or A?\n</think>\n\nA\nB"), reasoning="B or A?"),
    Quirk("a lone end of a block that is expected", cut_at_stop("B or\nA?</think>A\nB"),
          reasoning="B or\nA?", options=THINK),
    Quirk("no block where one is expected", chat("A\nB"), options=THINK),
    Quirk("no block where one is expected, and cut", chat("B or", "length"), "B or", "reasoning",
          options=THINK),
    Quirk("a block that never ends", chat("<think>B or", "length"), "", "reasoning", "B or"),
    Quirk("a block that is not looked for", chat("<think>A</think>\nB"), "<think>A</think>",
          options=(("reasoning", "never"),)),
    Quirk("a block of one's own", chat("((hm))A"), reasoning="hm",
          options=(("reasoning", ["((", "))"]),)),
    Quirk("withheld by a filter (Azure)", chat("", "content_filter"), "", "filter"),
    Quirk("cut by a filter", chat("Well", "content_filter"), "Well", "filter"),
    Quirk("a refusal (OpenAI)", chat({"content": None, "refusal": "I can't"}), "I can't",
          "refusal"),
    Quirk("an empty answer is neither", chat(""), ""),
    Quirk("usage in texts", chat("A", usage={"prompt_tokens": "3", "completion_tokens": "5"})),
    Quirk("usage in floats", chat("A", usage={"prompt_tokens": 3.0, "completion_tokens": 5.0})),
    Quirk("usage of nulls", chat("A", usage={"prompt_tokens": None, "completion_tokens": None}),
          tokens=None),
    Quirk("no usage", chat("A", usage=None), tokens=None),
    Quirk("the stop string in the text", chat("A\n")),
    Quirk("stop is refused (GPT-5)", refused("stop", chat("A\nB"))),
    Quirk("streamed unasked", events(delta(content="A"), END), tokens=None),
    Quirk("streamed unasked, and called JSON",
          events(delta(content="A"), END, kind="application/json"), tokens=None),
]  # fmt: skip
STREAMED = [
    Quirk("in pieces", events(delta(content="A"), delta(content="B"), END), "AB"),
    Quirk("reasoning (vLLM)", events(delta(reasoning="h"), delta(reasoning="m"),
          delta(content="A"), END), reasoning="hm"),
    Quirk("reasoning by both names",
          events(delta(reasoning="hm", reasoning_content="hm"), delta(content="A"), END),
          reasoning="hm"),
    Quirk("a block in the text", events(delta(content="<thi"), delta(content="nk>h\nm"),
          delta(content="</think>\n\nA\nB"), END), reasoning="h\nm"),
    Quirk("a block that is expected", events(delta(content="h\nm</th"), delta(content="ink>A"),
          END), reasoning="h\nm", options=THINK),
    Quirk("data: null", events("data: null", delta(content="A"), END)),
    Quirk("a bare data:", events("data:", delta(content="A"), END)),
    Quirk("comments (OpenRouter)", events(": PROCESSING", delta(content="A"), END)),
    Quirk("U+2028 and U+0085 in the text",
          events(delta(content="A\u2028B\u0085C\u000bD"), END), "A\u2028B\u0085C\u000bD"),
    Quirk("lines that end in CR and LF", events(delta(content="A"), END, ends="\r\n\r\n")),
    Quirk("lines that end in CR", events(delta(content="A"), END, ends="\r\r")),
    Quirk("an event of several lines",
          events('data: {"choices":\ndata: [{"delta": {"content": "A"}}]}', END)),
    Quirk("the halves of an emoji apart",
          events('data: {"choices": [{"delta": {"content": "\\ud83d"}}]}',
                 'data: {"choices": [{"delta": {"content": "\\ude00"}}]}', END), "\U0001f600"),
    Quirk("half an emoji alone",
          events('data: {"choices": [{"delta": {"content": "A\\ud83d"}}]}', END), "A"),
    Quirk("another charset named", events(delta(content="é"), END,
          kind="text/event-stream; charset=iso-8859-1"), "é"),
    Quirk("another charset used", events(delta(content="é"), END, code="iso-8859-1",
          kind="text/event-stream; charset=iso-8859-1"), "é"),
    Quirk("an unknown charset named", events(delta(content="é"), END,
          kind="text/event-stream; charset=klingon"), "é"),
    Quirk("no kind named", events(delta(content="A"), END, kind="application/octet-stream")),
    Quirk("JSON in place of a stream", chat("A")),
    Quirk("no reason, and [DONE]", events(delta(content="A")), finish="end"),
    Quirk("null choices", events({"choices": None}, delta(content="A"), END)),
    Quirk("usage in texts", events(delta(content="A"), END,
          {"choices": [], "usage": {"prompt_tokens": "3", "completion_tokens": "5"}})),
    Quirk("a refusal", events(delta(refusal="I "), delta(refusal="can't"), END), "I can't",
          "refusal"),
    Quirk("stream_options is refused", refused("stream_options", events(delta(content="A"), END))),
]  # fmt: skip


def quirky(serve: Serve, answer: Reply | Callable[[dict[str, Any]], Reply], **more: Any) -> Server:
    """A chat server that finds out nothing odd in probes, and answers so."""

    def quirk(path: str, body: dict[str, Any]) -> Reply | None:
        if is_probe(body):
            return None
        return answer if isinstance(answer, Reply) else answer(body)

    return serve(completions=False, quirk=quirk, **{"top": 0, **more})


@pytest.mark.parametrize("quirk", WHOLE, ids=lambda quirk: quirk.name)
def test_an_answer(serve: Serve, quirk: Quirk) -> None:
    engine = made(quirky(serve, quirk.answer), retries=0, **dict(quirk.options))
    [(_, output)] = engine.generate([PROMPT], FEW)
    found = output.text, output.finish, output.reasoning
    assert found == (quirk.text, quirk.finish, quirk.reasoning)
    assert quirk.tokens is None or output.output_tokens == quirk.tokens


@pytest.mark.parametrize("quirk", STREAMED, ids=lambda quirk: quirk.name)
def test_a_stream(serve: Serve, quirk: Quirk) -> None:
    engine = made(quirky(serve, quirk.answer), retries=0, **dict(quirk.options))
    heard: list[str] = []
    [(_, output)] = engine.generate([PROMPT], FEW, lambda _, piece: heard.append(piece))
    found = output.text, output.finish, output.reasoning
    assert found == (quirk.text, quirk.finish, quirk.reasoning)
    if quirk.finish != "refusal":
        assert "".join(heard) == output.text


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Reply({"error": {"message": "Provider returned error", "code": 502}}),
         "502: Provider returned error"),
        (Reply({"error": "it broke"}), "200 with an error: it broke"),
        (chat("", "error"), "the answer ended with an error"),
        (chat(None, error={"message": "upstream", "code": 502}), "the answer says: upstream"),
        (Reply({"error": {"message": "The response was filtered", "code": "content_filter"}}, 400),
         "refuses the request (400: The response was filtered)"),
        (Reply({"error": {"message": "maximum context length is 4 tokens"}}, 400), "too long for"),
        (chat(7), "an answer is no text"),
        (Reply({"choices": [{"index": 0}, {"index": 0}]}), "2 answers came where 1 was requested"),
        (Reply("worker died", 500, "text/plain"), "500: no JSON: 'worker died'"),
    ],
)  # fmt: skip
def test_a_row_that_is_not_answered_leaves_the_others(
    serve: Serve, answer: Reply, message: str
) -> None:
    def sometimes(body: dict[str, Any]) -> Reply:
        return answer if body["messages"][0]["content"] == "row" else chat("A")

    engine = made(quirky(serve, sometimes), retries=1)
    same: LenientEngine = engine  # the protocol, checked by mypy
    found = dict(same.generate_rows([Prompt("other"), PROMPT], FEW))
    assert isinstance(found[0], Output)
    assert found[0].text == "A"
    assert isinstance(found[1], RowFailure)
    assert message in found[1].message
    assert "\n" not in found[1].message
    assert "answered rows are kept" not in found[1].message
    with pytest.raises(EngineError if "too long" not in message else Exception) as caught:
        list(engine.generate([PROMPT], FEW))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (Reply({"error": {"message": "no", "code": 401}}), "it requires a key: set api_key_env"),
        (Reply({"error": {"message": "slow down", "code": 429}}), "lower concurrency"),
        (Reply("<!doctype html>", kind="text/html"), "is it a proxy, a login page"),
        (refused("temperature", chat("A")),
         "refuses the request (400: Unsupported parameter: 'temperature' is not supported with "
         "this model.); leave it out with extra: {temperature: null} in its entry"),
        (Reply({"detail": [{"loc": ["body", "max_tokens"], "msg": "Extra inputs are not permitted"
                            }]}, 422), "leave it out with extra: {max_tokens: null}"),
    ],
)  # fmt: skip
def test_what_concerns_every_row_is_an_error(serve: Serve, answer: Any, message: str) -> None:
    engine = made(quirky(serve, answer), retries=1)
    with pytest.raises(EngineError) as caught:
        list(engine.generate_rows([PROMPT], FEW))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_system_turn_that_is_refused_names_the_repair(serve: Serve) -> None:
    answer = Reply({"error": {"message": "System role not supported"}}, 400)
    found = dict(made(quirky(serve, answer)).generate_rows([PROMPT], FEW))
    assert "under [[system]] of the template into its [[instruction]]" in found[0].message  # type: ignore[union-attr]


def gpt5(path: str, body: dict[str, Any]) -> Reply | None:
    """What a model of that kind refuses; only its own temperature is good."""
    told = {
        "max_tokens": "'max_tokens' is not supported with this model. Use 'max_completion_tokens'",
        "logprobs": "You are not allowed to request logprobs from this model",
        "stop": "Unsupported parameter: 'stop' is not supported with this model.",
    }
    for name, message in told.items():
        if name in body:
            return Reply({"error": {"message": message}}, 403 if name == "logprobs" else 400)
    if body.get("temperature", 1) != 1:
        message = "Unsupported value: 'temperature' does not support 0 with this model."
        return Reply({"error": {"message": message, "param": "temperature"}}, 400)
    return chat("A\nB")


@pytest.mark.parametrize("temperature", [1, None])
def test_extra_has_the_last_word_in_probes_too(serve: Serve, temperature: float | None) -> None:
    server = serve(completions=False, quirk=gpt5)
    engine = made(server, extra={"temperature": temperature})
    [(_, output)] = engine.generate([PROMPT], FEW)
    assert (output.text, output.finish) == ("A", "stop")
    assert engine.ranked_by(["A", "B"]) == "generate"
    refused_once, answered = server.asked
    assert "stop" in refused_once
    assert answered == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "row"}],
        "max_completion_tokens": 9,
    } | ({} if temperature is None else {"temperature": 1})
    with pytest.raises(EngineError, match=r"leave it out with extra: \{temperature: null\}"):
        made(serve(completions=False, quirk=gpt5)).identity()


def test_extra_stands_before_sampling_and_null_is_not_sent(serve: Serve) -> None:
    server = quirky(serve, chat("A"))
    engine = made(server, extra={"top_p": 0.5, "seed": None, "stop": None})
    list(engine.generate([PROMPT], Sampling(max_tokens=2, temperature=0.7, top_p=0.9)))
    (body,) = server.asked
    assert (body["temperature"], body["top_p"]) == (0.7, 0.5)
    assert not {"seed", "stop"} & body.keys()


def test_several_samples_where_n_is_refused(serve: Serve) -> None:
    server = quirky(serve, refused("n", chat("A")))
    found = list(made(server).generate([PROMPT], Sampling(max_tokens=2, temperature=1.0, n=3)))
    assert [output.sample for _, output in found] == [0, 1, 2]
    assert [body.get("seed") for body in server.asked] == [0, 0, 1, 2]


def test_thinking_tokens_are_the_servers_business(serve: Serve) -> None:
    with pytest.raises(EngineError, match="only the server can bound its reasoning; leave it out"):
        list(made(serve()).generate([PROMPT], Sampling(max_tokens=9, thinking_tokens=4)))


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"reasoning": "always"}, "unknown reasoning 'always'"),
        ({"reasoning": ["<a>", "<a>"]}, "both texts are '<a>'"),
        ({"max_failures": -1}, "max_failures of model 'tiny' is -1; accepted: 0 or more"),
    ],
)
def test_options_without_meaning(serve: Serve, option: dict[str, Any], message: str) -> None:
    with pytest.raises(Exception, match=message):
        made(serve(), **option).identity()


def test_reasoning_is_in_the_identity_only_where_it_is_set(serve: Serve) -> None:
    assert "reasoning" not in made(serve()).identity()
    named = made(serve(), reasoning=["<think>", "</think>"]).identity()
    assert named["reasoning"] == ["<think>", "</think>"]


# Ranking by the first token.


def top(*pairs: tuple[str, float], codes: dict[str, list[int]] | None = None) -> dict[str, Any]:
    """Log-probabilities in the newer form, with the bytes of tokens where they are told."""
    listed = [
        {"token": token, "logprob": math.log(share), "bytes": (codes or {}).get(token)}
        for token, share in pairs
    ]
    return {"content": [{**listed[0], "top_logprobs": listed}]}


def ranking(serve: Serve, numbers: Any, text: str = "A", probes: Any = None) -> OpenAIEngine:
    def quirk(path: str, body: dict[str, Any]) -> Reply | None:
        if not body.get("logprobs"):
            return None if is_probe(body) else chat(text)
        if is_probe(body):
            return None if probes is None else chat(text, logprobs=probes)
        told = numbers(body) if callable(numbers) else numbers
        return chat(text, logprobs=told)

    return made(serve(completions=False, quirk=quirk), retries=0)


def shares(engine: OpenAIEngine, *choices: str) -> list[float]:
    found = dict(engine.score([(PROMPT, choice) for choice in choices]))
    return [math.exp(found[place].logprob) for place in range(len(choices))]


def test_tokens_that_are_one_text_are_summed(serve: Serve) -> None:
    numbers = top(("A", 0.55), ("B", 0.40), (" A", 0.02), (" B", 0.005), ("C", 0.001))
    assert shares(ranking(serve, numbers), " A", " B") == pytest.approx([0.57, 0.405])


def test_a_token_with_a_space_does_not_replace_its_twin(serve: Serve) -> None:
    numbers = top(("A", 0.99), ("B", 1e-7), (" A", 1e-8), ("**", 1e-9))
    assert shares(ranking(serve, numbers), "A", "B") == pytest.approx([0.99, 1e-7], rel=1e-4)


def test_a_token_that_is_listed_twice_counts_once(serve: Serve) -> None:
    numbers = top(("A", 0.4), ("A", 0.4), ("B", 0.3))
    assert shares(ranking(serve, numbers), "A", "B") == pytest.approx([0.4, 0.3])


def test_a_token_that_is_not_listed_is_a_bound_and_not_zero(serve: Serve) -> None:
    assert shares(ranking(serve, top(("A", 0.9), ("C", 0.08))), "A", "B") == pytest.approx(
        [0.9, 0.02], rel=1e-4
    )


def test_parts_of_characters_are_told_apart_by_their_bytes(serve: Serve) -> None:
    up, down = "\U0001f44d", "\U0001f44e"  # they differ in the last of four bytes
    whole = top((up, 0.5), (down, 0.3), codes={up: [*up.encode()], down: [*down.encode()]})
    told = top(("A", 0.5), codes={"A": [65]})
    assert shares(ranking(serve, whole, probes=told), up, down) == pytest.approx([0.5, 0.3])
    listed = [
        {"token": "\ufffd", "logprob": math.log(0.5), "bytes": [0xE9, 0x87]},
        {"token": "\ufffd", "logprob": math.log(0.3), "bytes": [0xE6, 0xB0]},
    ]
    numbers = {"content": [{**listed[0], "top_logprobs": listed}]}
    assert shares(ranking(serve, numbers, probes=told), "金", "水") == pytest.approx([0.5, 0.3])


def test_parts_of_characters_without_bytes_are_ranked_another_way(serve: Serve) -> None:
    hidden = top(("\ufffd", 0.5), ("\ufffd", 0.3))
    engine = ranking(serve, hidden, probes=hidden)
    assert engine.ranked_by(["\U0001f44d", "\U0001f44e"]) == "generate"
    assert engine.ranked_by(["A", "B"]) == "first_token"
    engine = ranking(serve, hidden, probes=top(("A", 0.5), codes={"A": [65]}))
    found = dict(engine.score_rows([(PROMPT, "\U0001f44d"), (PROMPT, "\U0001f44e")]))
    assert [one.message.partition(",")[0] for one in found.values()] == [  # type: ignore[union-attr]
        "a likely first token is a part of a character"
    ] * 2
    with pytest.raises(EngineError, match="set ranking: generate in the model's entry"):
        list(engine.score([(PROMPT, "\U0001f44d"), (PROMPT, "\U0001f44e")]))


@pytest.mark.parametrize("none", [{"content": None}, {"content": []}, {}, {"top_logprobs": None}])
def test_a_row_without_a_first_token_is_left_out(serve: Serve, none: dict[str, Any]) -> None:
    def numbers(body: dict[str, Any]) -> dict[str, Any]:
        return none if body["messages"][0]["content"] == "empty" else top(("A", 0.6), ("B", 0.3))

    engine = ranking(serve, numbers, "")
    items = [(Prompt(text), choice) for text in ("empty", "row") for choice in ("A", "B")]
    found = dict(engine.score_rows(items))
    assert [isinstance(found[place], RowFailure) for place in range(4)] == [
        True,
        True,
        False,
        False,
    ]
    assert "reported no first token" in found[0].message  # type: ignore[union-attr]
    with pytest.raises(EngineError, match="reported no first token .*; set ranking: generate"):
        list(engine.score(items))


def test_an_answer_without_use_is_paid_for(serve: Serve) -> None:
    engine = ranking(serve, {"content": None})
    paid = made(  # the same server, with a price
        Server(port=int(engine.source.split(":")[2].split("/")[0])),
        price={"input": 1_000_000, "output": 0},
    )
    assert paid.ranked_by(["A", "B"]) == "first_token"
    before = paid.spent  # for finding out what the server is
    list(paid.score_rows([(PROMPT, "A"), (PROMPT, "B")]))
    assert paid.spent - before == USAGE["prompt_tokens"]
    assert paid.ledger.traffic.requests == 1


@pytest.mark.parametrize("newer", [True, False])
def test_either_form_on_completions(serve: Serve, newer: bool) -> None:
    numbers = top((" A", 0.6), (" B", 0.3)) if newer else {
        "tokens": [" A"], "token_logprobs": [-0.5],
        "top_logprobs": [{" A": math.log(0.6), " B": math.log(0.3)}],
    }  # fmt: skip

    def quirk(path: str, body: dict[str, Any]) -> Reply | None:
        choice = {"text": " A", "logprobs": numbers if body.get("logprobs") else None}
        return Reply({"choices": [{**choice, "finish_reason": "length"}], "usage": USAGE})

    engine = made(serve(quirk=quirk))
    assert engine.identity()["api"] == "completions"
    assert engine.ranked_by([" A", " B"]) == "first_token"
    assert shares(engine, " A", " B") == pytest.approx([0.6, 0.3])


def test_an_echo_that_fails_leaves_the_other_prompts(serve: Serve) -> None:
    def quirk(path: str, body: dict[str, Any]) -> Reply | None:
        if body.get("prompt", "").startswith("bad"):
            return Reply({"error": {"message": "cannot"}}, 400)
        return None

    items = [(Prompt(text), choice) for text in ("bad", "good") for choice in (" a", " b")]
    found = dict(made(serve(quirk=quirk)).score_rows(items))
    assert [isinstance(found[place], RowFailure) for place in range(4)] == [
        True,
        True,
        False,
        False,
    ]
