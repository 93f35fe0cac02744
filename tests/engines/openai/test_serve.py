"""Against `transformers serve`, a server that is not ours; it echoes no prompts."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from icl import run
from icl.core.errors import IclError
from icl.core.types import Prompt, Sampling
from icl.engines.contract import check_engine
from icl.engines.hf.engine import HFEngine
from icl.engines.openai import OpenAIEngine
from icl.reports.tables import render
from tests.table_experiment import write

CHAT = (
    "{% for m in messages %}<{{ m.role }}> {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant> {% endif %}"
)
GIVE_UP_S = 120


@pytest.fixture(scope="module")
def chat_model(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny model with a chat template."""
    import shutil

    folder = tmp_path_factory.mktemp("chat") / "model"
    shutil.copytree(tiny_model, folder)
    (folder / "chat_template.jinja").write_text(CHAT)
    return folder


@pytest.fixture(scope="module")
def served(chat_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of `transformers serve` with the tiny model."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("serve") / "log.txt"
    command = [
        sys.executable,
        "-c",
        "from transformers.cli.transformers import main; main()",
        "serve",
        str(chat_model),
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
        "--device",
        "cpu",
    ]
    with log.open("w") as out:
        process = subprocess.Popen(
            command, stdout=out, stderr=out, env=os.environ | {"HF_HUB_OFFLINE": "1"}
        )
    try:
        began = time.monotonic()
        while not answers(f"http://127.0.0.1:{port}/health"):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() - began < GIVE_UP_S, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def engine(served: str, model: Path, **options: Any) -> OpenAIEngine:
    return OpenAIEngine(served, str(model), **({"window": 256, "concurrency": 2} | options))


@pytest.mark.parametrize("api", ["completions", "chat"])
def test_it_keeps_the_contract(served: str, chat_model: Path, api: str) -> None:
    check_engine(engine(served, chat_model, api=api), ranks=False, max_tokens=4)


def test_generation_is_that_of_the_model_in_process(served: str, chat_model: Path) -> None:
    local = HFEngine(str(chat_model), device="cpu")
    remote = engine(served, chat_model, tokenizer=str(chat_model))
    prompts = [Prompt("Utterance: wake me up\nIntent:", stop=("\n",)), Prompt("金曜日 set")]
    wanted = dict(local.generate(prompts, Sampling(max_tokens=12)))
    found = dict(remote.generate(prompts, Sampling(max_tokens=12)))
    for index, output in wanted.items():
        assert found[index].text == output.text
        assert found[index].prompt_tokens == output.prompt_tokens
    assert [t.id for t in remote.tokens(prompts[0])] == [t.id for t in local.tokens(prompts[0])]


def test_a_chat_is_rendered_as_the_server_does(served: str, chat_model: Path) -> None:
    remote = engine(served, chat_model, api="chat", tokenizer=str(chat_model))
    prompt = Prompt("now?", shots=(("Hi", " there"),), system="Be short.")
    sent = "<system> Be short.\n<user> Hi\n<assistant> there\n<user> now?\n<assistant> "
    assert remote.sent(prompt) == sent
    ((_, output),) = remote.generate([prompt], Sampling(max_tokens=4))
    assert output.prompt_tokens == len(remote.tokens(prompt))
    flat = HFEngine(str(chat_model), device="cpu", bos="never")
    ((_, wanted),) = flat.generate([Prompt(sent)], Sampling(max_tokens=4))
    assert output.text == wanted.text


def test_an_experiment_runs_and_resumes(served: str, chat_model: Path, tmp_path: Path) -> None:
    entry = {"engine": "openai", "source": served, "model": str(chat_model), "window": 256}
    file = write(tmp_path, models={"s": entry}, grid={"shots": [1]})
    done = run(file, tmp_path / "runs")
    assert done.computed == 20
    assert {c.entry.ranking for c in done.conditions} == {"generate", None}
    assert "choices ranked by the server's text, parsed" in render(done)
    assert run(file, tmp_path / "runs").computed == 0
    rows = [
        json.loads(line)
        for path in tmp_path.rglob("records.jsonl")
        for line in path.read_text("utf-8").splitlines()
    ]
    assert len(rows) == 20
    assert all(row["outputs"][0]["output_tokens"] > 0 for row in rows)


def test_what_it_does_not_serve_is_told(served: str, chat_model: Path) -> None:
    with pytest.raises(IclError, match="refuses the request .400: Server is pinned to"):
        engine(served, chat_model.parent).identity()
    with pytest.raises(IclError, match="does not report the window of .*; set window: N"):
        engine(served, chat_model, window=None).identity()
    with pytest.raises(IclError, match=r"refuses the request \(422: Unexpected fields"):
        list(engine(served, chat_model, extra={"typo": 1}).generate([Prompt("a")], Sampling()))
