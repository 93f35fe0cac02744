"""The tokens of a text with their probabilities, against the model's own logits."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from icl.core.errors import EngineError, WindowError
from icl.core.types import Prompt
from icl.engines.hf.engine import HFEngine
from icl.engines.protocol import InspectableEngine


def test_every_token_has_the_models_own_probability(tiny_model: Path) -> None:
    engine = HFEngine(str(tiny_model))
    assert isinstance(engine, InspectableEngine)
    text = "Utterance: wake me up at nine am on friday\nIntent:"
    found = engine.inspect(Prompt(text), " alarm set", top=5)
    ids = [one.token.id for one in found]
    assert ids == [token.id for token in engine.tokens(Prompt(f"{text} alarm set"))]
    assert "".join(one.token.text for one in found) == f"{text} alarm set"
    with torch.inference_mode():
        logits = engine.lm.model(torch.tensor([ids])).logits[0].float()
    want = logits.log_softmax(-1)
    assert (found[0].logprob, found[0].rank, found[0].alternatives) == (None, None, ())
    for place, one in enumerate(found[1:], 1):
        row = want[place - 1]
        assert one.logprob == pytest.approx(float(row[ids[place]]), abs=1e-4)
        assert one.rank == int((row > row[ids[place]]).sum()) + 1
        values = [value for _, value in one.alternatives]
        assert values == pytest.approx(row.topk(5).values.tolist(), abs=1e-4)
    scored = dict(engine.score([(Prompt(text), " alarm set")]))[0]
    assert sum(one.logprob or 0 for one in found[-scored.tokens :]) == pytest.approx(
        scored.logprob, abs=1e-3
    )


def test_what_cannot_be_inspected_says_so(tiny_model: Path) -> None:
    engine = HFEngine(str(tiny_model), bos="never")
    with pytest.raises(EngineError, match="an empty prompt has no tokens to inspect"):
        engine.inspect(Prompt(""))
    with pytest.raises(WindowError, match="the window is 256; use fewer shots"):
        engine.inspect(Prompt("word " * 400))
