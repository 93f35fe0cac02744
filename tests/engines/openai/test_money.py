"""Money, keys and kills: what is paid for is kept, what is secret is nowhere."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from icl import load_experiment, run
from icl.core.errors import CostError, EngineError
from icl.core.types import Prompt, Sampling
from icl.engines.ledger import Ledger, ServerAnswer, sum_spent, sum_traffic
from icl.running.estimate import estimate
from tests.cli.test_cli import call
from tests.engines.openai.test_faults import answers, small
from tests.engines.test_contract import made
from tests.servers import Server
from tests.table_experiment import write

Serve = Callable[..., Server]
PRICE = {"input": 1000.0, "output": 2000.0}
SECRET = "sk-do-not-show-me-4711"


def bill(server: Server) -> float:
    """What the server would charge for everything it was asked but the probes."""
    total = 0.0
    for body in server.answered:
        made = server.answer("/v1/completions", body)["usage"]
        total += (1000 * made["prompt_tokens"] + 2000 * made["completion_tokens"]) / 1e6
    return total


def test_what_is_spent_is_what_the_server_charges(serve: Serve, tmp_path: Path) -> None:
    server = serve(counts=True)
    done = run(small(tmp_path, server, price=PRICE), tmp_path / "runs")
    costs = [sum_traffic(condition.store.folder).cost for condition in done.conditions]
    assert sum(cost or 0 for cost in costs) == pytest.approx(bill(server))


def test_max_cost_stops_keeps_and_goes_on_when_raised(serve: Serve, tmp_path: Path) -> None:
    whole = serve(counts=True)
    run(small(tmp_path, whole, price=PRICE), tmp_path / "whole")
    server = serve(counts=True)
    most = bill(whole) / 2
    file = small(tmp_path, server, price=PRICE, max_cost=most)
    with pytest.raises(CostError, match=r"max_cost .* of 'tiny' is reached .*raise max_cost and"):
        run(file, tmp_path / "runs")
    assert 0.5 * most < bill(server) <= most
    first = len(server.answered)
    with pytest.raises(CostError):
        run(file, tmp_path / "runs")
    assert bill(server) <= most, "the second run counts what the first one spent"
    assert len(server.answered) - first <= 1
    run(small(tmp_path, server, price=PRICE, max_cost=3 * most), tmp_path / "runs")
    assert answers(tmp_path / "runs") == answers(tmp_path / "whole")
    assert bill(server) == pytest.approx(bill(whole)), "nothing is paid twice"


def test_max_cost_at_the_command_line(
    serve: Serve,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = small(tmp_path, serve(), price=PRICE, max_cost=0.1)
    code, _, err = call(capsys, monkeypatch, "run", file, "--out", tmp_path / "r")
    assert code == 2
    assert "icl: max_cost 0.1 of 'tiny' is reached" in err
    assert "Traceback" not in err


def test_a_dry_run_tells_tokens_and_money_and_spends_none(
    serve: Serve,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    server = serve(counts=True)
    file = small(tmp_path, server, price=PRICE)
    found = list(estimate(load_experiment(file), tmp_path / "r"))
    assert not server.asked
    run(file, tmp_path / "runs")
    charged = [
        sum_traffic(path).cost or 0 for path in sorted((tmp_path / "runs/conditions").iterdir())
    ]
    assert found[0].cost == pytest.approx(charged[0])
    assert found[1].cost is not None
    assert charged[1] <= found[1].cost + 1e-9, "at most: a text may end early"
    code, out, _ = call(capsys, monkeypatch, "run", file, "--dry-run", "--out", tmp_path / "x")
    assert code == 0
    assert "costs" in out
    assert "in the unit of `price`" in out
    assert max(map(len, out.splitlines())) <= 80


def test_show_prompt_says_who_counted(
    serve: Serve,
    tmp_path: Path,
    tiny_model: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for server, options, told in (
        (serve(), {}, "tokens estimated, since the server counts none: name a `tokenizer:`"),
        (serve(counts=True), {}, "tokens counted by the server"),
        (serve(), {"tokenizer": str(tiny_model)}, "tokens counted by the tokenizer named in"),
    ):
        file = small(tmp_path, server, **options)
        code, out, err = call(capsys, monkeypatch, "show-prompt", file)
        assert code == 0
        assert told in err
        assert out.endswith("Intent:\n")


def test_keys_are_nowhere(
    serve: Serve,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    monkeypatch.setenv("MY_KEY", SECRET)
    server = serve(key=SECRET)
    file = small(tmp_path, server, api_key_env="MY_KEY")
    code, out, err = call(capsys, monkeypatch, "run", file, "--out", tmp_path / "runs")
    assert (code, "20 records computed" in out) == (0, True), err
    server.fault = lambda number, body: "500"
    other = small(tmp_path, server, api_key_env="MY_KEY", window=200, retries=0)
    _, out2, err2 = call(capsys, monkeypatch, "run", other, "--out", tmp_path / "runs")
    server.key = "another"  # it repeats the key that it refuses, as hosted ones do
    _, out3, err3 = call(capsys, monkeypatch, "run", other, "--out", tmp_path / "runs")
    assert "the key in MY_KEY is refused" in err3
    assert "Bearer ***" in err3
    written = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 10
    assert not any(SECRET.encode() in data for data in written)
    engine = made(server, api_key_env="MY_KEY")
    shown = out + err + out2 + err2 + out3 + err3 + caplog.text + repr(engine) + repr(engine.link)
    assert SECRET not in shown
    monkeypatch.delenv("MY_KEY")
    code, _, err = call(capsys, monkeypatch, "run", file, "--out", tmp_path / "runs")
    assert (code, "the key is missing: export MY_KEY=" in err) == (2, True)


def test_kill_9_loses_only_the_requests_in_flight(serve: Serve, tmp_path: Path) -> None:
    run(small(tmp_path, serve()), tmp_path / "whole")
    server = serve(delay_s=0.02)
    file = small(tmp_path, server, concurrency=3)
    process = subprocess.Popen(
        [sys.executable, "-m", "icl.cli", "run", str(file), "--out", str(tmp_path / "runs")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    give_up = time.monotonic() + 60
    while len(server.answered) < 17 and process.poll() is None:
        assert time.monotonic() < give_up
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    time.sleep(0.1)
    before = len(server.asked)
    assert before < 50
    run(file, tmp_path / "runs")
    assert answers(tmp_path / "runs") == answers(tmp_path / "whole")
    counted = Counter(json.dumps(body, sort_keys=True) for body in server.asked)
    assert sum(n - 1 for n in counted.values()) <= 3, "at most those in flight are asked again"
    assert not list(tmp_path.rglob("arriving.jsonl"))


def test_ctrl_c_keeps_what_arrived(serve: Serve, tmp_path: Path) -> None:
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # shells may ignore it
    server = serve()
    interrupted = False

    def interrupt(number: int, body: dict[str, Any]) -> None:
        nonlocal interrupted
        if number == 15 and not interrupted:
            interrupted = True
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.2)

    server.fault = interrupt
    file = small(tmp_path, server, concurrency=2)
    try:
        with pytest.raises(KeyboardInterrupt):
            run(file, tmp_path / "runs")
    finally:
        signal.signal(signal.SIGINT, before)
    run(file, tmp_path / "runs")
    counted = Counter(json.dumps(body, sort_keys=True) for body in server.asked)
    assert sum(n - 1 for n in counted.values()) <= 2


def test_the_ledger_keeps_torn_lines_apart(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.add(ServerAnswer("a", {"text": "é"}, "v1", 3, 2, 0.5, 40, 1))
    with (tmp_path / "arriving.jsonl").open("ab") as out:
        out.write(b'{"key": "torn", "val')
    again = Ledger(tmp_path)
    assert again.find("torn") is None
    again.add(ServerAnswer("b", 1, cost=0.25))
    third = Ledger(tmp_path)
    assert [third.find(key) is not None for key in "ab"] == [True, True]
    assert (sum_spent(tmp_path), third.traffic.retries) == (0.75, 1)
    third.settle(0)
    assert third.find("a") is None
    assert not (tmp_path / "arriving.jsonl").exists()
    sums = sum_traffic(tmp_path)
    assert (sums.requests, sums.cost, sums.models) == (2, 0.75, {"v1": 1})
    assert (sums.latency_ms(0.5), sums.latency_ms(1.0)) == (0, 40)


def test_records_do_not_depend_on_traffic(serve: Serve, tmp_path: Path) -> None:
    first, second = serve(), serve(fault=lambda n, body: "500" if n % 5 == 0 else None)
    run(small(tmp_path, first, price=PRICE), tmp_path / "a")
    second.version = "other"
    run(small(tmp_path, second, max_cost=50, price=PRICE), tmp_path / "b")
    assert answers(tmp_path / "a") == answers(tmp_path / "b")


def test_identity_is_blind_to_traffic_and_sees_the_rest(serve: Serve) -> None:
    server = serve()
    base = made(server).identity()
    assert json.loads(json.dumps(base)) == base
    inert = {
        "concurrency": 2,
        "timeout_s": 9,
        "retries": 1,
        "price": PRICE,
        "max_cost": 9,
        "requests_per_minute": 6000,
    }
    assert made(server, **inert).identity() == base
    for change in ({"window": 99}, {"extra": {"top_a": 1}}, {"api": "chat"}):
        assert made(server, **change).identity() != base, change
    assert made(serve()).identity() != base, "another server"


def test_several_samples_where_the_server_knows_n_or_not(serve: Serve) -> None:
    sampling = Sampling(max_tokens=2, temperature=0.7, n=3, seed=5, top_p=0.9, top_k=4, min_p=0.1)
    for knows_n, requests in ((True, 1), (False, 3)):
        server = serve(knows_n=knows_n)
        found = [output for _, output in made(server).generate([Prompt("a")], sampling)]
        assert [output.sample for output in found] == [0, 1, 2]
        assert len({output.text for output in found}) == 3
        assert sum(output.output_tokens for output in found) == 6
        assert len(server.asked) == requests
        sent = server.asked[0]
        assert [sent[k] for k in ("temperature", "top_p", "top_k", "min_p", "seed")] == [
            0.7,
            0.9,
            4,
            0.1,
            5,
        ]
    greedy = serve()
    list(made(greedy).generate([Prompt("a", stop=tuple("abcdef"))], Sampling(max_tokens=1)))
    assert set(greedy.asked[0]) == {"model", "prompt", "max_tokens", "temperature", "stop"}
    assert greedy.asked[0]["stop"] == list("abcd")


def test_errors_in_the_middle_of_a_batch_keep_what_is_in_flight(
    serve: Serve, tmp_path: Path
) -> None:
    server = serve(fault=lambda number, body: "refused" if number == 4 else None, delay_s=0.02)
    with pytest.raises(EngineError):
        run(small(tmp_path, server, concurrency=4), tmp_path / "runs")
    (arriving,) = tmp_path.rglob("arriving.jsonl")
    assert len(arriving.read_text().splitlines()) == len(server.answered)


def test_a_server_in_the_experiment_file(serve: Serve, tmp_path: Path) -> None:
    entry = serve().entry(extra={"repetition_penalty": 1.1})
    file = write(tmp_path, models={"s": entry}, grid={"shots": [0], "models.s.api": ["chat"]})
    done = run(file, tmp_path / "runs")
    identity = done.conditions[0].store.condition().identity.engine
    assert identity["api"] == "chat"
    assert identity["extra"] == {"repetition_penalty": 1.1}
