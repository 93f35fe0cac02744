"""Every verb on data, names and errors that hold control characters: all are drawn as marks."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest

from icl.core.safe_text import clean, is_clean
from icl.records.feedback import Feedback, append
from icl.records.results import load_run
from tests.cli.test_cli import call
from tests.table_experiment import INTENTS, TEMPLATE, write

ICL = Path(__file__).parents[2] / "icl"
EVIL = (
    "\x1b[31mred\x1b[2J\x07\x08\r\x00\x7f"  # ANSI, bell, back space, carriage return, delete
    "\x9b1m\x85\x1b]0;title\x07\x9d8;;http://e.example\x9c"  # C1, and OSC in both spellings
    "\u202egnp\u2066\u2069\u200b\ufeff\u2028"  # override, isolate, no width, line separator
)
"""What a stranger's row, label or name may hold."""
IN_PATH = EVIL.replace("/", "")
FOLDER = "n" + IN_PATH.replace("\0", "")


def hostile_experiment(folder: Path) -> Path:
    """Rows, ids, labels, fields, targets and names of parts with all of them."""
    file = write(folder)
    spec = json.loads(file.read_text())
    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    for row in rows:
        row["id"] += IN_PATH
        row["utt"] += EVIL
        row["intent"] += EVIL
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    lines = [f"line {number} {EVIL.replace(chr(13), '')}" for number in range(20)]
    for ending in ("en", "de"):
        (folder / f"x.{ending}").write_text("\n".join(lines) + "\n", "utf-8")
    labels = {intent + EVIL: f"{intent} {EVIL}" for intent in INTENTS}
    old = TEMPLATE.partition("labels: ")[2].partition("\n")[0]
    (folder / "intent.j2").write_text(TEMPLATE.replace(old, json.dumps(labels)))
    spec["models"] = {
        f"m{EVIL}": spec["models"]["t"],
        "[/b][red]": spec["models"]["t"] | {"window": 999},
    }
    spec["data"]["rows"]["cite"] = f"@misc{{x, title={{{EVIL}}}}}"
    spec["data"][f"d{EVIL}"] = spec["data"].pop("rows")
    spec["tasks"][0]["rows"]["data"] = f"d{EVIL}"
    spec["compare"] = {"by": "model"}
    file.write_text(json.dumps(spec))
    return file


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("hostile")
    hostile_experiment(made)
    (made / FOLDER).mkdir()
    (made / "bad.j2").write_text("---\ntask: classify\n---\nx " + EVIL + "||| {{ nope }}")
    (made / "e.yaml").write_text(f'models: {{t: {{engine: "{chr(92)}e[31m{chr(92)}u202e"}}}}')
    good = Feedback("good", f"a{EVIL}", {"utt": EVIL}, [EVIL], "p", "t", "t", shots=["s"])
    append(made / "feedback.jsonl", good)
    return made


VERBS: list[list[str]] = [
    ["run", "small.yaml", "--dry-run"],
    ["run", "small.yaml"],
    ["run", "small.yaml"],
    ["try", "small.yaml", "--rows", "2"],
    ["try", "small.yaml", "--rows", "2", "--condition", "5"],
    ["lint", "small.yaml", "bad.j2"],
    ["show-prompt", "small.yaml"],
    ["show-prompt", "small.yaml", "--condition", "4", "--tokens"],
    ["show", "small#1/ID"],
    ["show", "small#TEXT"],
    ["show", "small#ID"],
    ["show", "small#1/ID", "--html"],
    ["score", "small", "--metric", "macro_f1", "--calibrator", "batch"],
    ["compare", "small"],
    ["compare", "small", "--by", "shots"],
    ["compare", "small#1", "small#2"],
    ["report", "small"],
    ["report", "small", "--format", "text"],
    ["report", "small", "--format", "md", "--appendix"],
    ["report", "small", "--format", "latex", "--appendix"],
    ["report", "small", "--rows", "model", "--cols", "shots"],
    ["export", "small#1", "--as", "python"],
    ["export", "small#5", "--as", "python", "--shots-of", "ID"],
    ["list", "data", "small.yaml"],
    ["feedback"],
    ["models", "small.yaml"],
    ["models", f"x{EVIL}"],
]
WRONG: list[list[str]] = [
    ["run", f"n{EVIL}"],
    ["run", f"n{EVIL}.yaml"],
    ["run", "e.yaml"],
    ["lint", f"n{EVIL}"],
    ["try", f"n{EVIL}.j2"],
    ["show", f"n{EVIL}#1"],
    ["show", f"small#1/{EVIL}"],
    ["show", f"small#{EVIL}/x"],
    ["score", "small", "--metric", EVIL],
    ["score", "small", "--metric", "{" + EVIL],
    ["score", "small", "--calibrator", EVIL],
    ["score", "small", "--parser", EVIL],
    ["compare", "small", "--by", EVIL],
    ["compare", EVIL, EVIL],
    ["report", "small", "--format", EVIL],
    ["report", "small", "--rows", EVIL],
    ["report", "small", "-o", FOLDER, "--format", "md"],
    ["export", f"small#{EVIL}"],
    ["export", "small#1", "--as", EVIL],
    ["list", EVIL],
    ["schema", EVIL],
    ["init", EVIL],
    ["feedback", EVIL],
    ["app", "--port", EVIL],
    [EVIL],
    ["run", f"--{EVIL}"],
]


def named(words: list[str]) -> list[str]:
    """The words with the ids that stand for capitals: of a label's row, and of a text's."""
    if "small#TEXT" in words:
        found = [c for c in load_run("small").conditions if c.entry.task == "translation"]
        words = ["show", f"small#{found[0].entry.fingerprint}/{found[0].ids[0]}"]
    if not any("ID" in word for word in words):
        return words
    return [word.replace("ID", load_run("small").conditions[0].ids[0]) for word in words]


def test_no_verb_lets_a_control_character_through(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for words in VERBS:
        code, out, err = call(capsys, monkeypatch, *named(words))
        assert code == (1 if words[0] == "lint" else 0), (words, err)
        assert is_clean(out), (words, out)
        assert is_clean(err), (words, err)
        if words[0] in ("show", "show-prompt", "try"):
            assert "red\u241b[2J\u2407\u2408" in out, (words, out)  # drawn, not left out
    for file in (folder / "runs" / "small").glob("*.html"):
        assert is_clean(file.read_text("utf-8"))
    assert is_clean((folder / "runs" / "small" / "table.txt").read_text("utf-8"))


def test_no_error_lets_a_control_character_through(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    call(capsys, monkeypatch, "run", "small.yaml")
    for words in WRONG:
        code, out, err = call(capsys, monkeypatch, *words)
        assert code == 2, (words, out, err)
        assert is_clean(out), (words, out)
        assert is_clean(err), (words, err)
        assert err.startswith("icl: "), (words, err)
        assert err.count("\n") == 1, (words, err)


def test_data_for_programs_stays_the_data(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    call(capsys, monkeypatch, "run", "small.yaml")
    _, out, _ = call(capsys, monkeypatch, "report", "small", "--format", "csv")
    assert f"m{EVIL}" in out
    _, out, _ = call(capsys, monkeypatch, "report", "small", "--format", "json")
    assert f"m{EVIL}" in {one["settings"]["model"] for one in json.loads(out)["conditions"]}
    _, out, _ = call(capsys, monkeypatch, "export", "small#1", "--as", "messages")
    assert json.loads(out.split("\n")[0])["id"].endswith(IN_PATH)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    _, out, _ = call(capsys, monkeypatch, "report", "small", "--format", "csv")
    assert clean(f"m{EVIL}") in out
    assert is_clean(out)


def test_a_bug_of_ours_is_told_with_its_text_drawn(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError(f"bug {EVIL}")

    monkeypatch.setattr("icl.experiment.json_schema.write_schema", broken)
    code, out, err = call(capsys, monkeypatch, "schema")
    assert (code, out) == (1, "")
    assert err.startswith("Traceback")
    assert err.endswith("icl: this is a bug in icl; please report it with the lines above\n")
    assert is_clean(err)


def test_nothing_prints_but_the_two_modules_that_draw() -> None:
    """``print``, ``typer.echo``, a console of rich or a stream's ``write`` would go past them."""
    found = []
    for path in sorted(ICL.rglob("*.py")):
        name = path.relative_to(ICL).as_posix()
        if name in ("core/safe_print.py", "core/safe_console.py", "cli/__init__.py"):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            called = ast.unparse(node.func)
            if called in ("print", "typer.echo", "typer.secho", "Console", "Text", "pprint"):
                found.append(f"{name}:{node.lineno} {called}")
            if called in ("sys.stdout.write", "sys.stderr.write", "self.stream.write"):
                found.append(f"{name}:{node.lineno} {called}")
    assert found == []
