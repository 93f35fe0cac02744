"""The form of the row on the screen, with a tiny model."""

from __future__ import annotations

from pathlib import Path

import pytest

from icl.core.errors import ConfigError, IclError
from icl.experiment.condition import Condition, build
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.experiment.loader import Loader
from icl.workbench.form_view import trace_form, view_form
from tests.experiment.test_constraint import write


def condition_of(folder: Path, model: Path, constrain: object) -> Condition:
    entry = {"source": str(model), "device": "cpu"}
    experiment = load_experiment(write(folder, entry, constrain=constrain))
    return build(list_points(experiment)[0], Loader(experiment))


def test_a_row_s_form_is_shown_and_told_token_by_token(tmp_path: Path, tiny_model: Path) -> None:
    made = condition_of(tmp_path, tiny_model, "source")
    request = made.request(made.examples[0])
    shown = view_form(request)
    assert shown is not None and shown.error is None
    assert shown.kind == "source" and shown.text.startswith("start: a0")
    trace = trace_form(made, request, top=3)
    assert "".join(step.text for step in trace.steps).startswith(trace.output.text)
    asked = [step for step in trace.steps if not step.forced]
    use = trace.output.form
    assert use is not None and (len(asked), sum(s.changed for s in asked)) == (
        use.steps, use.changed,
    )  # fmt: skip
    assert len(trace.steps) - len(asked) == use.forced
    assert all(0 < len(step.forbidden) <= 3 for step in asked)
    values = [value for step in asked for _, value in step.forbidden]
    assert all(value < 0 for value in values)


def test_a_changed_form_is_checked_and_kept(tmp_path: Path, tiny_model: Path) -> None:
    made = condition_of(tmp_path, tiny_model, {"regex": "[0-9]+"})
    request = made.request(made.examples[0])
    wrong = view_form(request, "(a")
    assert wrong is not None and wrong.error is not None
    assert wrong.error.startswith("form:1:1: unclosed group")
    assert trace_form(made, request, "[xy]{2}").output.text.strip() in ("xx", "xy", "yx", "yy")


def test_without_a_form_there_is_nothing_to_show(tmp_path: Path, tiny_model: Path) -> None:
    made = condition_of(tmp_path, tiny_model, None)
    request = made.request(made.examples[0])
    assert view_form(request) is None
    with pytest.raises(ConfigError, match="held to no form; write one"):
        trace_form(made, request)


def test_a_model_that_tells_no_steps_is_refused(tmp_path: Path, tiny_model: Path) -> None:
    from icl.engines.table import TableEngine

    made = condition_of(tmp_path, tiny_model, "source")
    request = made.request(made.examples[0])
    made.engine = TableEngine()
    with pytest.raises(IclError, match="answer with a model of the engine hf"):
        trace_form(made, request)
