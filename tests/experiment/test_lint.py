"""``icl lint``: every fault that can be told without a model, with file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from icl.core.errors import ConfigError, IclError, TemplateError
from icl.experiment.lint import lint
from icl.prompts.template_file import list_templates
from tests.table_experiment import COPY, TEMPLATE, write

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", list_templates())
def test_every_shipped_template_is_clean(name: str) -> None:
    # Label words exist in fewer languages than words, which is said by `fallback`.
    assert [str(problem) for problem in lint(name)] == []


@pytest.mark.parametrize(
    "path", sorted((ROOT / "experiments").glob("*.yaml")), ids=lambda p: p.stem
)
def test_every_shipped_experiment_is_clean(path: Path) -> None:
    if "shared/data" in path.read_text() and not (ROOT / "../shared/data").is_dir():
        pytest.skip("the data set is not beside this checkout")
    assert [str(problem) for problem in lint(str(path))] == []


def faults(tmp_path: Path, text: str) -> list[tuple[int, str]]:
    file = tmp_path / "mine.j2"
    file.write_text(text, "utf-8")
    found = lint(str(file))
    assert all(problem.path == str(file) == problem.given for problem in found)
    return [(problem.line, problem.text) for problem in found]


CLEAN = TEMPLATE
LABELS = "{alarm_set: set alarm, play_music: play music, weather_query: weather}"


def test_braces_of_json_are_no_fault(tmp_path: Path) -> None:
    for line in (
        '{"a": {"t": {{ utt }}}}',
        "{% raw %}{{ }}{% endraw %} {{ utt }}",
        "{ {{ utt }} }",
    ):
        assert faults(tmp_path, CLEAN.replace("{{ utt }}", line)) == []


def test_the_tests_own_templates_are_clean(tmp_path: Path) -> None:
    assert faults(tmp_path, CLEAN) == []
    assert faults(tmp_path, COPY) == []


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        ("Intent:||| {{", "Intent: |||{{", 10, "a space before |||; write it after"),
        ("Intent:||| {{", "Intent:|||{{", 10, "no space separates the answer from the input"),
        ("intent.\n", "intent.\n\n", 8, "[[instruction]] ends in a blank line"),
        ("{{ label }}\n", "{{ label }} \n", 10, "white space at the end of the target"),
        ("{{ utt }}", "{ utt }}", 9, "`}}` stands alone, so it is sent as it is; a field has two"),
        ("{{ utt }}", "{{ utt }}}", 9, "`}` stands alone"),
        ("Say:", "Say %} {{ utt }}", 9, "`%}` stands alone"),
        ("Say:", "Say\u200b:", 9, "zero-width space (U+200B)"),
        ('stop: ["\\n"]', 'stop: [";"]', 4, r"no stop begins the separator '\n\n'"),
        ("||| {{ label }}", "||| {{ label }};\nend", 10, "the target holds the stop '\\n'"),
        (LABELS, "{a: good, b: Good, c: bad}", 3, "'a' and 'b' differ in case or space only"),
        (LABELS, "{a: good, b: good}", 3, "labels 'a' and 'b' give the same choice ' good'"),
        (LABELS, '{a: good, b: ""}', 3, "the choice for label 'b' is empty"),
        (LABELS, "[a]", 3, "ranking needs at least two labels"),
        (LABELS, '{a: "x\\ny", b: z}', 3, r"the choice ' x\ny' holds the stop '\n'"),
        (
            LABELS + "\nstop",
            "{a: set, b: set alarm}\nchoice_end: never\nstop",
            3,
            "the choice ' set' begins ' set alarm', which can then never",
        ),
        (
            LABELS,
            "{a: {en: x, de: y}, b: {en: z}, c: {en: w}}",
            3,
            "2 of 3 labels have no form in 'de': b, c; add them, or write `fallback: en`",
        ),
        ("{{ utt }}", "{{ label }}", 9, "the input reads 'label', which holds the answer"),
        ("{{ utt }}", "{% if utt %}", 9, "nexpected end"),
        ("task: classify", "tusk: classify", 2, "unknown front matter key 'tusk'. Did you mean"),
        ("task: classify", "task: clasify", 2, "task: 'clasify'. Did you mean 'classify'"),
        ("|||", "", 9, "[[example]] has 0 |||"),
        ("[[instruction]]", "[[intro]]", 6, "unknown section 'intro'"),
    ],
)
def test_faults_of_a_template(tmp_path: Path, old: str, new: str, line: int, message: str) -> None:
    assert old in CLEAN
    found = faults(tmp_path, CLEAN.replace(old, new))
    assert any(at == line and message in text for at, text in found), found


def test_a_fallback_makes_missing_forms_no_fault(tmp_path: Path) -> None:
    text = CLEAN.replace(LABELS, "{a: {en: x, de: y}, b: {en: z}}")
    assert faults(tmp_path, text.replace("stop:", "fallback: en\nstop:")) == []


def test_a_generating_template_needs_a_stop(tmp_path: Path) -> None:
    found = faults(tmp_path, COPY.replace('stop: ["\\n"]\n', ""))
    assert found == [(1, found[0][1])]
    assert "no `stop:`, so an answer ends only where the model ends it" in found[0][1]
    ((at, text),) = faults(tmp_path, COPY + "[[query]]\nIn: {{ source }}\nOut: ")
    assert at == 10
    assert "a space before the end of [[query]]" in text


def test_what_cannot_be_read_is_an_error_and_no_fault(tmp_path: Path) -> None:
    with pytest.raises(TemplateError, match="no template file"):
        lint(str(tmp_path / "none.j2"))
    with pytest.raises(ConfigError, match="no experiment file"):
        lint(str(tmp_path / "none.yaml"))
    for name in ("bad.j2", "bad.yaml"):
        (tmp_path / name).write_bytes(b"\xff\xfe\xfa")
        with pytest.raises(IclError, match="UTF-8"):
            lint(str(tmp_path / name))


def experiment_faults(file: Path) -> list[tuple[str, int, str]]:
    return [(Path(p.path).name, p.line, p.text) for p in lint(str(file))]


def test_a_clean_experiment(tmp_path: Path) -> None:
    assert experiment_faults(write(tmp_path)) == []


def task(**changes: object) -> list[dict[str, object]]:
    return [
        {
            "task": "intent",
            "prompt": "intent.j2",
            "rows": {"data": "rows", "split": "test"},
            "pool": {"split": "train"},
            **changes,
        }
    ]


@pytest.mark.parametrize(
    ("changes", "place", "message"),
    [
        ({"modles": {}}, ("small.yaml", "modles"), "unknown key 'modles'. Did you mean 'models'"),
        ({"tasks": task(promt="x")}, ("small.yaml", "promt"), "unknown key 'tasks.0.promt'"),
        ({"tasks": task(metrics=["acuracy"])}, ("small.yaml", "acuracy"), "unknown metric"),
        ({"tasks": task(pool=None)}, ("small.yaml", '"task": "intent"'), "but has no pool"),
        ({"tasks": task(prompt="none.j2")}, ("small.yaml", None), "no template file"),
        ({"tasks": task(rows={"data": "rowz"})}, ("small.yaml", "rowz"), "unknown data 'rowz'"),
        (
            {"tasks": task(rows={"data": "copy.j2"})},
            ("small.yaml", "copy.j2"),
            "that is a file, and a task names a data set. Declare it under `data:`, as in "
            "`data: {mine: {path: copy.j2}}`, then write `data: mine`",
        ),
        ({"tasks": task(prompt="copy.j2")}, ("small.yaml", "copy.j2"), "is of kind 'generate'"),
        (
            {"tasks": task(prompt="intent/plain", label_language="fi"), "grid": {}},
            ("plain.j2", None),
            "the label 'alarm_query' has no form in 'fi', only in",
        ),
        (
            {"models": {"t": {"engine": "table", "default": "hash", "window": 21}}},
            ("small.yaml", '"task": "intent"'),
            "10 of 10 prompts lose shots to fit",
        ),
        (
            {"models": {"t": {"engine": "table", "default": "hash", "window": 5}}},
            ("small.yaml", None),
            "tokens even without shots",
        ),
        (
            {"models": {"t": {"engine": "tabel"}}},
            ("small.yaml", "tabel"),
            "unknown engine 'tabel'. Did you mean 'table'",
        ),
        ({"plugins": ["no_such"]}, ("small.yaml", "no_such"), "cannot import 'no_such'"),
    ],
)
def test_faults_of_an_experiment(
    tmp_path: Path, changes: dict[str, object], place: tuple[str, str | None], message: str
) -> None:
    file = write(tmp_path, **changes)
    found = experiment_faults(file)
    name, mark = place
    line = 1
    if mark is not None:
        line = next(n for n, row in enumerate(file.read_text().split("\n"), 1) if mark in row)
    assert any(
        path == name and message in text and (mark is None or at == line)
        for path, at, text in found
    ), (line, found)


def test_faults_of_data_and_template_stand_at_their_own_lines(tmp_path: Path) -> None:
    file = write(tmp_path)
    template = tmp_path / "intent.j2"
    template.write_text(TEMPLATE.replace("{{ utt }}", "{{ uttt }}"))
    assert [(path, at) for path, at, _ in experiment_faults(file)] == [("intent.j2", 9)]
    template.write_text(TEMPLATE.replace("{{ utt }}", "{{ intent }}"))
    assert "'intent', which holds the answer" in experiment_faults(file)[0][2]
    template.write_text(TEMPLATE.replace("play_music: play music, ", ""))
    assert any("'play_music', which is not among the 2" in f[2] for f in experiment_faults(file))
    template.write_text(TEMPLATE.replace("Intent:||| {{", "Intent: |||{{"))
    places = {(path, at) for path, at, _ in experiment_faults(file)}
    assert places == {("small.yaml", 22), ("intent.j2", 10)}
    template.write_text(TEMPLATE)
    rows = tmp_path / "rows.jsonl"
    rows.write_text(rows.read_text().replace('"r3"', '"r3'))
    assert [(path, at) for path, at, _ in experiment_faults(file)] == [("rows.jsonl", 4)]


def test_rows_without_answers_and_answers_that_hold_a_stop(tmp_path: Path) -> None:
    file = write(tmp_path)
    rows = tmp_path / "rows.jsonl"
    lines = [json.loads(line) for line in rows.read_text().splitlines()]
    lines[2]["intent"] = None
    rows.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "copy.j2").write_text(COPY.replace('["\\n"]', '["\\n", "LINE 12"]'))
    found = experiment_faults(file)
    assert not any("no right answer" in text for _, _, text in found)  # it is left out
    assert any("hold the stop 'LINE 12', such as '12'" in text for _, _, text in found)
    rows.write_text("".join(json.dumps({**line, "intent": None}) + "\n" for line in lines))
    unlabelled = experiment_faults(file)
    assert any("have no right answer" in text for _, _, text in unlabelled)


def test_choices_are_compared_by_a_tokenizer_that_is_here(tmp_path: Path, tiny_model: Path) -> None:
    file = write(tmp_path, models={"m": {"source": str(tiny_model)}}, grid={"shots": [0]})
    assert experiment_faults(file) == []
    template = tmp_path / "intent.j2"
    # The tiny tokenizer has no token for a lone combining mark's neighbour alone, but NFC is kept
    # apart by bytes, so equal tokens need equal text: what joins with the prompt is found.
    template.write_text(TEMPLATE.replace("Intent:||| {{", "Inte|||n{{"))
    found = [text for _, _, text in experiment_faults(file)]
    assert any("the last token of the prompt joins with 3 of 3 choices" in text for text in found)


def test_a_model_that_is_not_here_is_not_fetched(tmp_path: Path) -> None:
    for source in ("org/never-heard-of", "pypi:no-such-package", "./nowhere", "x y"):
        assert experiment_faults(write(tmp_path, models={"m": {"source": source}})) == []


def test_many_rows_are_linted_with_bounded_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from icl.experiment.condition import Condition

    file = write(tmp_path, grid={"shots": [0]}, tasks=task(rows={"data": "rows"}, pool=None))
    rows = [{"id": str(n), "utt": "x" * (n % 97), "intent": "alarm_set"} for n in range(3000)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked: list[str] = []
    request = Condition.request
    monkeypatch.setattr(
        Condition, "request", lambda self, row: (asked.append(row.id), request(self, row))[1]
    )
    assert lint(str(file)) == []
    assert len(asked) <= 101
    assert "96" in asked, "the longest row is among them"
