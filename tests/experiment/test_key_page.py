"""docs/keys.md is what `icl schema keys` prints."""

from __future__ import annotations

import re
from pathlib import Path

from typer.testing import CliRunner

from icl.cli import app
from icl.core.registry import isolated
from icl.experiment.entries import LEVELS
from icl.experiment.json_schema import make_experiment_schema
from icl.experiment.key_page import write_key_page

PAGE = (Path(__file__).parents[2] / "docs" / "keys.md").read_text("utf-8")


def test_the_page_is_the_one_that_the_command_prints() -> None:
    """To renew it:  icl schema keys > docs/keys.md."""
    with isolated(empty=True):  # without what other tests brought in
        assert write_key_page() == PAGE
        assert CliRunner().invoke(app, ["schema", "keys"]).stdout == PAGE


def test_every_block_is_there_with_basic_keys_first() -> None:
    with isolated(empty=True):
        schema = make_experiment_schema()
    named = set(re.findall(r"^\| `(\w+)` \|", PAGE, re.M))
    blocks = [schema, *schema["$defs"].values()]
    assert {key for block in blocks for key in block.get("properties", {})} <= named
    for table in PAGE.split("## ")[1:]:
        levels = re.findall(r"^\| `\w+` \| (\w+) \|", table, re.M)
        assert levels == sorted(levels, key=LEVELS.index)
