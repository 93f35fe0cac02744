"""A small experiment on the table engine, for tests of the whole line without torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

INTENTS = ["alarm_set", "play_music", "weather_query"]
TEMPLATE = """---
task: classify
labels: {alarm_set: set alarm, play_music: play music, weather_query: weather}
stop: ["\\n"]
---
[[instruction]]
Name the intent.
[[example]]
Say: {{ utt }}
Intent:||| {{ label }}
"""
COPY = """---
task: generate
stop: ["\\n"]
---
[[example]]
In: {{ source }}
Out:||| {{ target }}
"""


def write(folder: Path, **changes: Any) -> Path:
    """Write templates, data and ``small.yaml``; ``changes`` replace its top-level keys."""
    (folder / "intent.j2").write_text(TEMPLATE)
    (folder / "ends.j2").write_text(TEMPLATE.replace("stop:", "choice_end: always\nstop:"))
    (folder / "copy.j2").write_text(COPY)
    rows = [
        {
            "id": f"r{number}",
            "utt": f"utterance {number} about {INTENTS[number % 3].split('_')[1]} ✓",
            "intent": INTENTS[number % 3],
            "split": "test" if number < 12 else "train",
        }
        for number in range(30)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pairs = [f"line {number} of text" for number in range(20)]
    (folder / "x.en").write_text("\n".join(pairs) + "\n")
    (folder / "x.de").write_text("\n".join(line.upper() for line in pairs) + "\n")
    experiment: dict[str, Any] = {
        "name": "small",
        "models": {"t": {"engine": "table", "default": "hash"}},
        "data": {
            "rows": {"format": "jsonl", "path": "rows.jsonl", "answer": "intent"},
            "pairs": {"format": "lines", "path": "x.{lang}"},
        },
        "tasks": [
            {
                "task": "intent",
                "prompt": "intent.j2",
                "rows": {"data": "rows", "split": "test", "n": 10},
                "pool": {"split": "train"},
            },
            {
                "task": "translation",
                "prompt": "copy.j2",
                "rows": {"data": "pairs", "pair": {"from": "en", "to": "de"}, "lines": [1, 10]},
                "pool": {"lines": [11, 20]},
                "sampling": {"max_tokens": 8},
            },
        ],
        "grid": {"shots": [0, {"k": 2, "select": "bm25"}]},
        "batch_size": 4,
    }
    file = folder / "small.yaml"
    file.write_text(json.dumps({**experiment, **changes}, indent=1))
    return file
