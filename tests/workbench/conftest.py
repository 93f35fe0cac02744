from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from icl.workbench.place import Workplace
from icl.workbench.screen import Screen
from icl.workbench.shelf import template_text

TABLE = {"engine": "table", "default": "hash"}


@pytest.fixture
def work(tmp_path: Path) -> Iterator[Workplace]:
    base = tmp_path / "base"
    base.mkdir()
    made = Workplace({"t": TABLE}, base, tmp_path / "private")
    yield made
    made.sandbox.close()


def screen(work: Workplace, name: str, **changes: Any) -> Screen:
    made = Screen(name, "", **changes)
    return Screen(**{**vars(made), "text": template_text(name, work.spoken(made), work.base)})
