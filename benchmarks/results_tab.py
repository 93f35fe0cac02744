"""Opening a condition of ten thousand records on the Results tab: seconds to the first page.

The goal is 2 s. Nothing is asked of a model: the records are made up, 60 labels each.
"""

from __future__ import annotations

import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from icl.running.run import run
from icl.workbench.browse_runs import RecordQuery, RunBrowser
from icl.workbench.run_tables import condition_table, page_table, record_view

__all__ = ["measure", "write_run"]

GOAL_S = 2.0
TEMPLATE = """---
task: classify
labels: {labels}
stop: ["\\n"]
---
[[example]]
Say: {{{{ utt }}}}
Intent:||| {{{{ label }}}}
"""


def write_run(folder: Path, records: int, labels: int = 60) -> None:
    """Run an experiment of so many rows on the engine that answers by a hash."""
    draw = random.Random(0)
    names = [f"label_{number}" for number in range(labels)]
    words = [f"word{number}" for number in range(500)]
    rows = [
        {
            "id": f"row-{number}",
            "utt": " ".join(draw.choices(words, k=12)),
            "intent": draw.choice(names),
        }
        for number in range(records)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    known = json.dumps({name: name.replace("_", " ") for name in names})
    (folder / "plain.j2").write_text(TEMPLATE.format(labels=known))
    experiment = {
        "name": "many",
        "models": {"t": {"engine": "table", "default": "hash"}},
        "data": {"rows": {"format": "jsonl", "path": "rows.jsonl", "answer": "intent"}},
        "tasks": [{"task": "intent", "prompt": "plain.j2", "rows": {"data": "rows"}}],
        "grid": {"shots": [0]},
        "batch_size": 500,
    }
    (folder / "many.yaml").write_text(json.dumps(experiment))
    run(str(folder / "many.yaml"), folder / "runs")


def measure(folder: Path) -> dict[str, float]:
    """Seconds of each thing that a reader does, the first time, in order."""
    took: dict[str, float] = {}
    browser = RunBrowser([folder / "runs"])

    def timed(name: str, work: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        made = work()
        took[name] = time.perf_counter() - began
        return made

    timed("conditions of the run", lambda: condition_table(browser.run("many")))
    opened = timed("records read", lambda: browser.open("many", "1"))
    timed("first page", lambda: page_table(opened.page(RecordQuery()), False))
    took["open, in all"] = sum(took.values())
    timed("first search", lambda: opened.page(RecordQuery("wrong", "word7 word8")))
    timed("next search", lambda: opened.page(RecordQuery("wrong", "word9")))
    timed("last page, worst first", lambda: opened.page(RecordQuery(order="worst first"), 10**6))
    timed("one record", lambda: record_view(opened, next(iter(opened.answers))))
    return took


if __name__ == "__main__":
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as made:
        write_run(Path(made), count)
        for what, seconds in measure(Path(made)).items():
            print(f"{what:<26}{seconds:8.3f} s")
        print(f"goal: open, in all, within {GOAL_S:.0f} s with {count:,} records")
