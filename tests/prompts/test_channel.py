"""The noisy channel: the label is given, the input is scored, and it renders again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import ConfigError, IclError, StoreError
from icl.core.types import Example, Shot
from icl.experiment.condition import build
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.experiment.lint import lint
from icl.experiment.loader import Loader
from icl.prompts.channel import Channel
from icl.prompts.template import load_template
from icl.records.results import load_run
from icl.reports.export_python import export
from icl.running.run import run
from tests.cli.test_cli import call
from tests.table_experiment import INTENTS, TEMPLATE, write

CHANNEL = "[[channel]]\nIntent: {{ label }}\nSay:||| {{ utt }}\n"
TASK: dict[str, Any] = {
    "task": "intent",
    "prompt": "channel.j2",
    "method": "channel",
    "rows": {"data": "rows", "split": "test", "n": 6},
    "pool": {"split": "train"},
}


def small(folder: Path, channel: str = CHANNEL, **changes: Any) -> Path:
    (folder / "channel.j2").write_text(TEMPLATE + channel)
    return write(folder, **{"tasks": [TASK], **changes})


def example(utterance: str, label: str, name: str = "q") -> Example:
    return Example(name, {"utt": utterance}, (label,), {}, ("intent",))


def test_shots_and_query_go_from_the_label_to_the_input(tmp_path: Path) -> None:
    small(tmp_path)
    channel = Channel(load_template("channel.j2", base=str(tmp_path))).check()
    choices = channel.choices()
    assert [choice.text for choice in choices] == [
        "Intent: set alarm\nSay:",
        "Intent: play music\nSay:",
        "Intent: weather\nSay:",
    ]
    shot = Shot(example("rain?", "weather_query", "s"))
    made = Channel(channel.template, choices[1].text).prompt(example("jazz", "play_music"), [shot])
    assert made.text == (
        "Name the intent.\n\nIntent: weather\nSay: rain?\n\nIntent: play music\nSay:"
    )
    assert channel.scored(example("jazz", "play_music")).text == " jazz"


def test_the_likeliest_input_decides(tmp_path: Path) -> None:
    rows = {
        f"Intent: {word}\nSay:": -float(place)
        for place, word in enumerate(("weather", "set alarm", "play music"))
    }
    told = [f" utterance {n} about {INTENTS[n % 3].split('_')[1]} ✓" for n in range(12)]
    answers = {query: dict.fromkeys(told, value) for query, value in rows.items()}
    done = run(
        small(tmp_path, grid={"shots": [0]}, models={"t": {"engine": "table", "answers": answers}}),
        tmp_path / "runs",
    )
    condition = done.conditions[0]
    assert {made.value for made in condition.predictions()} == {"weather_query"}
    for record in condition.records.values():
        assert record.logprobs == (-1.0, -2.0, 0.0)
        assert record.choice_tokens == (5, 5, 5)  # the words of the input, the same for each label
    assert condition.settings["method"] == "channel" == condition.axes["method"]


def test_every_record_renders_again_to_what_was_sent(tmp_path: Path) -> None:
    done = run(small(tmp_path), tmp_path / "runs")
    again = load_run("small", tmp_path / "runs")
    for condition in again.conditions:
        for record in condition.records.values():
            assert len(condition.prompts(record)) == 3
            assert condition.hash_again(record) == record.request
    assert run(tmp_path / "small.yaml", tmp_path / "runs").computed == 0
    assert done.computed == 12


def test_ranking_and_channel_are_told_apart(tmp_path: Path) -> None:
    made = run(
        small(tmp_path, grid={"tasks.intent.method": ["rank", "channel"]}), tmp_path / "runs"
    )
    assert [c.axes["method"] for c in made.conditions] == ["rank", "channel"]
    assert "tasks.intent.method" not in made.conditions[0].axes
    assert len({c.entry.fingerprint for c in made.conditions}) == 2


def test_the_choices_of_a_row_can_be_given(tmp_path: Path) -> None:
    (tmp_path / "copa.j2").write_text(
        "---\ntask: choose\nchoices: [choice1, choice2]\nlabel_field: label\n---\n"
        "[[example]]\n{{ premise }} so||| {{ choice }}\n"
        "[[channel]]\n{{ choice }} That is because||| {{ premise }}\n"
    )
    template = load_template("copa.j2", base=str(tmp_path))
    row = Example("r", {"premise": "P", "choice1": "A", "choice2": "B", "label": 1}, ("1",))
    channel = Channel(template)
    assert [c.text for c in channel.choices(row)] == ["A That is because", "B That is because"]
    assert channel.prompt(row, [Shot(row)]).shots == (("B That is because", " P"),)


@pytest.mark.parametrize(
    ("channel", "message"),
    [
        ("", "no [[channel]] section, which method: channel needs"),
        ("[[channel]]\nIntent: {{ label }}\n", "[[channel]] has 0 ||| and needs exactly one, "
         "between the label and the input"),
        ("[[channel]]\nSay:||| {{ utt }}\n", "must read `label`"),
        ("[[channel]]\n{{ label }} {{ utt }}:||| x\n", "it may read only `label`; it reads "
         "['utt']"),
        ("[[channel]]\n{{ label }}:||| {{ label }}\n", "the input reads 'label', which holds"),
        ("[[channel]]\n{{ label }}:||| {{ intent }}\n", "the input reads 'intent', which holds"),
        ("[[channel]]\n{{ label }}:||| {{ utt | fit }}\n", "`fit` has no place in [[channel]]"),
        ("[[channel]]\nIt is {% if label %}so{% endif %}:||| {{ utt }}\n", "give the same choice"),
        ("[[channel]]\n{{ label }}:|||{% if false %}x{% endif %}\n", "has an empty input"),
    ],
)  # fmt: skip
def test_what_a_channel_cannot_be(tmp_path: Path, channel: str, message: str) -> None:
    with pytest.raises(IclError, match=re.escape(message)):
        run(small(tmp_path, channel), tmp_path / "runs")


def test_a_template_for_text_has_no_channel(tmp_path: Path) -> None:
    (tmp_path / "text.j2").write_text(
        "[[example]]\nIn: {{ source }}\nOut:||| {{ target }}\n"
        "[[channel]]\n{{ target }}||| {{ source }}\n"
    )
    with pytest.raises(IclError, match="is of kind 'generate'"):
        load_template("text.j2", base=str(tmp_path))
    changed = {"task": "translation", "prompt": "copy.j2", "method": "channel"}
    with pytest.raises(ConfigError, match="cannot be answered by 'channel'"):
        load_experiment(small(tmp_path, tasks=[{**TASK, **changed}]))


def test_shots_that_do_not_fit_are_dropped_for_all_labels_alike(tmp_path: Path) -> None:
    file = small(
        tmp_path,
        models={"t": {"engine": "table", "default": "hash", "window": 26}},
        grid={"shots": [{"k": 3, "select": "bm25"}]},
    )
    condition = build(list_points(load_experiment(file))[0], Loader(load_experiment(file)))
    request = condition.request(condition.examples[0])
    assert 0 < len(request.shots) < 3
    for prompt, text in request.items:
        assert prompt.shots == request.prompt.shots
        assert len(condition.engine.tokens(prompt)) + len(text.split()) <= 26
    assert run(file, tmp_path / "runs").computed == 6


def test_cards_show_the_direction_and_code_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run(small(tmp_path), tmp_path / "runs")
    shown = call(capsys, monkeypatch, "show-prompt", tmp_path / "small.yaml", "--condition", 2)
    assert shown[0] == 0 and "Intent: set alarm\nSay:\n" in shown[1]
    assert "scored after it: ' utterance" in shown[2] and "after 3 prompts" in shown[2]
    key = next(iter(done.conditions[1].records))
    shown = call(capsys, monkeypatch, "show", f"small#2/{key}", "--out", tmp_path / "runs")
    card = shown[1]
    assert "── prompt that gives" in card and "── scored after this prompt" in card
    assert "the same as was sent" in card
    with pytest.raises(StoreError, match="the noisy channel needs one prompt per label"):
        export(done, "1", "python")


def test_lint_reads_the_channel(tmp_path: Path) -> None:
    assert not lint(str(small(tmp_path)))
    spaced = CHANNEL.replace("Say:||| ", "Say: |||")
    found = [str(problem) for problem in lint(str(small(tmp_path, spaced)))]
    assert any("a space before ||| of [[channel]]" in problem for problem in found)


def test_a_pronoun_is_replaced_at_its_offset_and_not_where_its_letters_stand() -> None:
    folder = Path(__file__).parents[2] / "experiments"
    template = load_template("xwinograd.j2", base=str(folder))
    fields = {
        "sentence": "The cook thanked the guest because he ate all of it.",
        "pronoun": "he",
        "candidates": ["the cook", "the guest"],
        "at": 35,
    }
    row = Example("w", fields, ("1",), {}, ("label",))
    texts = [choice.text for choice in template.choices(row)]
    assert texts == [" the cook ate all of it.", " the guest ate all of it."]
    assert template.prompt(row).text == "The cook thanked the guest because"
    channel = Channel(template)
    assert [choice.text for choice in channel.choices(row)] == [
        "The cook thanked the guest because the cook",
        "The cook thanked the guest because the guest",
    ]
    assert channel.scored(row).text == " ate all of it."
    bare = {**fields, "sentence": "客人谢了他。", "pronoun": "他", "at": 4}
    (first, _) = template.choices(Example("z", {**bare, "candidates": ["客人", "厨师"]}))
    assert first.text == "客人。", "no space where the sentence has none"
