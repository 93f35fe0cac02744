"""``icl compare`` and the key ``compare``: what they print, and one line for every mistake."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from icl.core.errors import ConfigError
from icl.experiment.file import load_experiment
from tests.cli.test_cli import call
from tests.scoring.test_compare import varied


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from icl import run

    made = tmp_path_factory.mktemp("compare")
    run(varied(made), made / "runs")
    return made


@pytest.fixture(autouse=True)
def _narrow(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(folder)


def test_two_conditions(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = call(capsys, monkeypatch, "compare", "small#1", "small#2")
    assert (code, err) == (0, "")
    assert "intent · t · 0 · acc, against intent.j2" in out
    assert "both have answered the same 12" in out
    assert "test: mcnemar:midp|ci:tango" in out
    code, out, _ = call(
        capsys, monkeypatch, "compare", "small#1", "small#2", "--metric", "macro_f1"
    )
    assert "randomization10000-seed0|ci:none (needs" in " ".join(out.split())


def test_by_a_setting_and_ensembles(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = call(
        capsys, monkeypatch, "compare", "small", "--by", "prompt", "--baseline", "short.j2"
    )
    assert code == 0
    assert "acc by prompt, against short.j2" in out
    code, out, _ = call(capsys, monkeypatch, "compare", "small", "--ensemble", "prompt,seed")
    assert code == 0
    assert "ensemble of 6" in out
    assert max(map(len, out.splitlines())) <= 80


def test_against_a_baseline(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = call(capsys, monkeypatch, "compare", "small", "--against", "chance")
    assert code == 0
    assert "against chance" in out and "Holm" in out
    assert max(map(len, out.splitlines())) <= 80
    code, out, _ = call(capsys, monkeypatch, "compare", "small", "--against", "strongest")
    assert code == 0 and "against" in out
    code, out, _ = call(
        capsys, monkeypatch, "compare", "small", "--by", "prompt", "--against", "short.j2"
    )
    assert code == 0 and "acc by prompt, against short.j2" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["small"], "icl: small: say what to compare: a second run or condition, or --by SETTING; "
                    "what differs in it: task, prompt, shots, k, method, select, seed"),
        (["small", "small"], "icl: both sides hold the same conditions of small: name two, as in "
                             "small#1 small#2, or compare within it: icl compare small --by"),
        (["small#1", "small#2", "--by", "k"], "icl: --by, --against and --ensemble compare "
                                              "conditions within one run: leave B out"),
        (["smal", "--by", "k"], "icl: no run 'smal' in runs. Did you mean 'small'"),
        (["small", "--by", "sed"], "icl: small: no setting 'sed'. Did you mean 'seed'"),
        (["small#99", "small#1"], "icl: small: 0 conditions are called '99'; use a number from 1"),
        (["small", "--against", "votes"], "icl: unknown baseline 'votes'. Did you mean 'vote'"),
        (["small", "--against", "lead3"], "icl: small: no condition has the baseline 'lead3' under "
                                          "this metric; it has: chance, majority, copy, vote"),
        (["small", "--by", "k", "--metric", "chr"], "icl: unknown metric 'chr'. Did you mean"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line(
    arguments: list[str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    code, out, err = call(capsys, monkeypatch, "compare", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith(message)
    assert err.count("\n") == 1


def test_the_experiment_can_say_what_is_compared(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = varied(tmp_path, compare={"by": "k", "baseline": 0})
    code, out, _ = call(capsys, monkeypatch, "run", file, "--out", tmp_path / "runs")
    assert code == 0
    assert "intent · t · acc by k, against 0" in out
    assert "acc by k, against 0" in (tmp_path / "runs" / "small" / "table.txt").read_text()
    code, again, _ = call(capsys, monkeypatch, "compare", "small", "--out", tmp_path / "runs")
    assert code == 0
    assert "acc by k, against 0" in again


@pytest.mark.parametrize(
    ("compare", "message"),
    [
        ({"by": "promt"}, "small.yaml: compare: no setting 'promt'. Did you mean 'prompt'"),
        ({"by": "k", "baseline": 3}, "small.yaml: compare: no k '3'. There are: 0, 2"),
        ({"by": "model"}, "small.yaml: compare: model is 't' wherever there is one"),
        ({"by": "k", "base": 0}, "unknown key 'compare.base'. Did you mean 'baseline'"),
        ({"baseline": 0}, "'compare.by' is missing"),
    ],
)
def test_a_wrong_comparison_is_refused_before_anything_runs(
    tmp_path: Path, compare: dict[str, object], message: str
) -> None:
    file = varied(tmp_path, compare=compare)
    with pytest.raises(ConfigError) as caught:
        load_experiment(file)
    assert message in str(caught.value)


def test_conditions_that_ask_the_same_leave_nothing_to_compare(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two sampling seeds under greedy decoding are one condition."""
    file = varied(tmp_path, compare={"by": "tasks.translation.sampling.seed"})
    raw = json.loads(file.read_text())
    raw["grid"] = {"tasks.translation.sampling.seed": [0, 1]}
    file.write_text(json.dumps(raw))
    code, out, _ = call(capsys, monkeypatch, "run", file, "--out", tmp_path / "runs")
    assert code == 0
    assert "nothing to compare: small: tasks.translation.sampling.seed is '0' wherever" in out
