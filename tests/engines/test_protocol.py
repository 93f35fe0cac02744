"""The abilities of engines: each engine has those of its methods, and is not asked to find out."""

from __future__ import annotations

import pytest

from icl.engines import protocol
from icl.engines.hf.engine import HFEngine
from icl.engines.openai import OpenAIEngine
from icl.engines.table import TableEngine

HF = HFEngine("no/such/model")
SERVER = OpenAIEngine("http://127.0.0.1:9/v1", "nobody-listens")
TABLE = TableEngine()


@pytest.mark.parametrize(
    ("ability", "engines"),
    [
        (protocol.BudgetEngine, [HF]),
        (protocol.ClosableEngine, [HF]),
        (protocol.CountingEngine, [SERVER]),
        (protocol.EmbeddingEngine, [HF]),
        (protocol.ForecastEngine, [HF]),
        (protocol.InspectableEngine, [HF]),
        (protocol.LoadableEngine, [HF]),
        (protocol.LocalEngine, [HF, TABLE]),
        (protocol.ProvenEngine, [HF]),
        (protocol.InProcessEngine, [HF]),
        (protocol.RenderingEngine, [HF, SERVER, TABLE]),
    ],
)
def test_who_has_which_ability(ability: type, engines: list[object]) -> None:
    found = [engine for engine in (HF, SERVER, TABLE) if isinstance(engine, ability)]
    assert [type(engine) for engine in found] == [type(engine) for engine in engines]


def test_an_ability_is_had_by_its_methods_alone() -> None:
    class Closable:
        def close(self) -> None:
            return None

    made = Closable()
    assert isinstance(made, protocol.ClosableEngine)
    assert not isinstance(
        made, protocol.LoadableEngine | protocol.ProvenEngine | protocol.LocalEngine
    )
