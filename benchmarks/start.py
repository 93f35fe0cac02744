"""How soon does a model that is on the disk answer, against plain transformers?"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

from benchmarks.results import Options, Result, command
from benchmarks.tools import folder_of
from icl.engines.hf.engine import HFEngine

__all__ = ["run"]

PROMPT = "The capital of France is"
ENVIRONMENT = {**os.environ, "HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
_CLOCK = """
import json, sys, time
began = time.perf_counter()
source, folder, dtype = sys.argv[1:4]
"""
_TOLD = """
print(json.dumps({"seconds": time.perf_counter() - began, "text": text}))
"""
_OURS = f"""
from icl.engines.hf.engine import HFEngine
from icl.core.types import Prompt, Sampling
engine = HFEngine(source)
((_, output),) = engine.generate([Prompt({PROMPT!r})], Sampling(max_tokens=1))
text = output.text
"""
_THEIRS = f"""
from transformers import AutoModelForCausalLM, AutoTokenizer
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype)
ids = tokenizer({PROMPT!r}, return_tensors="pt")
made = model.generate(**ids, max_new_tokens=1, do_sample=False)
text = tokenizer.decode(made[0, ids["input_ids"].shape[1]:])
"""
_FLOOR = """
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING
text = MODEL_FOR_CAUSAL_LM_MAPPING[type(AutoConfig.from_pretrained(folder))].__name__
"""


def run(options: Options) -> list[Result]:
    """Seconds from an empty process to the first token, each tool's best of several, in turns.

    What is named ``imports`` is the floor of both: torch, transformers and the model's class.
    """
    times = 1 if options.quick else 5
    with folder_of(options.model) as source:
        engine = HFEngine(source).open()
        engine.weights.fetch()
        given = (source, str(engine.weights.folder), engine.formats.compute)
        made: dict[str, list[dict[str, Any]]] = {"ours": [], "theirs": [], "floor": []}
        for _ in range(times + 1):  # the first turn fills the disk's cache and is left out
            for name, code in (("ours", _OURS), ("theirs", _THEIRS), ("floor", _FLOOR)):
                made[name].append(_fresh(code, given))
    best = {name: min(one["seconds"] for one in ones[1:]) for name, ones in made.items()}
    same = made["ours"][-1]["text"].strip() == made["theirs"][-1]["text"].strip()
    shared: dict[str, Any] = {
        "queries": 1,
        "requests": 1,
        "theirs_queries": 1,
        "theirs_batch_size": 1,
        "ours_cpu_s": 0.0,
        "theirs_cpu_s": 0.0,
        "max_abs_diff": None,
        "forwarded_tokens": 0,
        "unique_tokens": 0,
        "dtype": engine.formats.compute,
        "device": str(engine.torch_device),
        "other": "transformers",
    }
    return [
        Result(
            "first token",
            ours_s=best["ours"],
            theirs_s=best["theirs"],
            argmax_equal=same,
            argmax_of=1,
            **shared,
        ),
        Result(
            "imports",
            ours_s=best["floor"],
            theirs_s=best["floor"],
            argmax_equal=0,
            argmax_of=0,
            **shared,
        ),
    ]


def _fresh(code: str, given: tuple[str, ...]) -> dict[str, Any]:
    """Run code in a new process and return the measurements it prints."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", _CLOCK + code + _TOLD, *given],
        capture_output=True,
        text=True,
        check=True,
        env=ENVIRONMENT,
    )
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


if __name__ == "__main__":
    command(run)
