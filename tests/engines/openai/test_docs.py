"""What docs/servers.md shows is true."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from icl.engines.openai import OpenAIEngine

TEXT = (Path(__file__).parents[3] / "docs" / "servers.md").read_text("utf-8")


def test_the_entries_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
    for entry in yaml.safe_load(block)["models"].values():
        assert entry.pop("engine") == "openai"
        assert OpenAIEngine(**entry).link.url == entry["source"]


def test_every_option_is_named() -> None:
    entry = TEXT.split("## The entry")[1].split("\n## ")[0]
    named = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", entry, re.M))))
    assert named == {spec.name for spec in fields(OpenAIEngine) if spec.init}


def test_the_contract_example_runs() -> None:
    (block,) = re.findall(r"```python\n(.*?)```", TEXT, re.S)
    names: dict[str, object] = {}
    exec(block, names)
    names["test_my_engine"]()  # type: ignore[operator]
