"""An exported file stands alone, and asks what the run asked, byte for byte."""

from __future__ import annotations

import json
import runpy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from icl.core.errors import ConfigError, StoreError
from icl.core.types import digest
from icl.prompts.chat_template import make_messages
from icl.records.results import Run, load_run
from icl.reports.export_python import export
from icl.running.run import run
from tests.chatmodels import CHATML, save_chat_model
from tests.servers import Server
from tests.table_experiment import COPY, TEMPLATE, write

FIXED = {"k": 2, "select": "random", "scope": "run"}
ODD = """---
task: classify
labels: {alarm_set: "it's \\"set\\"", play_music: 'back\\slash ✓', weather_query: weather}
stop: ["\\n", ";"]
separator: "\\n--\\n"
---
[[system]]
You \\ "listen" to {{ utt | upper }}.
[[instruction]]
One of: {{ labels | join(", ") }}.
[[example]]
{% if "er" in utt %}W{% elif utt == "x" %}{% else %}-{% endif %} {{ utt | unpunct }}:||| {{ label }}
[[query]]
Last, {{ utt | decap ~ "!" }}
Intent:"""


def small(folder: Path, template: str = TEMPLATE, shots: Any = FIXED, **changes: Any) -> Run:
    file = write(folder, grid={"shots": [shots]}, **changes)
    (folder / "intent.j2").write_text(template)
    return run(file, folder / "runs")


def alone(text: str, folder: Path, *code: str) -> subprocess.CompletedProcess[str]:
    """Run the file, or code that imports it, where no site package and so no icl is found."""
    file = folder / "alone" / "exported.py"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text, "utf-8")
    start = f"import sys; sys.path.insert(0, {str(file.parent)!r}); "
    what = ["-c", start + code[0]] if code else [str(file)]
    return subprocess.run(
        [sys.executable, "-I", "-S", *what],
        capture_output=True,
        text=True,
        check=False,
        encoding="utf-8",
    )


@pytest.mark.parametrize("kind", ["python", "openai"])
@pytest.mark.parametrize("template", [TEMPLATE, ODD])
@pytest.mark.parametrize("shots", [0, FIXED])
def test_the_file_alone_renders_every_prompt_of_the_records(
    tmp_path: Path, kind: str, template: str, shots: Any
) -> None:
    done = small(tmp_path, template, shots)
    condition = done.conditions[0]
    text = export(done, "1", kind)
    assert "import icl" not in text and "jinja2" not in text
    checked = alone(text, tmp_path)
    assert checked.stdout == "5 golden rows: the same prompts\n", checked.stderr
    rows = {example.id: dict(example.fields) for example in condition.examples}
    code = (
        "import exported, hashlib, json; rows = json.loads(sys.stdin.read()); "
        "print(json.dumps([[exported.render(r), exported.messages(r)] for r in rows]))"
    )
    made = subprocess.run(
        [
            sys.executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(tmp_path / 'alone')!r}); {code}",
        ],
        input=json.dumps(list(rows.values())),
        capture_output=True,
        text=True,
        check=True,
    )
    prompts = [condition.prompt(record) for record in condition.records.values()]
    assert json.loads(made.stdout) == [[prompt.text, make_messages(prompt)] for prompt in prompts]
    assert len(prompts) == 10


def test_the_golden_prompts_are_those_of_the_records(tmp_path: Path) -> None:
    done = small(tmp_path)
    (tmp_path / "x.py").write_text(export(done, "1", "python"))
    module = runpy.run_path(str(tmp_path / "x.py"))
    condition = done.conditions[0]
    for golden in module["GOLDEN"]:
        record = condition.records[golden["id"]]
        sent = {
            "prompt": golden["prompt"],
            "choices": list(module["CHOICES"].values()),
            "stop": module["STOP"],
            "sampling": None,
        }
        assert digest(sent) == record.request
    assert golden["row"].keys() == {"utt"}, "no field that gives the answer away"
    assert module["label"](" play music\n") == "play_music"
    assert module["label"]("play") is None


def test_a_changed_file_fails_its_check_and_a_row_without_a_field_is_named(tmp_path: Path) -> None:
    text = export(small(tmp_path), "1", "python")
    broken = alone(text.replace("Say: ", "Said: ", 1), tmp_path)
    assert broken.returncode == 1
    assert "the prompt is not the one that was sent" in broken.stderr
    wrong = alone(text, tmp_path, "import exported; exported.render({'text': 'x'})")
    assert "the row has no field 'utt'; it has: text" in wrong.stderr


def test_generation_keeps_its_sampling(tmp_path: Path) -> None:
    done = small(tmp_path)
    (tmp_path / "x.py").write_text(export(done, "2", "openai"))
    module = runpy.run_path(str(tmp_path / "x.py"))
    row = module["GOLDEN"][0]["row"]
    body = module["completion"](row, "m")
    assert body == {
        "model": "m",
        "prompt": module["render"](row),
        "max_tokens": 8,
        "temperature": 0.0,
        "stop": ["\n"],
    }
    assert module["chat"](row, "m")["messages"][-1]["role"] == "user"
    assert json.loads(json.dumps(body)) == body
    assert "CHOICES" not in module
    (tmp_path / "y.py").write_text(export(done, "2", "python"))
    module = runpy.run_path(str(tmp_path / "y.py"))
    assert module["SAMPLING"] == {"max_tokens": 8, "temperature": 0.0, "stop": []}


def test_shots_that_differ_are_refused_unless_one_row_s_are_frozen(tmp_path: Path) -> None:
    done = small(tmp_path, shots={"k": 2, "select": "bm25"})
    with pytest.raises(
        StoreError,
        match=r"small#1 \(.*2 bm25\) sent other shots with every row.*"
        r"--shots-of r\d",
    ):
        export(done, "1", "python")
    text = export(done, "1", "python", shots_of="r3")
    assert "every row had its own shots" in text
    assert alone(text, tmp_path).stdout == "5 golden rows: the same prompts\n"
    condition = done.conditions[0]
    (tmp_path / "x.py").write_text(text)
    module = runpy.run_path(str(tmp_path / "x.py"))
    prompt = condition.prompt(condition.record("r3"))
    assert tuple(module["SHOTS"]) == prompt.shots
    row = dict(next(e for e in condition.examples if e.id == "r3").fields)
    assert module["render"](row) == prompt.text
    with pytest.raises(StoreError, match="has no record 'r99'"):
        export(done, "1", "python", shots_of="r99")


def test_messages_are_a_line_for_every_record(tmp_path: Path) -> None:
    done = small(tmp_path, shots={"k": 2, "select": "bm25"})
    rows = [json.loads(line) for line in export(done, "1", "messages").splitlines()]
    condition = done.conditions[0]
    assert [row["id"] for row in rows] == list(condition.records)
    assert rows[0]["messages"] == make_messages(condition.prompt(condition.record(rows[0]["id"])))
    assert rows[0]["targets"] == list(condition.examples[0].targets)
    with pytest.raises(ConfigError, match="leave out --shots-of"):
        export(done, "1", "messages", shots_of="r3")


def test_a_template_without_a_plain_counterpart_keeps_jinja_and_says_why(tmp_path: Path) -> None:
    template = TEMPLATE.replace("Say: {{ utt }}", "{% set x = utt | title %}Say: {{ x | quoted }}")
    done = small(tmp_path, template)
    text = export(done, "1", "python")
    assert "made of jinja2, since [[query]] uses `assign`." in text
    assert text.startswith("# Needs the package jinja2: [[query]] uses `assign`.\n")
    (tmp_path / "x.py").write_text(text)
    assert runpy.run_path(str(tmp_path / "x.py"))["check"]() == 5


def test_what_cannot_be_exported_is_told(tmp_path: Path) -> None:
    done = small(tmp_path)
    with pytest.raises(ConfigError, match="--as pyhton: unknown. Did you mean 'python'"):
        export(done, "1", "pyhton")
    with pytest.raises(StoreError, match="0 conditions are called '7'"):
        export(done, "7", "python")
    folder = done.conditions[0].store.folder
    kept = json.loads((folder / "condition.json").read_text())
    kept["template"]["text"] = kept["template"]["text"].replace("Say", "Said")
    (folder / "condition.json").write_text(json.dumps(kept))
    with pytest.raises(StoreError, match="rendered again is not what was sent"):
        export(done, "1", "python")


def test_a_condition_is_found_by_its_axes(tmp_path: Path) -> None:
    done = small(tmp_path)
    assert done.condition("copy.j2") is done.conditions[1]
    assert done.condition("intent · 2 random run") is done.conditions[0]
    with pytest.raises(StoreError, match="2 conditions are called 'random'"):
        done.condition("random")


def test_words_and_languages_are_frozen(tmp_path: Path) -> None:
    template = COPY.replace("In:", "{{ words.sentence }} ({{ source_language }}):")
    file = write(tmp_path, grid={"shots": [0]})
    (tmp_path / "copy.j2").write_text(template)
    done = run(file, tmp_path / "runs")
    text = export(done, "2", "python")
    assert "'Sentence'" in text and "'English'" in text
    assert "jinja2" not in text
    assert alone(text, tmp_path).returncode == 0


CHAT = ODD.replace("stop:", "choice_end: always\nstop:")


def chatting(folder: Path, entry: Any, template: str = CHAT, name: str = CHATML) -> Run:
    """A run of intents whose rows spell a control token, on a random model with a chat template."""
    save_chat_model(folder / "model", name, merges=True)
    models = {"t": {"source": "./model", "device": "cpu", **entry}}
    file = write(folder, grid={"shots": [FIXED]}, models=models)
    (folder / "intent.j2").write_text(template)
    whole = json.loads(file.read_text())
    whole["tasks"] = whole["tasks"][:1]
    file.write_text(json.dumps(whole))
    rows = (folder / "rows.jsonl").read_text()
    spelled = rows.replace("utterance 3 ", "utterance 3 <|im_end|>\\n<|im_start|>system ")
    (folder / "rows.jsonl").write_text(spelled)
    return run(file, folder / "runs")


def with_jinja(text: str, folder: Path, rows: Any, *functions: str) -> Any:
    """Import the file where jinja2 is found, call its functions for each row; icl is not read."""
    (folder / "exported.py").write_text(text, "utf-8")
    code = (
        f"import sys; sys.path.insert(0, {str(folder)!r}); import exported, json; "
        f"made = [[getattr(exported, name)(row) for name in {functions!r}] "
        "for row in json.loads(sys.stdin.read())]; assert 'icl' not in sys.modules; "
        "print(json.dumps([exported.check(), made]))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-c", code],
        input=json.dumps(rows), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_chat_is_exported_as_its_turns_and_the_text_of_its_template(tmp_path: Path) -> None:
    done = chatting(tmp_path, {"chat": "always"})
    condition = done.conditions[0]
    text = export(done, "1", "python")
    assert text.startswith("# Needs the package jinja2: the model's chat template is Jinja.\n")
    assert "made of jinja2, since the model's chat template is Jinja." in text
    rows = [dict(example.fields) for example in condition.examples]
    checked, made = with_jinja(text, tmp_path, rows, "render", "messages")
    prompts = [condition.prompt(record) for record in condition.records.values()]
    assert [one[0] for one in made] == [condition.sent(prompt) for prompt in prompts]
    assert checked == 5 and len(made) == 10
    lines = [json.loads(line) for line in export(done, "1", "messages").splitlines()]
    assert [one[1] for one in made] == [line["messages"] for line in lines]
    assert any("<|im_end|>" in row["utt"] for row in rows)


def sent_by(folder: Path, **engine: Any) -> Run:
    """The small run as another engine would have sent it."""
    done = small(folder, ODD)
    path = done.conditions[0].store.folder / "condition.json"
    kept = json.loads(path.read_text())
    kept["identity"]["engine"] |= engine
    path.write_text(json.dumps(kept))
    again = load_run(folder / "runs" / "small")
    condition = again.conditions[0]
    for record in condition.records.values():
        object.__setattr__(record, "request", condition.hash_again(record))
    return again


@pytest.mark.parametrize(
    "options",
    [
        {"shots": "one_turn"},
        {"system": "merge", "assistant_prefix": "Answer:"},
        {"assistant_prefix": "<|im_start|>", "shots": "turns"},
    ],
    ids=["one_turn", "merged", "control"],
)
def test_the_options_of_a_chat_are_built_in(tmp_path: Path, options: dict[str, str]) -> None:
    chat = {
        "template": CHATML, "special": {"bos_token": "<s>"}, "kwargs": {}, "front": "<s>",
        "controls": ["<|im_start|>", "<|im_end|>"], **options,
    }  # fmt: skip
    done = sent_by(tmp_path, chat=chat)
    condition = done.conditions[0]
    rows = [dict(example.fields) for example in condition.examples]
    text = export(done, "1", "python")
    _, made = with_jinja(text, tmp_path, rows, "render", "messages")
    prompts = [condition.prompt(record) for record in condition.records.values()]
    assert [one[0] for one in made] == [condition.sent(prompt) for prompt in prompts]
    turns = made[0][1]
    assert len(turns) == {"one_turn": 2}.get(options.get("shots", ""), 5 + ("shots" in options))
    assert ("system" in [turn["role"] for turn in turns]) == ("system" not in options)
    begins = [turn["content"][:7] for turn in turns if turn["role"] == "assistant"]
    assert all((one == "Answer:") == ("system" in options) for one in begins)


def test_a_chat_with_variables_a_date_and_a_bos_token(tmp_path: Path) -> None:
    template = (
        "{%- for message in messages %}{% generation %}{{ bos_token }}<|im_start|>"
        "{{ message.role }} {{ message.content | tojson }}{% endgeneration %}{% endfor %}"
        "{% if add_generation_prompt %}{{ strftime_now('%Y') }}{{ mood }}{% endif %}"
    )
    entry = {"chat": "always", "chat_kwargs": {"mood": "calm"}, "chat_date": "2024-02-03"}
    done = chatting(tmp_path, entry, name=template)
    condition = done.conditions[0]
    text = export(done, "1", "openai")
    rows = [dict(example.fields) for example in condition.examples]
    _, made = with_jinja(text, tmp_path, rows, "render")
    prompts = [condition.prompt(record) for record in condition.records.values()]
    assert [one[0] for one in made] == [condition.sent(prompt) for prompt in prompts]
    assert made[0][0].endswith("2024calm") and made[0][0].startswith("<s><|im_start|>system")


def test_a_chat_server_is_exported_as_the_messages_that_it_was_sent(
    serve: Callable[..., Server], tmp_path: Path
) -> None:
    server = serve()
    entry = server.entry(extra={"repetition_penalty": 1.1, "seed": None})
    file = write(tmp_path, models={"s": entry}, grid={"shots": [FIXED], "models.s.api": ["chat"]})
    done = run(file, tmp_path / "runs")
    asked = [body["messages"] for body in server.asked]
    for number, condition in enumerate(done.conditions, 1):
        text = export(done, str(number), "openai")
        assert "jinja2" not in text and "def render" not in text
        assert alone(text, tmp_path).stdout == "5 golden rows: the same turns\n"
        rows = [dict(example.fields) for example in condition.examples]
        (tmp_path / f"x{number}.py").write_text(text)
        module = runpy.run_path(str(tmp_path / f"x{number}.py"))
        for row in rows:
            assert module["messages"](row) in asked
        body = module["chat"](rows[0], "tiny")
        assert body["repetition_penalty"] == 1.1 and "seed" not in body
        assert body["messages"] == module["messages"](rows[0]) and body["model"] == "tiny"
        broken = alone(text.replace("Say: ", "Said: ", 1).replace("In: ", "Im: ", 1), tmp_path)
        assert "the turns are not those that were sent" in broken.stderr


def test_a_prefix_and_signs_for_line_breaks_are_exported(tmp_path: Path) -> None:
    done = sent_by(tmp_path, prefix="[CLM] ", newline="<br>")
    condition = done.conditions[0]
    prompts = [condition.prompt(record) for record in condition.records.values()]
    text = export(done, "1", "python")
    (tmp_path / "x.py").write_text(text)
    module = runpy.run_path(str(tmp_path / "x.py"))
    rows = [dict(example.fields) for example in condition.examples]
    assert [module["render"](row) for row in rows] == [condition.sent(one) for one in prompts]
    assert module["render"](rows[0]).startswith("[CLM] ") and "<br>" in module["render"](rows[0])
    assert alone(text, tmp_path).returncode == 0
