"""What docs/search.md says is so."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from icl.experiment.entries import OverEntry, SearchEntry
from icl.experiment.file import load_experiment

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "docs" / "search.md").read_text("utf-8")


def test_the_block_shown_is_accepted_and_every_key_is_told() -> None:
    (block, *_) = re.findall(r"```yaml\n(search:.*?)```", TEXT, re.S)
    SearchEntry.model_validate(yaml.safe_load(block)["search"])
    named = set(re.findall(r"`(\w+)`", TEXT))
    assert {*SearchEntry.model_fields, *OverEntry.model_fields} <= named


def test_the_run_shown_is_the_one_that_ships() -> None:
    shown = re.search(r"```yaml\n# experiments/search.yaml\n(.*?)```", TEXT, re.S)
    assert shown
    assert shown[1] in (ROOT / "experiments" / "search.yaml").read_text("utf-8")
    assert load_experiment(ROOT / "experiments" / "search.yaml").name == "search"
