"""An engine that is the righter the better its shots, and a small search over them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from icl.core.registry import register
from icl.core.types import Prompt
from icl.engines.table import TableEngine
from tests.table_experiment import TEMPLATE, write

RIGHT = {"set": " set alarm", "music": " play music", "query": " weather"}


@register("engine", "planted")
@dataclass
class Planted(TableEngine):
    """Adds to a hash's log-probability of the right answer the sum of the shots' row numbers."""

    weight: float = 0.2

    def find_logprob(self, prompt: Prompt, choice: str, n_tokens: int) -> float:
        *shots, query = re.findall(r"utterance (\d+) about (\w+)", prompt.text)
        worth = sum(int(number) for number, _ in shots) - 5 * prompt.text.startswith("Guess")
        noise = super().find_logprob(prompt, choice, n_tokens) / 100
        return noise + (self.weight * worth if choice == RIGHT[query[1]] else 0.0) - 50


def worth(ids: Iterable[str]) -> int:
    """What a set of shots is worth to the engine."""
    return sum(int(name.removeprefix("r")) for name in ids)


def planted(folder: Path, file: str = "small.yaml", **changes: Any) -> Path:
    """An experiment with a search over 5 sets of 2 shots; ``changes`` go into ``search``."""
    write(folder)
    (folder / "guess.j2").write_text(TEMPLATE.replace("Name the intent", "Guess the intent"))
    base: dict[str, Any] = json.loads((folder / "small.yaml").read_text())
    base["tasks"] = base["tasks"][:1]
    base["models"] = {"t": {"engine": "planted", "default": "hash"}}
    base["grid"] = {"shots": [{"k": 2, "select": "random", "scope": "run", "seed": 7}]}
    if "metrics" in changes:
        base["tasks"][0]["metrics"] = changes.pop("metrics")
    top = {key: changes.pop(key) for key in list(changes) if key in base}
    search = {
        "over": {"shot_set": 5, "prompt": ["intent.j2", "guess.j2"]},
        "dev": {"split": "train", "n": 9},
        "write": "shots/best.jsonl",
        **changes,
    }
    made = {**base, **top, "search": {k: v for k, v in search.items() if v is not None}}
    path = folder / file
    path.write_text(json.dumps(made, indent=1))
    return path
