"""What the playground shows of a row is what ``icl run`` of its export records."""

from __future__ import annotations

from pathlib import Path

import pytest

from icl.core.probabilities import label_shares
from icl.records.store import ConditionStore
from icl.running.run import run
from icl.workbench.answer import rank
from icl.workbench.workbench import Workbench
from tests.workbench.conftest import screen


def test_label_probabilities_are_those_of_the_exported_run(
    tmp_path: Path, tiny_model: Path
) -> None:
    entry = {"source": str(tiny_model), "width": "fp32"}
    (tmp_path / "base").mkdir()
    work = Workbench({"t": entry}, tmp_path / "base", tmp_path / "private")
    try:
        for number, changes in enumerate(({"k": 2}, {"k": 1, "select": "bm25", "row": 7})):
            one = screen(work, "intent/plain", **changes)
            condition = work.bind(one).condition
            made = rank(condition, condition.request(condition.examples[0]))
            done = run(work.write(work.export(one), f"e{number}"), work.base / "runs")
            (found,) = done.conditions
            store = ConditionStore(work.base / "runs" / "conditions" / condition.folder)
            record = store.records()[found.ids[0]]
            assert record.request == made.record.request
            assert made.record.logprobs is not None and record.logprobs is not None
            assert record.logprobs == pytest.approx(made.record.logprobs, abs=1e-3)
            labels = [choice.label for choice in made.request.choices]
            shares = dict(zip(labels, label_shares(record.logprobs), strict=True))
            assert dict(made.ranking) == pytest.approx(shares, abs=1e-3)
            assert len(set(made.record.logprobs)) > 30  # a model that tells labels apart
    finally:
        work.sandbox.close()
