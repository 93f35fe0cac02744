"""Slices of a condition: which rows they hold, and that their scores are those of these rows."""

from __future__ import annotations

import json

import pytest

from icl.core.errors import ConfigError
from icl.core.stats import wilson
from icl.records.results import ConditionResult, Run
from icl.running.run import run
from icl.scoring.slices import list_slice_keys, slices
from tests.table_experiment import INTENTS, write

ROWS = 48


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of 48 rows with a word, a number, a text of its own and a field called ``tokens``."""
    folder = tmp_path_factory.mktemp("slices")
    task = {"task": "intent", "prompt": "intent.j2", "rows": {"data": "rows"}}
    file = write(folder, tasks=[task], grid={"shots": [0]})
    rows = [
        {
            "id": f"r{n}",
            "utt": "wish " * (n // 4 + 1) + str(n),
            "intent": INTENTS[n % 3 if n % 4 else 0],
            "town": f"town {min(n, 13)}",
            "age": n * 2,
            "tokens": n % 2 == 0,
        }
        for n in range(ROWS)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run(str(file), folder / "runs")


@pytest.fixture(scope="module")
def condition(made: Run) -> ConditionResult:
    return made.conditions[0]


def test_each_slice_scores_its_own_rows_with_their_interval(condition: ConditionResult) -> None:
    right = {
        one.id: one.value in row.targets
        for one, row in zip(condition.predictions(), condition.examples, strict=True)
    }
    whole, *found = slices(condition, "label")
    assert whole.whole and whole.name == "all rows" and len(whole.ids) == ROWS
    assert whole.score.value == condition.scores[0].value
    assert whole.score.signature == condition.scores[0].signature
    assert [one.name for one in found] == ["alarm_set", "play_music", "weather_query"]
    labels = {row.id: row.targets[0] for row in condition.examples}
    for one in found:
        assert {labels[name] for name in one.ids} == {one.name}
        hits = sum(right[name] for name in one.ids)
        low, high = wilson(hits, len(one.ids))
        assert one.score.value == pytest.approx(100 * hits / len(one.ids))
        assert (one.score.low, one.score.high) == pytest.approx((100 * low, 100 * high))
    assert sum(len(one.ids) for one in found) == ROWS


def test_lengths_and_numbers_are_put_into_bins_of_about_equal_size(
    condition: ConditionResult,
) -> None:
    for by in ("characters", "age", "utt"):
        _, *found = slices(condition, by)
        assert 2 <= len(found) <= 4, by
        assert sum(len(one.ids) for one in found) == ROWS
        assert all(6 <= len(one.ids) <= 18 for one in found), by
    assert [one.name for one in slices(condition, "age")][1:] == [
        "0 to 22",
        "24 to 46",
        "48 to 70",
        "72 to 94",
    ]
    assert slices(condition, "utt")[1].name.endswith(" characters")


def test_rows_of_rare_values_are_scored_together(condition: ConditionResult) -> None:
    _, first, *others = slices(condition, "town")
    assert (first.name, len(first.ids)) == ("town 13", 35)
    assert others[-1].name == "3 others" and len(others[-1].ids) == 3
    assert len(others) == 11


def test_a_field_is_told_apart_from_a_length_of_the_same_name(condition: ConditionResult) -> None:
    keys = list_slice_keys(condition)
    assert keys[:3] == ["label", "characters", "tokens"] and "field.tokens" in keys
    assert {one.name for one in slices(condition, "field.tokens")[1:]} == {"true", "false"}
    tokens = [record.prompt_tokens for record in condition.records.values()]
    assert slices(condition, "tokens")[1].name.startswith(str(min(tokens)))


def test_another_metric_can_be_named(condition: ConditionResult) -> None:
    whole, *_ = slices(condition, "label", "macro_f1")
    assert whole.score.name == "macro_f1"


def test_what_the_rows_do_not_have_is_told_with_what_they_have(condition: ConditionResult) -> None:
    with pytest.raises(
        ConfigError,
        match=r"^the rows cannot be sliced by 'twon'\. Did you mean 'town'\? There are: .*label, ",
    ):
        slices(condition, "twon")
