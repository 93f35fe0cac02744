"""Layouts: what is varied is listed, everything else stays, and f0 is the file."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import IclError
from icl.core.types import Example, Shot
from icl.experiment.file import load_experiment
from icl.experiment.grid import list_points
from icl.prompts.layouts import BETWEEN_EXAMPLES, layouts, varied
from icl.prompts.template import load_template
from icl.prompts.template_file import TemplateFile, list_templates, parse_template, read_template
from icl.records.results import load_run
from icl.reports.tables import render
from icl.running.run import run
from tests.cli.test_cli import call
from tests.table_experiment import TEMPLATE, write


def parsed(text: str) -> TemplateFile:
    return parse_template(text, "my.j2", Path("my.j2"))


def sent(file: TemplateFile, folder: Path) -> str:
    (folder / "one.j2").write_text(file.text)
    template = load_template("one.j2", base=str(folder))
    one = Example("a", {"utt": "Wake Me"}, ("alarm_set",))
    return template.prompt(Example("q", {"utt": "Some Jazz"}), [Shot(one)]).text


def by_change(text: str, changes: str) -> TemplateFile:
    name = next(one.name for one in layouts(parsed(text)) if one.changes == changes)
    return varied(parsed(text), name)


@pytest.mark.parametrize(
    ("changes", "prompt"),
    [
        ("as written", "Name the intent.\n\nSay: Wake Me\nIntent: set alarm\n\n"
         "Say: Some Jazz\nIntent:"),
        ("names in upper case", "Name the intent.\n\nSAY: Wake Me\nINTENT: set alarm\n\n"
         "SAY: Some Jazz\nINTENT:"),
        ("':\\n' behind names", "Name the intent.\n\nSay:\nWake Me\nIntent:\nset alarm\n\n"
         "Say:\nSome Jazz\nIntent:\n"),
        ("' - ' behind names, ' || ' between fields", "Name the intent.\n\n"
         "Say - Wake Me || Intent - set alarm\n\nSay - Some Jazz || Intent -"),
        ("'\\n---\\n' between examples", "Name the intent.\n---\nSay: Wake Me\nIntent: set alarm"
         "\n---\nSay: Some Jazz\nIntent:"),
    ],
)  # fmt: skip
def test_known_layouts(tmp_path: Path, changes: str, prompt: str) -> None:
    file = by_change(TEMPLATE, changes) if changes != "as written" else parsed(TEMPLATE)
    assert sent(file, tmp_path) == prompt


def test_every_layout_differs_and_keeps_values_labels_and_instruction() -> None:
    written = parsed(TEMPLATE)
    made = layouts(written)
    assert made[0] == ("f0", TEMPLATE, "as written")
    assert len({one.text for one in made}) == len(made) > 200
    for one in made:
        file = varied(written, one.name)
        assert file.instruction == written.instruction or file.separator != "\n\n"
        assert file.instruction and file.instruction.source == "Name the intent."
        assert file.head.labels == written.head.labels
        assert file.separator.startswith(file.stop[0])
        assert file.input.names.keys() == {"utt"} and file.target.names.keys() == {"label"}


def test_names_from_the_table_of_words_keep_their_casing() -> None:
    native = layouts(read_template("intent/native"))
    assert not any("case" in one.changes for one in native)
    assert any("{{ words.utterance }} - {{ utt }}" in one.text for one in native)
    assert any(
        "{{ source_language }} = {{ source }}" in one.text
        for one in layouts(read_template("translation/plain"))
    )


def test_query_and_channel_change_with_the_example() -> None:
    text = TEMPLATE + (
        "[[query]]\nLast: {{ utt }}\nIntent:\n[[channel]]\nIntent: {{ label }}\nSay:||| {{ utt }}\n"
    )
    file = by_change(text, "names in lower case, ' = ' behind names, ', ' between fields")
    assert file.query is not None and file.given is not None and file.scored is not None
    assert file.input.source == "say = {{ utt }}, intent ="
    assert file.query.source == "last = {{ utt }}, intent ="
    assert (file.given.source, file.scored.source) == ("intent = {{ label }}, say =", " {{ utt }}")


@pytest.mark.parametrize("every", [5, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", list_templates())
def test_the_library_varies_or_says_why_not(name: str, every: int) -> None:
    file = read_template(name)
    if name == "translation/labelled":
        with pytest.raises(IclError, match="no other layout is known for it"):
            layouts(file)
        return
    assert all(varied(file, one.name).text == one.text for one in layouts(file)[:40:every])


@pytest.mark.parametrize(
    "shape",
    [
        "[[example]]\nIt was {{ utt }}, so||| {{ label }}\n",
        "[[example]]\n{% if utt %}Say: {{ utt }}{% endif %}\nIntent:||| {{ label }}\n",
        "[[example]]\nSay: {{ utt }} now\nIntent:||| {{ label }}\n",
        "[[example]]\nSay: {{ utt }}\nIntent:||| {{ label }}\n[[query]]\nAnd {{ utt }}, so\n",
    ],
)
def test_other_shapes_vary_the_separator_alone(shape: str) -> None:
    head = TEMPLATE[: TEMPLATE.index("[[instruction]]")]
    made = layouts(parsed(head + shape))
    assert {one.changes for one in made} == {
        "as written",
        *(f"{one!r} between examples" for one in BETWEEN_EXAMPLES if one != "\n\n"),
    }


def test_a_template_without_front_matter_gets_one() -> None:
    found = {one.text for one in layouts(parsed("Say: {{ utt }}\nIs:||| {{ target }}\n"))}
    assert '---\nseparator: "\\n"\n---\nSay: {{ utt }}\nIs:||| {{ target }}\n' in found


def test_the_first_layouts_stay_when_more_are_asked_for(tmp_path: Path) -> None:
    def made(given: Any) -> list[tuple[str, str]]:
        task = {"task": "intent", "prompt": "intent.j2", "rows": {"data": "rows"}}
        file = write(tmp_path, tasks=[{**task, "layouts": given}], grid={})
        return [(p.form, p.settings["layout"]) for p in list_points(load_experiment(file))]

    assert made(3) == [("f0", "f0"), ("f1", "f1"), ("f2", "f2")]
    assert made(["f0", "f12"]) == [("f0", "f0"), ("f12", "f12")]
    assert made("f7") == [("f7", "f7")]


def test_layouts_are_conditions_whose_prompts_render_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    task = {
        "task": "intent",
        "prompt": "intent.j2",
        "pool": {"split": "train"},
        "rows": {"data": "rows", "split": "test", "n": 4},
    }
    file = write(
        tmp_path,
        tasks=[task],
        grid={"layout": ["f0", "f1", "f2"], "shots": [{"k": 1, "select": "bm25"}]},
    )
    run(file, tmp_path / "runs")
    done = load_run("small", tmp_path / "runs")
    assert [c.axes["layout"] for c in done.conditions] == ["f0", "f1", "f2"]
    assert len({c.entry.fingerprint for c in done.conditions}) == 3
    (tmp_path / "intent.j2").unlink()  # what was sent stands in the condition's folder
    for condition in done.conditions:
        record = next(iter(condition.records.values()))
        assert condition.hash_again(record) == record.request
        assert condition.store.condition().template.form == condition.axes["layout"]
    (tmp_path / "intent.j2").write_text(TEMPLATE)
    code, out, err = call(capsys, monkeypatch, "show-prompt", file, "--condition", 2)
    assert code == 0 and f"layout f1: {layouts(parsed(TEMPLATE))[1].changes}" in err
    assert out.rstrip("\n") == done.conditions[1].prompt(
        next(iter(done.conditions[1].records.values()))
    ).text.rstrip("\n")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (0, "layouts: at least 1 is needed"),
        ("second", "'second' is no layout; accepted: a number of them, or f0, f1"),
        (["f01"], "'f01' is no layout"),
        (["f9999"], "no layout 'f9999'; this template has f0 (as written) to f"),
        ([], "layouts: List should have at least 1 item"),
    ],
)
def test_what_is_no_layout(tmp_path: Path, given: Any, message: str) -> None:
    task = {"task": "intent", "prompt": "intent.j2", "rows": {"data": "rows"}, "layouts": given}
    with pytest.raises(IclError, match=re.escape(message)):
        run(write(tmp_path, tasks=[task], grid={}), tmp_path / "runs")


def test_a_full_table_keeps_the_column_that_tells_its_rows_apart(tmp_path: Path) -> None:
    task = {
        "task": "intent",
        "prompt": "intent.j2",
        "layouts": 2,
        "pool": {"split": "train"},
        "rows": {"data": "rows", "split": "test", "n": 4},
    }
    shots = [{"k": 2, "select": "random", "shown_labels": "flipped", "order": "reversed"}]
    table = render(run(write(tmp_path, tasks=[task], grid={"shots": shots}), tmp_path / "runs"))
    assert max(map(len, table.splitlines())) <= 80
    assert re.search(r"^layout .* n$", table, re.M) and re.search(r"^f1 ", table, re.M)
    assert re.search(r"flipped", table)
