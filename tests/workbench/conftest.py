from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from icl.workbench.screen import Screen
from icl.workbench.table_card import open_table
from icl.workbench.template_files import template_text
from icl.workbench.workbench import Workbench

TABLE = {"engine": "table", "default": "hash"}


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Workbench]:
    base = tmp_path / "base"
    base.mkdir()
    made = Workbench({"t": TABLE}, base, tmp_path / "private")
    yield made
    made.sandbox.close()


@pytest.fixture
def wide_model(tiny_model: Path, tmp_path: Path) -> Path:
    """The tiny model with a window of 4,096 tokens, for long instructions and long answers."""
    made = shutil.copytree(tiny_model, tmp_path / "wide")
    config = json.loads((made / "config.json").read_text())
    (made / "config.json").write_text(json.dumps({**config, "max_position_embeddings": 4096}))
    return made


def used(work: Workbench, name: str, content: str) -> str:
    """The rows of a table that was dropped on the page, as a source."""
    return work.add_table(*open_table(work.keep_file(name, content.encode())).rows())


def screen(work: Workbench, name: str, **changes: Any) -> Screen:
    made = Screen(name, "", **changes)
    return Screen(**{**vars(made), "text": template_text(name, work.prompt_tag(made), work.base)})
