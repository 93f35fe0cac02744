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
        (protocol.Budgets, [HF]),
        (protocol.Closes, [HF]),
        (protocol.Counts, [SERVER]),
        (protocol.Embeds, [HF]),
        (protocol.Inspects, [HF]),
        (protocol.Loads, [HF]),
        (protocol.Local, [HF, TABLE]),
        (protocol.Proves, [HF]),
        (protocol.Sized, [HF]),
        (protocol.Writes, [HF, SERVER, TABLE]),
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
    assert isinstance(made, protocol.Closes)
    assert not isinstance(made, protocol.Loads | protocol.Proves | protocol.Local)
