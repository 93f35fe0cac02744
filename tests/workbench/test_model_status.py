"""What the page says of its model."""

from __future__ import annotations

from pathlib import Path

from icl.engines.hf.engine import HFEngine
from icl.engines.table import TableEngine
from icl.workbench.model_status import describe_model


def test_the_state_is_that_of_the_memory(tiny_model: Path) -> None:
    entry = {"source": str(tiny_model), "width": "fp32"}
    engine = HFEngine(str(tiny_model), width="fp32")
    name = tiny_model.name
    assert describe_model(engine, entry) == f"{name} · fp32 · not loaded"
    engine.load()
    told = describe_model(engine, entry)
    assert told.startswith(f"{name} · fp32 · loaded, ")
    engine.close()
    assert describe_model(engine, entry) == f"{name} · fp32 · not loaded"
    assert describe_model(TableEngine(), {"engine": "table"}) == "table · ready"
