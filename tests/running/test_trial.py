"""``icl try``: a few rows, again at every save, with the engine kept."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path

import pytest

from icl.core.errors import ConfigError, IclError, TemplateError
from icl.experiment.file import load_experiment
from icl.running.trial import Outcome, Trial, watch
from tests.table_experiment import TEMPLATE, write


def trial(folder: Path, number: int = 1, rows: int = 5, **changes: object) -> Trial:
    file = write(folder, **changes)
    return Trial(functools.partial(load_experiment, file), number, rows)


def test_the_rows_are_those_of_the_run_with_answers_and_scores(tmp_path: Path) -> None:
    made = trial(tmp_path, 3, rows=4)
    outcome = made.run()
    assert [row.id for row in outcome.rows] == [e.id for e in made.condition().examples]
    assert len(outcome.rows) == 4
    for row in outcome.rows:
        assert row.prompt.startswith("Name the intent.\n\nSay: ")
        assert row.output is None
        assert len(row.shares) == 3
        assert sum(share for _, share in row.shares) == pytest.approx(1)
        assert row.answer == row.shares[0][0]
        assert row.right == (row.answer in row.targets)
    accuracy = outcome.scores[0]
    assert accuracy.n == 4
    assert accuracy.value == pytest.approx(100 * sum(row.right for row in outcome.rows) / 4)


def test_generated_text_is_shown_as_it_came(tmp_path: Path) -> None:
    outcome = trial(tmp_path, 2).run()
    assert all(row.output and not row.shares for row in outcome.rows)
    assert {score.name for score in outcome.scores} == {"chrf", "bleu"}
    assert not list(tmp_path.glob("runs*")), "a trial keeps nothing"


def test_rows_without_answers_are_tried_and_not_scored(tmp_path: Path) -> None:
    made = trial(
        tmp_path,
        tasks=[
            {"task": "intent", "prompt": "intent.j2", "rows": {"data": "rows", "split": "test"}}
        ],
        data={"rows": {"format": "jsonl", "path": "rows.jsonl"}},
        grid={},
    )
    outcome = made.run()
    assert [row.targets for row in outcome.rows] == [()] * 5
    assert outcome.scores == ()
    assert "needs a target" in outcome.note


def test_wrong_numbers_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--condition 9: there are 4, counted from 1"):
        trial(tmp_path, 9).run()
    with pytest.raises(ConfigError, match="--rows 0: at least 1"):
        trial(tmp_path, rows=0).run()


def told_while(
    made: Trial, given: Path, saves: list[Callable[[], object]]
) -> list[Outcome | IclError]:
    """What watching tells; each wait makes the next save, the last one is Ctrl+C."""
    told: list[Outcome | IclError] = []

    def wait(_: float) -> None:
        if not saves:
            raise KeyboardInterrupt
        saves.pop(0)()

    with pytest.raises(KeyboardInterrupt):
        watch(made, given, told.append, wait)
    return told


def test_a_save_is_tried_at_once_and_the_engine_stays(tmp_path: Path) -> None:
    made = trial(tmp_path, rows=2)
    engines: list[object] = []
    template, experiment = tmp_path / "intent.j2", tmp_path / "small.yaml"
    told = told_while(
        made,
        experiment,
        [
            lambda: engines.append(made.condition().engine),
            lambda: template.write_text(TEMPLATE.replace("Say:", "They say:")),
            lambda: template.write_text(TEMPLATE.replace("{{ utt }}", "{{ uttt }}")),
            lambda: template.unlink(),
            lambda: (tmp_path / "intent.en.j2").write_text(TEMPLATE.replace("Say:", "English:")),
            lambda: experiment.write_text(experiment.read_text().replace('"n": 10', '"n": 1')),
            lambda: engines.append(made.condition().engine),
            lambda: experiment.write_text("models: ["),
            lambda: None,
        ],
    )
    shown = [one.rows[0].prompt if isinstance(one, Outcome) else str(one) for one in told]
    assert "\nSay: " in shown[0]
    assert "\nThey say: " in shown[1]
    assert "Did you mean 'utt'" in shown[2]
    assert isinstance(told[3], TemplateError) and "no template file" in shown[3]
    assert "\nEnglish: " in shown[4]
    assert isinstance(told[5], Outcome) and len(told[5].rows) == 1
    assert "not YAML" in shown[6]
    assert len(told) == 7, "nothing is asked where nothing was saved"
    assert engines[0] is engines[1]


def test_a_save_during_the_first_trial_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = trial(tmp_path, rows=1)
    template = tmp_path / "intent.j2"
    first = made.run

    def slow(*_: object) -> Outcome:
        outcome = first()
        if "They" not in template.read_text():
            template.write_text(TEMPLATE.replace("Say:", "They say:"))
        return outcome

    monkeypatch.setattr(made, "run", slow)
    told = told_while(made, tmp_path / "small.yaml", [lambda: None, lambda: None])
    prompts = [one.rows[0].prompt for one in told if isinstance(one, Outcome)]
    assert ["They say" in prompt for prompt in prompts] == [False, True]
