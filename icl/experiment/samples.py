"""Data sets that ship with icl, and the task that tries out a template on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from icl.core.errors import ConfigError
from icl.core.files import find_shipped_folder
from icl.core.kinds import Kind
from icl.core.registry import lookup
from icl.experiment.entries import (
    DataEntry,
)

__all__ = ["list_built_in_data", "make_sample_task", "find_samples"]


def find_samples() -> Path:
    """Return the folder of the shipped data sets."""
    return find_shipped_folder("samples")


def list_built_in_data() -> dict[str, DataEntry]:
    """Return the shipped data sets by name."""
    return {
        "samples/intent": DataEntry(
            format="massive", path=str(find_samples() / "intent"), cite="none"
        ),
        "samples/slots": DataEntry(
            format="massive", path=str(find_samples() / "slots"), cite="none"
        ),
        "samples/translation": DataEntry(
            format="lines", path=str(find_samples() / "translation" / "{lang}.txt")
        ),
        "samples/summarization": DataEntry(
            format="jsonl",
            path=str(find_samples() / "summarization" / "news.eng.jsonl"),
            answer="references",
            gold=["summary"],
        ),
        "samples/generate": DataEntry(
            format="jsonl", path=str(find_samples() / "generate" / "eng.jsonl"), answer="answers"
        ),
        "samples/opposites": DataEntry(
            format="jsonl", path=str(find_samples() / "opposites" / "eng.jsonl"), answer="opposites"
        ),
        "samples/inflection": DataEntry(
            format="jsonl", path=str(find_samples() / "inflection" / "eng.jsonl"), answer="form"
        ),
        **{
            f"samples/{kind}": DataEntry(
                format="jsonl", path=str(find_samples() / kind / "eng.jsonl")
            )
            for kind in ("sentiment", "choose", "extract", "emotions")
        },
    }


def make_sample_task(template: str, kind: Kind) -> dict[str, Any]:
    """Make a task entry that tries out a template on the samples of its folder or its kind.

    Raises:
        ConfigError: no shipped data set fits this kind.
    """
    split = {"rows": {"split": "test"}, "pool": {"split": "train"}}
    folder, _, name = template.rpartition("/")
    known = {name.partition("/")[2] for name in list_built_in_data()}
    data = folder if name and folder in known else kind.samples
    if not data:
        raise ConfigError(
            f"no data set ships with which a template of kind {kind.name!r} could be tried; write "
            "an experiment file that names rows, and give that"
        )
    tasks = {"sentiment": "classify", "opposites": "generate", "emotions": "labels"}
    task = tasks.get(data, data)
    if data == kind.samples and lookup("task", task).kind != kind:
        task = kind.name
    if data == "translation":
        pair = {"from": "eng_Latn", "to": "deu_Latn"}
        rows: dict[str, Any] = {"pair": pair, "lines": [1, 120]}
        return {
            "task": task,
            "rows": {"data": f"samples/{data}", **rows},
            "pool": {"lines": [121, 180]},
        }
    locale = {"locale": "en-US"} if data in ("intent", "slots") else {}
    rows = {"data": f"samples/{data}", **split["rows"], **locale}
    return {"task": task, "rows": rows, "pool": split["pool"]}
