"""The keys of an experiment file as a page of documentation, from the JSON Schema."""

from __future__ import annotations

import re
from typing import Any

from icl.experiment.entries import LEVELS
from icl.experiment.json_schema import make_experiment_schema
from icl.experiment.user_config import ConfigEntry

__all__ = ["write_key_page"]


_BLOCKS = {
    "The file": "",
    "`models`": "models",
    "`data`": "DataEntry",
    "`lexicons`": "LexiconEntry",
    "`tasks`": "TaskEntry",
    "`rows` of a task": "RowsEntry",
    "`pair` of rows": "PairEntry",
    "`pool` of a task": "PoolEntry",
    "`translate` of a pool": "TranslateEntry",
    "`hints` of a task": "HintsEntry",
    "`sampling` of a task": "SamplingEntry",
    "`constrain` of a task": "ConstrainEntry",
    "`grid`": "grid",
    "`shots` of the grid": "ShotsEntry",
    "`compare`": "CompareEntry",
    "`report`": "ReportEntry",
    "`search`": "SearchEntry",
    "`over` of a search": "OverEntry",
    "`dev` of a search": "DevEntry",
    "`budget` of a search": "BudgetEntry",
}
"""Title of each table -> its definition in the schema, or its key at the top of the file."""
_CONFIG_HEAD = """## A user's own `config.yaml`

Keys that change no answer and so are in no fingerprint: they belong to a machine or an account, and
are the same for every experiment. The file is `config.yaml` in the folder `icl` of the platform's:
below `$XDG_CONFIG_HOME` or `~/.config`, `%APPDATA%` on Windows, `~/Library/Application Support` on
a Mac; `ICL_CONFIG` names another file, and set to nothing reads none. `icl list config` says where
it is looked for, and what it sets.

An option of `icl run` comes first, then the experiment file, then `config.yaml`, then the default.
In an experiment file these keys are accepted, with one line that says where they belong; `price`
and `max_cost` are at home there, too.

```yaml
batch_size: 8
timeout_s: 120
models:                # by a model's source, or by its name on a server
  gpt-4o-mini: {price: {input: 0.15, output: 0.60}, max_cost: 5}
```
"""
_HEAD = """# Every key of an experiment file

The page is printed by `icl schema keys` from the same schema that editors read
([authoring.md](authoring.md)). A key is **basic** if most files have it, **usual** if many do, and
**rare** if it is for special cases. Options of selectors, metrics, calibrators and parsers are on
the pages of these: [selectors.md](selectors.md), [metrics.md](metrics.md),
[calibration.md](calibration.md).
"""


def write_key_page() -> str:
    """Return the page in Markdown: a table for each block of the file, basic keys first.

    >>> "| `k` | basic | Number of shots per query" in write_key_page()
    True
    """
    schema = make_experiment_schema()
    parts = [_HEAD]
    for title, name in _BLOCKS.items():
        block = _find_block(schema, name)
        about = block.get("description", "") if name else ""
        lead = [_mark(about), ""] if about else []
        parts.append("\n".join([f"## {title}", "", *lead, _table(block["properties"])]))
    parts.append(_CONFIG_HEAD)
    parts.append(_table(ConfigEntry.model_json_schema()["properties"]))
    return "\n".join(parts)


def _table(keys: dict[str, Any]) -> str:
    """Return the table of a block's keys, basic ones first."""
    order = sorted(keys, key=lambda key: LEVELS.index(keys[key].get("level") or LEVELS[-1]))
    rows = [f"| `{key}` | {keys[key].get('level', '')} | {_describe(keys[key])} |" for key in order]
    return "\n".join(["| key | level | meaning |", "| --- | --- | --- |", *rows]) + "\n"


def _find_block(schema: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the part of the schema that has a block's keys as its properties."""
    if not name:
        return schema
    if name in schema["$defs"]:
        return dict(schema["$defs"][name])
    block = dict(schema["properties"][name])
    inner = block.get("additionalProperties")
    if isinstance(inner, dict) and "properties" in inner:
        return {**inner, "description": block["description"]}
    return block


def _describe(spec: dict[str, Any]) -> str:
    """Return the meaning of a key and its default, as a cell of a table."""
    told = _mark(str(spec.get("description", "")))
    default = spec.get("default")
    if default not in (None, "", [], {}) and "default" not in told:
        shown = str(default).lower() if isinstance(default, bool) else str(default)
        told = f"{told.rstrip('.')}; by default `{shown}`."
    return told.replace("|", "\\|")


def _mark(text: str) -> str:
    """Return a docstring's text with the single backticks of Markdown, on one line."""
    return re.sub(r"``", "`", " ".join(text.split()))
