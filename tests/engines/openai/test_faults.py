"""Whatever goes wrong on the way: nothing lost, nothing doubled, and one line that says why."""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from icl import run
from icl.core.errors import ConfigError, EngineError, IclError, WindowError
from icl.core.types import Prompt, Sampling
from icl.engines.ledger import sum_traffic
from icl.engines.openai import OpenAIEngine
from icl.engines.openai.errors import ServerAddress, TemporaryError, read_message
from tests.engines.test_contract import made
from tests.servers import MENDING, Server
from tests.table_experiment import write

Serve = Callable[..., Server]
PROMPTS = [Prompt(f"prompt {i}", stop=("\n",)) for i in range(12)]
FEW = Sampling(max_tokens=3)


def small(folder: Path, server: Server, **options: Any) -> Path:
    """The small experiment on this server, one condition of each task."""
    return write(folder, models={"s": server.entry(**options)}, grid={"shots": [0]})


def answers(folder: Path) -> dict[str, Any]:
    """Every record's answer, whatever batch it came in."""
    found: dict[str, Any] = {}
    for path in sorted(folder.rglob("records.jsonl")):
        for line in path.read_text("utf-8").splitlines():
            row = json.loads(line)
            key = f"{'rank' if 'logprobs' in row else 'text'}/{row['id']}"
            assert key not in found, "doubled"
            found[key] = row.get("logprobs") or [o["text"] for o in row["outputs"]]
    return found


def texts(engine: OpenAIEngine) -> dict[int, str]:
    found = list(engine.generate(PROMPTS, FEW))
    assert [n for n in Counter(index for index, _ in found).values()] == [1] * len(PROMPTS)
    return {index: output.text for index, output in found}


@pytest.mark.parametrize("kind", MENDING)
def test_a_fault_that_mends_leaves_no_trace_but_the_count(serve: Serve, kind: str) -> None:
    wanted = texts(made(serve()))

    def every_third(number: int, body: dict[str, Any]) -> str | None:
        return kind if number % 3 == 0 else None

    server = serve(fault=every_third)
    engine = made(server, timeout_s=0.5 if kind == "drip" else 30)
    assert texts(engine) == wanted
    sums = engine.ledger.traffic
    assert sums.requests == len(PROMPTS)
    assert sums.retries == len(server.asked) - len(PROMPTS) > 0


@pytest.mark.parametrize("kind", ["reset", "500", "cut", "no choice"])
def test_ranking_survives_faults(serve: Serve, kind: str, tmp_path: Path) -> None:
    run(small(tmp_path, serve()), tmp_path / "whole")
    server = serve(fault=lambda number, body: kind if number % 4 == 1 else None)
    done = run(small(tmp_path, server), tmp_path / "faulty")
    assert answers(tmp_path / "faulty") == answers(tmp_path / "whole")
    assert len(answers(tmp_path / "whole")) == 20
    assert done.computed == 20


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("429", r"/v1: 429: slow down \(3 tries\); lower concurrency, or set requests_per_minute"),
        ("429 late", "asks to wait 90000 s .*finished answers are saved"),
        ("quota", "refuses the request .429: You exceeded your quota"),
        ("500", r"500: no JSON: 'worker died' \(3 tries\); finished answers are saved"),
        ("502 page", r"502: a web page: 'Bad Gateway' \(3 tries\)"),
        ("page", r"answered with a web page: 'Log in' \(3 tries\); is it a proxy, a login page"),
        ("reset", r"the connection broke \(ReadError\) \(3 tries\)"),
        ("drip", r"no whole answer within timeout_s 0.4 \(3 tries\); raise timeout_s"),
        ("no json", r"answered with no JSON: .* \(3 tries\)"),
        ("two choices", r"2 answers came where 1 was requested \(3 tries\)"),
        ("refused", "it requires a key: set api_key_env to the environment variable that holds it"),
    ],
)
def test_a_fault_that_stays_is_one_line(serve: Serve, kind: str, message: str) -> None:
    server = serve(fault=lambda number, body: kind if number >= 5 else None)
    engine = made(server, retries=2, timeout_s=0.4 if kind == "drip" else 30, concurrency=2)
    found: list[int] = []
    with pytest.raises(EngineError, match=message) as caught:
        for index, _ in engine.generate(PROMPTS, FEW):
            found.append(index)
    assert "\n" not in str(caught.value)
    assert len(found) == len(set(found)) == len(server.answered) == 5


@pytest.mark.parametrize("kind", ["429", "refused"])
def test_a_run_that_a_fault_ended_goes_on_where_it_was(
    serve: Serve, tmp_path: Path, kind: str
) -> None:
    wanted = run(small(tmp_path, serve()), tmp_path / "whole").computed
    server = serve(fault=lambda number, body: kind if number >= 9 else None)
    file = small(tmp_path, server, retries=2, concurrency=2)
    with pytest.raises(EngineError, match="finished answers are saved|it requires a key"):
        run(file, tmp_path / "faulty")
    assert len(server.answered) == 9
    server.fault = lambda number, body: None
    done = run(file, tmp_path / "faulty")
    assert answers(tmp_path / "faulty") == answers(tmp_path / "whole")
    assert done.computed == wanted
    paid = Counter(json.dumps(body, sort_keys=True) for body in server.answered)
    assert max(paid.values()) == 1, "a request that was answered is never asked again"


def test_too_long_for_the_server(serve: Serve) -> None:
    engine = made(serve(fault=lambda number, body: "too long"))
    with pytest.raises(WindowError, match=r"too long for 'tiny' at .*maximum context.*set window"):
        texts(engine)


def test_a_stream_that_is_cut_is_not_doubled(serve: Serve) -> None:
    heard: list[str] = []
    engine = made(serve(fault=lambda number, body: "cut stream"))
    with pytest.raises(EngineError, match="the stream ended before the answer did"):
        list(engine.generate(PROMPTS[:1], FEW, lambda index, piece: heard.append(piece)))
    assert "".join(heard) == "half"


def test_cancelling_asks_no_more(serve: Serve) -> None:
    server = serve(delay_s=0.3)
    engine = made(server, concurrency=2)
    engine.tokens(PROMPTS[0])
    stop = threading.Event()
    threading.Timer(0.45, stop.set).start()
    found = dict(engine.generate(PROMPTS, FEW, None, stop))
    assert sorted(found) == list(range(len(PROMPTS)))
    cancelled = [output for output in found.values() if output.finish == "cancelled"]
    assert 0 < len(cancelled) < len(PROMPTS)
    assert len(server.asked) < len(PROMPTS)
    assert all(output.output_tokens == 0 for output in cancelled)


def test_closing_the_iterator_cancels_what_is_in_flight(serve: Serve) -> None:
    server = serve(delay_s=0.05)
    engine = made(server, concurrency=2)
    running = engine.generate(PROMPTS, FEW)
    next(running)
    running.close()  # type: ignore[attr-defined]
    asked = len(server.asked)
    assert asked <= 5
    assert not [t for t in threading.enumerate() if t.name == "icl-requests"]


def test_no_more_requests_than_allowed_are_on_their_way(serve: Serve) -> None:
    lock, now, most = threading.Lock(), [0], [0]

    def busy(number: int, body: dict[str, Any]) -> None:
        with lock:
            now[0] += 1
            most[0] = max(most[0], now[0])
        threading.Event().wait(0.02)
        with lock:
            now[0] -= 1

    texts(made(serve(fault=busy), concurrency=3))
    assert 1 < most[0] <= 3


def test_requests_keep_their_distance(serve: Serve) -> None:
    server = serve()
    texts(made(server, requests_per_minute=1200, concurrency=8))
    ordered = sorted(server.times)
    assert ordered[-1] - ordered[0] >= 0.05 * (len(PROMPTS) - 1) * 0.9


def test_retry_after_holds_everyone_back(serve: Serve) -> None:
    server = serve(fault=lambda number, body: "429 after" if number == 0 else None)
    texts(made(server, concurrency=1, backoff_s=100))
    assert server.times[1] - server.times[0] >= 0.01


def test_latencies_versions_and_retries_are_told(
    serve: Serve, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from icl.reports.tables import render

    server = serve()

    def change(number: int, body: dict[str, Any]) -> str | None:
        server.version = "tiny-v1" if number < 30 else "tiny-v2"
        return "500" if number == 2 else None

    server.fault = change
    done = run(small(tmp_path, server, concurrency=1), tmp_path / "runs")
    sums = [sum_traffic(condition.store.folder) for condition in done.conditions]
    assert [s.requests for s in sums] == [40, 10]
    assert sums[0].retries == 1
    assert sums[0].models == {"tiny-v1": 29, "tiny-v2": 11}
    assert 0 <= sums[0].latency_ms(0.5) <= sums[0].latency_ms(0.95)
    text = render(done)
    assert "40 requests, 1 tried again, half within" in text
    assert "SEVERAL VERSIONS of the model answered: tiny-v1, tiny-v2" in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_key_at_the_end_of_what_is_shown_is_hidden_before_it_is_cut() -> None:
    key = "sk-secret-0123456789"
    asked = ServerAddress("http://host/v1", "tiny", "KEY", key)
    for response in (
        httpx.Response(500, text="x" * 110 + key),
        httpx.Response(500, json={"error": "y" * 290 + key}),
    ):
        assert "sk-" not in read_message(asked, response)
    assert "sk-" not in str(asked.gave_up(TemporaryError("z" * 390 + key), 1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "http://127.0.0.1:9/v1"}, "cannot be reached .*; start the server, or correct"),
        ({"source": "http://127.0.0.1:9"}, "cannot be reached"),
        ({"source": "here"}, "source 'here' is no URL of a server; accepted: http"),
        ({"source": "http://me:secret-k@host/v1"}, r"holds a key or a query \(http://host"),
        ({"source": "http://host/v1?key=secret-k"}, r"holds a key or a query \(http://host"),
        ({"model": "tinny"}, "does not serve 'tinny'. Did you mean 'tiny'"),
        ({"api_key_env": "NO_SUCH_KEY"}, "the key is missing: export NO_SUCH_KEY="),
        ({"api_key_env": "sk-secret-k"}, "api_key_env is no name of an environment variable"),
        ({"api": "text"}, "unknown api 'text' of model 'tiny'. There are: auto, chat"),
        ({"ranking": "ecco"}, "unknown ranking 'ecco' .*Did you mean 'echo'"),
        ({"concurrency": 0}, "concurrency of model 'tiny' is 0; accepted: 1 or more"),
        ({"timeout_s": -1}, "timeout_s of model 'tiny' is -1; accepted: a number above 0"),
        ({"window": -4}, "window of model 'tiny' is -4; accepted: 1 or more"),
        ({"max_cost": 1}, "max_cost of model 'tiny' needs a price"),
        ({"price": {"input": 1}}, "price of model 'tiny' is .*accepted: {input: 0.15"),
        ({"tokenizer": "/nowhere"}, "tokenizer '/nowhere' cannot be read"),
    ],
)
def test_bad_input_is_one_line(serve: Serve, options: dict[str, Any], message: str) -> None:
    server = serve()
    engine = made(server, **({"backoff_s": 50} | options))
    with pytest.raises(IclError, match=message) as caught:
        engine.identity()
        engine.tokens(Prompt("a"))
    assert "\n" not in str(caught.value)
    assert "secret-k" not in str(caught.value)


def test_what_the_entry_needs_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, models={"s": {"engine": "openai", "source": "http://127.0.0.1:9/v1"}})
    with pytest.raises(ConfigError, match="models.s: the engine 'openai' needs 'model'"):
        run(file, tmp_path / "runs")


def test_wrong_paths_and_pages(serve: Serve) -> None:
    server = serve()
    server_root = server.url.removesuffix("/v1")
    with pytest.raises(EngineError, match=r"does not serve 'tiny' at .*; correct `model`, or"):
        made(server, source=server_root).identity()
    page = serve()
    page.answer = lambda path, body: []  # type: ignore[method-assign]
    with pytest.raises(EngineError, match="JSON that is no completion; is it a proxy, a login"):
        made(page).identity()


def test_half_a_surrogate_pair_cannot_be_sent(serve: Serve) -> None:
    with pytest.raises(EngineError, match="half a surrogate pair, which UTF-8 cannot carry"):
        list(made(serve()).generate([Prompt("a\ud800")], FEW))


def test_without_httpx_the_extra_is_named(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    server = serve()
    for name in [name for name in sys.modules if name.startswith("icl.engines.openai.")]:
        if not name.endswith("engine"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "httpx", None)
    with pytest.raises(IclError, match=r"needs httpx: pip install 'icl-workbench\[openai\]'"):
        made(server).identity()
