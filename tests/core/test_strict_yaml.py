"""The line that a message speaks of, for messages that icl really writes."""

from __future__ import annotations

from pathlib import Path

import pytest

from icl.core.errors import ConfigError
from icl.core.strict_yaml import find_line
from icl.experiment.file import parse_experiment

TEXT = """name: small
models:
  t: {engine: table, default: hash}
tasks:
  - task: intent
    prompt: intent/plain
    rows: {data: samples/intent, locale: en-US, split: test, n: 5}
    pool: {split: train}
grid:
  shots:
    - 0
    - {k: 2, select: bm25}
"""


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("n: 5", "n: 0", 7),
        ("rows:", "rowz:", 7),
        ("    pool: {split: train}", "    poool: {split: train}", 8),
        ("select: bm25", "select: bm52", 12),
        ("task: intent", "task: intnt", 5),
        ("samples/intent", "samples/intnt", 7),
        ("grid:", "gird:", 9),
        ("  shots:", "  shotz:", 10),
        ("models:", "models: [", 4),
        ("    prompt: intent/plain\n", "", 5),
    ],
)
def test_mistakes_are_placed(old: str, new: str, line: int) -> None:
    text = TEXT.replace(old, new, 1)
    with pytest.raises(ConfigError) as caught:
        parse_experiment(text, "experiment", Path("."), "experiment")
    assert find_line(text, str(caught.value)) == line, caught.value


def test_nothing_named_has_no_line() -> None:
    assert find_line(TEXT, "no room on the disk") is None
    assert find_line("", "tasks.0: 'x'") is None
