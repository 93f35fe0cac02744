"""Foreseen tokens are those that a run then computes; the time left of a whole run."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import ModelError
from icl.core.types import JSON, ChoiceScore, OnToken, Output, Prompt, Sampling
from icl.engines.hf.engine import HFEngine
from icl.engines.protocol import ForecastEngine, TokenWork
from icl.engines.table import TableEngine
from icl.experiment.condition import Condition, build
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.experiment.loader import Loader
from icl.records.results import load_run
from icl.running.estimate import estimate, sum_estimates
from icl.running.forecast import RunOutlook
from icl.running.run import run
from icl.running.speeds import AnswerLength, SpeedFile
from tests.table_experiment import write


@dataclasses.dataclass
class TimedTable(TableEngine):
    """The table engine on a clock of its own: 100 tokens a second read, 10 a second generated."""

    done: TokenWork = dataclasses.field(default_factory=TokenWork)

    def is_loaded(self) -> bool:
        return False

    def forecast_score(self, batches: Sequence[Sequence[tuple[Prompt, str]]]) -> TokenWork:
        return timed(sum(len(self.tokens(p)) for batch in batches for p, _ in batch), 0)

    def forecast_generate(
        self, batches: Sequence[Sequence[Prompt]], sampling: Sampling
    ) -> TokenWork:
        prompts = [prompt for batch in batches for prompt in batch]
        return timed(
            sum(len(self.tokens(prompt)) for prompt in prompts),
            len(prompts) * (sampling.max_tokens - 1),
        )

    def work_so_far(self) -> TokenWork:
        return self.done

    def speed_identity(self) -> dict[str, JSON]:
        return {"weights": "table", "processor": "none"}

    def generate(
        self,
        prompts: Sequence[Prompt],
        sampling: Sampling,
        on_token: OnToken | None = None,
        stop: Any = None,
    ) -> Iterator[tuple[int, Output]]:
        for index, made in super().generate(prompts, sampling, on_token, stop):
            self.done += timed(made.prompt_tokens, max(0, made.output_tokens - 1))
            yield index, made

    def score(self, items: Sequence[tuple[Prompt, str]]) -> Iterator[tuple[int, ChoiceScore]]:
        for index, made in super().score(items):
            self.done += timed(made.prompt_tokens, 0)
            yield index, made


def timed(read: int, written: int) -> TokenWork:
    return TokenWork(read, written, read / 100, written / 10)


@pytest.fixture
def own_speeds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SpeedFile:
    monkeypatch.setenv("ICL_CACHE", str(tmp_path / "cache"))
    return SpeedFile()


def table(folder: Path, own_registry: None, **changes: Any) -> Path:
    from icl import register

    register("engine", "timed")(TimedTable)
    models = {"t": {"engine": "timed", "default": "hash"}}
    return write(folder, models=models, **changes)


def tiny(tiny_model: Path, folder: Path, **changes: Any) -> Path:
    models = {"t": {"source": str(tiny_model), "device": "cpu", "window": 256, "width": "fp32"}}
    return write(folder, models=models, batch_size=None, **changes)


def conditions(file: Path) -> list[Condition]:
    experiment = load_experiment(file)
    loader = Loader(experiment)
    return [build(point, loader) for point in list_points(experiment)]


def test_the_tokens_to_compute_are_those_that_a_run_computes(
    tiny_model: Path, tmp_path: Path, own_speeds: SpeedFile
) -> None:
    file = tiny(tiny_model, tmp_path)
    found = list(estimate(load_experiment(file), tmp_path / "runs"))
    done = run(file, tmp_path / "runs")
    for one, condition in zip(found, done.conditions, strict=True):
        assert one.work is not None
        asked = one.prompt_tokens + one.answer_tokens
        computed = condition.store.timing()["forwarded"]
        if one.condition.ranks:
            assert one.work == TokenWork(prefill_tokens=computed)
            assert computed < asked, "prompts share their beginnings"
        else:
            outputs = [out for record in condition.records.values() for out in record.outputs]
            unspent = sum(8 - out.output_tokens for out in outputs)
            # An end token is chosen and not written: the token before it was forwarded, too.
            ended = sum(out.finish == "end" for out in outputs)
            total = one.work.prefill_tokens + one.work.decode_tokens
            assert total == computed + unspent - ended


def test_calibrators_probes_are_counted_too(
    tiny_model: Path, tmp_path: Path, own_speeds: SpeedFile
) -> None:
    task = {"task": "intent", "prompt": "intent.j2", "calibrate": ["contextual", "pmi"]}
    task["rows"] = {"data": "rows", "split": "test", "n": 4}
    task["pool"] = {"split": "train"}
    file = tiny(tiny_model, tmp_path, tasks=[task], grid={"shots": [2]})
    (one,) = estimate(load_experiment(file), tmp_path / "runs")
    assert one.work is not None
    run(file, tmp_path / "runs")
    (condition,) = load_run("small", tmp_path / "runs").conditions
    roles = [condition.probes(role) for role in ("content_free", "domain")]
    assert all(role.records for role in roles)
    computed = sum(part.store.timing()["forwarded"] for part in (condition, *roles))
    assert one.work.prefill_tokens == computed


def test_no_time_is_told_for_a_model_of_unknown_speed(
    tiny_model: Path, tmp_path: Path, own_speeds: SpeedFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> object:
        raise ModelError("the weights were read")

    monkeypatch.setattr(HFEngine, "load", fail)
    found = list(estimate(load_experiment(tiny(tiny_model, tmp_path)), tmp_path / "runs"))
    assert [one.seconds for one in found] == [None] * 4
    assert found[0].cells()[-1] == "unknown"
    said = sum_estimates(found)
    tokens = sum(one.work.prefill_tokens + one.work.decode_tokens for one in found if one.work)
    assert said.splitlines() == [
        "no rate is known for t on this machine yet; 4 of 4 conditions have no time",
        "every run of a model measures its rate, and so does a short one: icl try FILE",
        f"{tokens:,} tokens (shared ones once) in all; nothing was run or saved",
    ]
    assert not own_speeds.path.exists(), "an estimate learns nothing"


def test_a_run_teaches_the_next_estimate(
    tiny_model: Path, tmp_path: Path, own_speeds: SpeedFile
) -> None:
    first = load_experiment(tiny(tiny_model, tmp_path, grid={"shots": [0]}))
    run(first, tmp_path / "runs")
    second = load_experiment(tiny(tiny_model, tmp_path, name="more"))
    found = [one for one in estimate(second, tmp_path / "runs") if one.rows]
    assert len(found) == 2 and all(one.seconds and one.measured for one in found)
    # Another window changes answers, hence the condition, and not the speed.
    models = {"t": {"source": str(tiny_model), "device": "cpu", "window": 200, "width": "fp32"}}
    third = load_experiment(write(tmp_path, models=models, name="window"))
    assert all(one.measured for one in estimate(third, tmp_path / "runs"))


def test_a_loaded_model_of_unknown_speed_is_tried(
    tiny_model: Path, tmp_path: Path, own_speeds: SpeedFile
) -> None:
    experiment = load_experiment(tiny(tiny_model, tmp_path, grid={"shots": [0]}))
    loader = Loader(experiment)
    engine = build(list_points(experiment)[0], loader).engine
    assert isinstance(engine, HFEngine)
    engine.load()
    before = engine.lm.forwarded_tokens
    ranked, written = estimate(experiment, tmp_path / "runs", loader=loader)
    assert ranked.seconds and written.seconds and not ranked.measured
    assert ranked.cells()[-1].endswith("s (trial)")
    # Four prompts of each, of at most 60 tokens, and of 16 answers' tokens.
    assert 0 < engine.lm.forwarded_tokens - before < 2 * 5 * (60 + 16)
    assert "at most" in sum_estimates([written]), "how long its answers are is not known"


def test_answers_are_as_long_as_those_before(
    tmp_path: Path, own_registry: None, own_speeds: SpeedFile
) -> None:
    task = {"task": "generate", "prompt": "copy.j2", "sampling": {"max_tokens": 61}}
    task |= {"rows": {"data": "own"}}
    (tmp_path / "own.jsonl").write_text(
        "".join(f'{{"id": "{n}", "source": "a b c", "target": "d"}}\n' for n in range(6))
    )
    data = {"own": {"format": "jsonl", "path": "own.jsonl", "answer": "target"}}
    file = table(tmp_path, own_registry, tasks=[task], data=data, grid={"shots": [0]})
    (one,) = estimate(load_experiment(file), tmp_path / "runs")
    assert one.work == timed(one.prompt_tokens, 6 * 60) and one.at_most
    identity = TimedTable().speed_identity()
    own_speeds.learn(identity, timed(500, 50), {"generate without shots": AnswerLength(2, 42)})
    (one,) = estimate(load_experiment(file), tmp_path / "runs")
    assert not one.at_most, "21 tokens are usual, of which the last is not forwarded"
    assert one.seconds == pytest.approx(one.prompt_tokens / 100 + 6 * 20 / 10)
    assert sum_estimates([one]).startswith("about 12 s for 150 tokens (shared ones once) in all;")


def test_the_time_left_is_that_of_the_whole_run(
    tmp_path: Path, own_registry: None, own_speeds: SpeedFile
) -> None:
    task = {"task": "intent", "prompt": "intent.j2"}
    task |= {"rows": {"data": "rows", "split": "test", "n": 8}, "pool": {"split": "train"}}
    file = table(tmp_path, own_registry, tasks=[task], grid={"shots": [0, 2, 4]})
    first, second, third = conditions(file)
    assert isinstance(first.engine, ForecastEngine)
    outlook = RunOutlook([first, second, third], tmp_path / "runs")
    assert outlook.seconds() is None, "no speed is known"

    def price(condition: Condition) -> float:
        requests = [condition.request(example) for example in condition.examples]
        return sum(len(request.items) * request.tokens for request in requests) / 100

    own_speeds.learn(TimedTable().speed_identity(), timed(1000, 0))
    outlook = RunOutlook([first, second, third], tmp_path / "runs")
    whole = price(first) + price(second) + price(third)
    assert outlook.seconds() == pytest.approx(whole)
    outlook.begin(first, 8)
    outlook.advance(first, 4, 50.0)  # slower than foreseen: its other rows go by that
    assert outlook.seconds() == pytest.approx(50 + price(second) + price(third))
    outlook.advance(first, 3, 40.0)
    outlook.end(first)  # one row had no answer
    assert outlook.seconds() == pytest.approx(price(second) + price(third))
    for condition in (second, third):
        outlook.begin(condition, 0)
    assert outlook.seconds() == 0


def test_an_engine_that_counts_nothing_goes_by_its_own_rows(tmp_path: Path) -> None:
    first, *others = conditions(write(tmp_path))
    outlook = RunOutlook([first, *others], tmp_path / "runs")
    outlook.begin(first, 10)
    assert outlook.seconds() is None
    outlook.advance(first, 5, 10.0)
    assert outlook.seconds() == 2.0 * (5 + 30)
