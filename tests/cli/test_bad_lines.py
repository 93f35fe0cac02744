"""Command lines that are wrong: each ends in one line that names what was wrong, and no traceback.

The lines stand in one run of all verbs on one folder, so that hundreds of them take seconds.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from icl.core.safe_text import is_clean
from tests.cli.test_cli import call
from tests.table_experiment import write

LONG = "x" * 4000
HUGE = 10**400
Line = tuple[list[str], str]
"""Words of a command, and what its error must name."""

VALUES: list[tuple[str, list[Any]]] = [
    ("name", [5, "", "../x", "a b", LONG + "/", ["a"], True, "\x1b[31m"]),
    ("base", [5, ["a"], {"a": 1}, True]),
    ("about", [5, None, ["a"]]),
    ("models", [None, 5, "t", [], {}, ["t"], {"t": 5}, {"t": None}, {"t": []}]),
    ("models.t.engine", [5, None, "tabel", "", [], ["table"], {"a": 1}, True, LONG]),
    ("models.t.answers", [[1], 5, "x", None, {"a": 5}, {"a": [1]}, {"a": {"b": "c"}}, True]),
    ("models.t.window", ["x", 1.5, None, [], [1], {}, True, HUGE]),
    ("models.t.default", ["hsah", 5, [], {}, True]),
    ("models.t.nope", [1]),
    ("data", [5, [], "x", ["rows"]]),
    ("data.rows", [5, None, "x", []]),
    ("data.rows.format", [5, None, "jsonk", "", [], LONG]),
    ("data.rows.path", [5, None, "none.jsonl", "", ".", LONG, "\0", "x/" * 2000, "{"]),
    ("data.rows.answer", [5, "none", ["intent"], {}, LONG]),
    ("data.rows.id", [5, "none", [], LONG]),
    ("data.rows.fields", [5, "x", [], {"a": 5}, {"utt": "none"}]),
    ("data.rows.gold", [5, "x", [5], {}]),
    ("data.rows.encoding", [5, None, "utf-9", "\0", [], LONG]),
    ("data.rows.columns", [5, "x", [5], ["a", "a"]]),
    ("data.rows.cite", [5, [], "none.bib", LONG]),
    ("tasks", [None, 5, "x", [], {}, [5], [None]]),
    ("tasks.0.task", [5, None, "intend", "", [], LONG]),
    (
        "tasks.0.prompt",
        [
            5,
            None,
            "none.j2",
            "intent/plian",
            "",
            [],
            [5],
            LONG,
            LONG + ".j2",
            "x/" * 2000 + ".j2",
            ".",
            "/",
            "\0.j2",
        ],
    ),
    ("tasks.0.rows", [5, None, "x", [], {}]),
    ("tasks.0.rows.data", [5, None, "none", [], LONG]),
    ("tasks.0.rows.split", [5, "none", [], LONG]),
    ("tasks.0.rows.n", [0, -1, 1.5, "x", [], True, HUGE]),
    ("tasks.0.rows.seed", ["x", 1.5, None, [], HUGE]),
    ("tasks.0.rows.lines", [5, "x", [1], [1, 2, 3], [2, "x"], [0, 0], [9, 2]]),
    ("tasks.0.rows.locale", [5, [], [5], {}]),
    ("tasks.0.rows.pair", [5, "x", {"from": "en"}, {"from": 5, "to": "de"}]),
    ("tasks.0.pool", [5, "x", [], {"data": "none"}, {"parallel": "x"}, {"without": 5}]),
    ("tasks.0.method", [5, "rnak", [], True]),
    ("tasks.0.parser", [5, "lable", [], LONG]),
    (
        "tasks.0.metrics",
        [
            5,
            "accuracy",
            {},
            [5],
            [None],
            ["acuracy"],
            [{"metric": 5}],
            [{"command": 5}],
            [{"metric": "chrf", "beta": "x"}],
            [{"metric": "bleu", "tokenize": 5}],
            [{"judge": 5}],
            [{"judge": {"model": {"engine": "table"}, "prompt": "intent.j2"}}],
            [["accuracy"]],
            [{"metric": "chrf", "name": ""}],
            [{"metric": "chrf", "beta": []}],
        ],
    ),
    (
        "tasks.0.calibrate",
        [
            5,
            "none",
            [5],
            ["pmj"],
            [{"calibrator": "pmi", "fields": 5}],
            [{"calibrator": 5}],
            [{"calibrator": "vote_mix", "weight": "x"}],
            [{"calibrator": "vote_mix", "n": "x"}],
            [{}],
            [{"calibrator": "batch", "space": "x"}],
        ],
    ),
    ("tasks.0.choice_end", [5, "alwyas", None]),
    ("tasks.0.prompt_language", [5, "xx-none", [], [5], LONG]),
    ("tasks.0.label_language", [5, "xx-none", [], LONG]),
    ("tasks.0.layouts", [0, -1, "g1", [5], 10**15, HUGE, LONG, True]),
    ("tasks.1.sampling", [5, "x", []]),
    ("tasks.1.sampling.max_tokens", [0, -1, "x", 1.5, HUGE, True]),
    ("tasks.1.sampling.temperature", [float("inf"), float("nan"), -1, "x", [], HUGE]),
    ("tasks.1.sampling.top_p", [0, 2, "x", float("nan")]),
    ("tasks.1.sampling.n", [0, 2, "x", HUGE]),
    ("tasks.1.sampling.thinking_tokens", [-1, "x"]),
    (
        "grid",
        [
            5,
            "x",
            [],
            {"shotz": [0]},
            {"shots": 0},
            {"shots": []},
            {"model": [5]},
            {"shots": ["x"]},
            {"shots": [-1]},
            {"shots": [None]},
            {"shots": [[1]]},
            {"shots": [{"k": "x"}]},
            {"shots": [{"k": 2, "select": "bm52"}]},
            {"shots": [{"k": 2, "select": 5}]},
            {"shots": [{"k": 2, "order": "up"}]},
            {"shots": [{"k": 2, "select": "bm25", "k1": "x"}]},
            {"shots": [HUGE]},
            {"shots": [{"k": 2, "select": "bm25", "n": [1]}]},
            {"shots": [float("inf")]},
            {"shots": [{"k": 2, "select": "mmr", "lambda": "x"}]},
            {"width": ["x"]},
            {"shots": [{"file": "none.jsonl"}]},
            {"shots": [{"file": LONG}]},
            {"shots": [{"k": 2, "seeds": "x"}]},
            {"prompt": [5]},
            {"locale": [5]},
        ],
    ),
    ("compare", [5, "x", {}, {"by": "none"}, {"by": 5}, {"by": "shots", "baseline": "none"}]),
    ("plugins", [5, "x", [5], ["no_module_of_this_name"], ["../x"], [LONG], [""]]),
    ("batch_size", [0, -1, "x", 1.5, HUGE]),
    ("nope", [1]),
]
"""Place in the experiment file -> what must not stand there."""

TEXTS = {
    "deep": "[" * 5000,
    "deeper": "{a: " * 5000,
    "deep_block": "\n".join(" " * number + "a:" for number in range(300)),
    "empty": "",
    "list": "- 1\n",
    "scalar": "5",
    "tab": "a:\n\t- 1",
    "alias": "a: &x [1]\nb: *x",
    "twice": "name: a\nname: b",
    "int": "name: !!int x",
    "float": "name: !!float x",
    "digits": "batch_size: " + "9" * 5000,
    "tag": "name: !!python/object:os.system x",
    "binary": "name: !!binary x",
    "set": "a: !!set {1}",
    "map_key": "{[1]: 2}",
    "mixed": "models: {1: {}, a: {}}",
    "null_key": "models: {~: {}}",
    "brace": "{",
    "colon": "a: b: c",
    "percent": "%",
    "at": "@",
    "inf": "batch_size: .inf",
    "date": "name: 2001-01-01",
    "merge": "<<: 5",
    "control": "a: \x07",
}
"""What is no experiment."""
HEADS = {
    "deep": "labels: " + "[" * 3000,
    "stop": "stop: 5",
    "task": "task: clasify",
    "key": "laybels: x",
    "list": "- 1",
    "int": "stop: !!int x",
    "labels": "task: classify\nlabels: 5",
    "open": "a: {",
    "fallback": "fallback: xx-none",
    "inf": "separator: .inf",
    "no": "task: classify\nlabels: [no]",
}
"""What is no front matter of a template."""
BODIES = [
    "",
    "x",
    "a ||| b ||| c",
    "{{ x ||| {{ target }}",
    "{{ nope }}||| {{ label }}",
    "[[nope]]\nx",
    "{{ utt }}|||",
    "{{ utt | nope }}||| {{ label }}",
    "{% for %}||| {{ label }}",
    "{{ label }}||| {{ label }}",
    "{{ utt }}||| {{ label() }}",
    "{{ " + "(" * 3000 + "}}||| x",
    "{{ utt.a.b }}||| {{ label }}",
    "{{ 1 / 0 }}||| {{ label }}",
]
NAMES = ["none", "", ".", "/", LONG, "a/" * 2000, "none\x1b[31m", "#"]
"""What no file and no run is called."""


def put(node: dict[str, Any], place: str, value: object) -> dict[str, Any]:
    made: Any = copy.deepcopy(node)
    inner, keys = made, place.split(".")
    for key in keys[:-1]:
        inner = inner[int(key)] if key.isdigit() else inner[key]
    inner[keys[-1]] = value
    return dict(made)


def file_lines(folder: Path) -> Iterator[Line]:
    """Experiments, templates and data that are wrong, each with a verb that reads it."""
    good = {**json.loads((folder / "small.yaml").read_text()), "name": "other"}
    verbs = (["run"], ["show-prompt"], ["run", "--dry-run"], ["try", "--rows", "1"])
    number = 0
    for place, values in VALUES:
        for value in values[:7]:
            file = folder / f"v{number}.yaml"
            # JSON is YAML but for these words.
            text = json.dumps(put(good, place, value))
            file.write_text(text.replace("Infinity", ".inf").replace("NaN", ".nan"))
            verb = verbs[number % 2]
            if place.startswith("tasks.1") or place == "compare":
                verb = verbs[2]
            yield [verb[0], file.name, *verb[1:]], ""
            number += 1
    for name, text in TEXTS.items():
        (folder / f"t-{name}.yaml").write_text(text)
        yield [*verbs[number % 4][:1], f"t-{name}.yaml", *verbs[number % 4][1:]], f"t-{name}.yaml"
        number += 1
    (folder / "utf16.yaml").write_bytes("name: x".encode("utf-16"))
    yield ["run", "utf16.yaml"], "utf16.yaml"
    templates = {f"h-{name}.j2": f"---\n{head}\n---\nx||| y" for name, head in HEADS.items()}
    head = "---\ntask: classify\nlabels: [alarm_set, play_music, weather_query]\n---\n"
    templates |= {f"b-{place}.j2": head + body for place, body in enumerate(BODIES)}
    for name, text in templates.items():
        (folder / name).write_text(text)
        (folder / f"{name}.yaml").write_text(json.dumps(put(good, "tasks.0.prompt", name)))
        yield ["show-prompt", f"{name}.yaml"], name


def verb_lines() -> Iterator[Line]:
    """Words behind each verb that mean nothing there."""
    for name in NAMES:
        shown = name.strip("\x1b") if len(name) < 100 else name[:50]
        for words in (
            ["run", name],
            ["run", f"{name}.yaml"],
            ["try", name],
            ["lint", name],
            ["show-prompt", name],
            ["show", f"{name}#1/x"],
            ["score", name],
            ["compare", name],
            ["compare", "small", name],
            ["report", name],
            ["export", f"{name}#1"],
            ["feedback", f"{name}.jsonl"],
            ["list", name],
            ["schema", name],
        ):
            yield words, shown if len(shown) > 2 and shown.isascii() and "\x1b" not in name else ""
    for name in (
        "",
        ".",
        "..",
        "/",
        "a b",
        "x" * 4000,
        "small.yaml",
        "-x",
        "a/" * 2000,
        "rows.jsonl",
    ):
        yield ["init", "--", name], ""
    yield ["init", "n", "--task", "intend"], "intend"
    yield ["init", "n", "--task", ""], "''"
    for verb in (
        "run",
        "try",
        "lint",
        "show-prompt",
        "show",
        "score",
        "compare",
        "report",
        "export",
        "init",
        "search",
        "list",
    ):
        yield [verb], verb
        yield [verb, "small", "--nope"], "--nope"
        yield [verb, "a", "b", "c", "--out"], "--out"
    for words in (
        ["show", "sm#²/t1"],
        ["show", "small#²/r1"],
        ["show", "small#"],
        ["show", "small", "--html"],
        ["show", "small#1/r9", "--details"],
        ["show", "small#9/r1"],
        ["show", "small#1/none"],
        ["show", "small#1/content_free/x"],
        ["show", "small#1/pool/"],
        ["show", "small#٣/r1"],
        ["show", f"small#{LONG}/r1"],
        ["show", f"small#1/{LONG}"],
        ["show", "small#-1/r1"],
        ["show", "small#0/r1"],
        ["show", "small#1.5/r1"],
        ["show", "small#1" + "0" * 5000 + "/r1"],
        ["export", "small#²"],
        ["export", "small#none"],
        ["export", "small"],
        ["export", "small#1", "--as", "pyton"],
        ["export", "small#1", "-o", "/"],
        ["export", "small#1", "-o", "small.yaml/x"],
        ["export", "small#1", "-o", LONG],
        ["export", "small#1", "--shots-of", "none"],
        ["compare", "small#²"],
        ["compare", "small", "--by", "none"],
        ["compare", "small", "--by", ""],
        ["compare", "small", "--by", "shots", "--baseline", "none"],
        ["compare", "small", "--by", "shots", "--metric", "nope"],
        ["compare", "small", "small"],
        ["compare", "small#1", "small#1"],
        ["compare", "small#1", "small#9"],
        ["compare", "small", "--ensemble", "none"],
        ["compare", "small", "small", "--by", "shots"],
        ["compare", "small"],
        ["score", "small", "--metric", "acuracy"],
        ["score", "small", "--metric", ""],
        ["score", "small", "--metric", "{command: 5}"],
        ["score", "small", "--metric", "{"],
        ["score", "small", "--metric", "{metric: chrf, beta: x}"],
        ["score", "small", "--metric", "{metric: .inf}"],
        ["score", "small", "--metric", "{metric: chrf, beta: .inf}"],
        ["score", "small", "--metric", "{[1]: 2}"],
        ["score", "small", "--metric", "{1, 2}"],
        ["score", "small", "--metric", "{" * 5000],
        ["score", "small", "--metric", "{a: " * 3000 + "1" + "}" * 3000],
        ["score", "small", "--metric", "{judge: 5}"],
        ["score", "small", "--metric", "{judge: {model: {engine: table}}}"],
        ["score", "small", "--metric", "{command: 'false {source}', name: x}"],
        ["score", "small", "--calibrator", "{calibrator: pmi, fields: 5}"],
        ["score", "small", "--calibrator", "{calibrator: [1]}"],
        ["score", "small", "--calibrator", "{calibrator: vote_mix, weight: x}"],
        ["score", "small", "--calibrator", "{calibrator: vote_mix, n: .nan}"],
        ["score", "small", "--calibrator", "{"],
        ["score", "small", "--calibrator", ""],
        ["score", "small", "--calibrator", "pmj"],
        ["score", "small", "--parser", "lable"],
        ["score", "small", "--parser", ""],
        ["report", "small", "-o", "/"],
        ["report", "small", "-o", ".", "--format", "md"],
        ["report", "small", "-o", LONG, "--format", "md"],
        ["report", "small", "-o", "/proc/x", "--format", "csv"],
        ["report", "small", "--format", "pdf"],
        ["report", "small", "--format", ""],
        ["report", "small", "--rows", "none"],
        ["report", "small", "--rows", ""],
        ["report", "small", "--cols", "shots"],
        ["report", "small", "--rows", "shots", "--cols", "none"],
        ["report", "small", "--metric", "nope", "--format", "md"],
        ["report", "small", "--metric", "accuracy"],
        ["report", "small", "--format", "csv", "--appendix"],
        ["try", "small.yaml", "--rows", "0"],
        ["try", "small.yaml", "--rows", "x"],
        ["try", "small.yaml", "--rows", "-1"],
        ["try", "small.yaml", "--condition", "0"],
        ["try", "small.yaml", "--condition", "²"],
        ["try", "small.yaml", "--condition", "99"],
        ["try", "small.yaml", "--model", "x"],
        ["try", "intent.j2", "--model", "./none"],
        ["try", "intent.j2", "--model", "5"],
        ["try", "intent.j2", "--model", "five"],
        ["try", "intent.j2", "--model", LONG],
        ["try", "intent.j2", "--model", ""],
        ["try", "intent.j2", "--model", "none.gguf"],
        ["try", "intent.j2", "--model", "pypi:"],
        ["try", "intent.j2", "--model", "."],
        ["show-prompt", "small.yaml", "--row", "0"],
        ["show-prompt", "small.yaml", "--row", "99"],
        ["show-prompt", "small.yaml", "--row", "x"],
        ["show-prompt", "small.yaml", "--condition", "99"],
        ["list", "data", "none.yaml"],
        ["list", "tasks", "x.yaml"],
        ["list", "data", LONG],
        ["feedback", "rows.jsonl"],
        ["feedback", "/"],
        ["feedback", "small.yaml"],
        ["feedback", LONG],
        ["app", "none.yaml"],
        ["app", "--port", "0"],
        ["app", "--port", "x"],
        ["app", "--port", "99999"],
        ["run", "small.yaml", "--out", "small.yaml"],
        ["run", "small.yaml", "--out", LONG],
        ["run", "small.yaml", "--out", "/proc/x"],
        ["run", "small.yaml", "--out", "/dev/null"],
        ["search", "small.yaml", "--dry-run"],
        ["run", "small.yaml", "--again"],
        ["run", "small.yaml", "--batch-size", "0"],
        ["run", "small.yaml", "--stop-after", "-1"],
        ["run", "small.yaml", "--stop-after", "soon"],
        ["models", "none.yaml"],
        ["models", "t-deep.yaml"],
        ["score", "broken"],
        ["show", "broken#1/x"],
        ["report", "broken"],
    ):
        yield words, ""


def test_every_wrong_line_ends_in_one_line_that_names_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    file = write(tmp_path)
    assert call(capsys, monkeypatch, "run", file)[0] == 0
    (tmp_path / "five").mkdir()
    (tmp_path / "five" / "config.json").write_text("5")
    (tmp_path / "runs" / "broken").mkdir()
    (tmp_path / "runs" / "broken" / "manifest.json").write_text("[" * 5000)
    lines = [*file_lines(tmp_path), *verb_lines()]
    assert len(lines) >= 300
    wrong = []
    for words, named in lines:
        code, out, err = call(capsys, monkeypatch, *words)
        shown = " ".join(word[:60] for word in words)
        told = err.splitlines()
        if words[0] == "lint" and code == 1 and out:
            continue  # it prints what it found, a line for each
        fine = code == 2 and len(told) == 1 and told[0].startswith("icl: ") and len(err) < 2500
        if not fine or named not in err or not is_clean(err) or "bug in icl" in err:
            wrong.append(
                f"{shown}: {code} {(told or ['nothing was said'])[-2:]} {len(told)} {len(err)}"
            )
    assert not wrong, "\n".join([f"{len(wrong)} of {len(lines)} lines", *wrong])
