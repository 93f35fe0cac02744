"""``docs/studies.md`` says what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from icl.experiment.entries import ShotsEntry
from icl.experiment.file import parse_experiment
from icl.experiment.grid import list_points
from icl.prompts.layouts import BEHIND_NAMES, BETWEEN_EXAMPLES, CASINGS, changes

DOCS = (Path(__file__).parents[2] / "docs" / "studies.md").read_text("utf-8")


def test_the_experiment_is_valid_and_every_value_is_told(tmp_path: Path) -> None:
    experiment = re.search(r"```yaml\n(.*?)```", DOCS, re.S)
    assert experiment
    found = list_points(parse_experiment(experiment[1], "study.yaml", tmp_path, "study"))
    assert len(found) == 3 * 2 * 6
    assert {"method", "shown_labels", "layout"} <= found[0].settings.keys()
    for value in get_args(ShotsEntry.model_fields["shown_labels"].annotation):
        assert f"| `{value}` |" in DOCS


def test_layouts_are_those_of_the_module() -> None:
    for behind in BEHIND_NAMES:
        assert f"`{behind}`" in DOCS or behind == ":\n"
    assert ", ".join(CASINGS) in DOCS and len(BETWEEN_EXAMPLES) == 4
    told = re.search(r"^layout f1: (.*)$", DOCS, re.M)
    assert told and told[1] == changes("intent/channel", "f1", "en", None)
