"""The command line: what it prints, and one line with exit code 2 for every mistake."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from icl import cli, run
from icl.core.errors import StoreError
from icl.experiment import models
from tests.table_experiment import write


def icl(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run the command as a user would."""
    return subprocess.run(
        [sys.executable, "-m", "icl.cli", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=120,
        check=False,
    )


def call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: object
) -> tuple[int, str, str]:
    """The command in this process: exit code, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["icl", *map(str, arguments)])
    code = 0
    try:
        cli.main()
    except SystemExit as stop:
        code = int(stop.code or 0)
    out, err = capsys.readouterr()
    return code, out, err


def assert_one_line(message: str, code: int, out: str, err: str) -> None:
    """A mistake ends the command with exit code 2 and one line that says it."""
    assert code == 2
    assert message in err
    assert err.startswith("icl: ")
    assert err.count("\n") == 1
    assert out == ""


def test_run_show_and_score(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path)
    monkeypatch.chdir(tmp_path)
    code, out, err = call(capsys, monkeypatch, "run", file)
    assert code == 0
    assert "40 records computed, 0 reused" in out
    assert "10/10 rows" in err
    assert max(map(len, out.splitlines())) <= 80
    table = (tmp_path / "runs" / "small" / "table.txt").read_text()
    assert "accuracy|match:exact" in table and "accuracy|match:exact" not in out
    code, shown, _ = call(capsys, monkeypatch, "show", "small")
    assert code == 0 and shown.strip() and shown.strip() in out
    code, whole, _ = call(capsys, monkeypatch, "show", "small", "--details")
    assert code == 0 and whole.strip() == table.strip()
    code, _, err = call(capsys, monkeypatch, "show", "small#1/r9", "--details")
    assert code == 2 and "--details is about a run" in err
    code, sliced, _ = call(capsys, monkeypatch, "show", "small", "--slices", "label")
    assert code == 0 and max(map(len, sliced.splitlines())) <= 80
    assert len(re.findall(r"^all rows +[\d.]+ \[[\d., ]+\] 10$", sliced, re.M)) == 2  # of intent
    assert "not corrected for how many slices there are" in sliced
    code, _, err = call(capsys, monkeypatch, "show", "small", "--slices", "lable")
    assert code == 2 and "cannot be sliced by 'lable'. Did you mean 'label'?" in err
    code, _, err = call(capsys, monkeypatch, "show", "small#1/r9", "--slices", "label")
    assert code == 2 and "--slices is about a run" in err
    code, out, _ = call(capsys, monkeypatch, "run", file)
    assert "0 records computed, 40 reused" in out
    shown = [line for line in out.splitlines() if "look at one" in line][0].split()[-1]
    code, out, err = call(capsys, monkeypatch, "show", shown)
    assert code == 0, err
    assert "rendered again: the same as was sent" in out
    assert "Name the intent." in out
    assert "✓" in out
    code, out, _ = call(capsys, monkeypatch, "show", "small#r3")
    assert "2 conditions have the example 'r3'" in out
    code, out, _ = call(capsys, monkeypatch, "score", "small", "--parser", "text")
    assert code == 0
    assert "chrF++ (text)" in out


def test_python_runs_the_package_as_the_command_line(tmp_path: Path) -> None:
    line = [sys.executable, "-m", "icl", "show", "none#1/x"]
    done = subprocess.run(
        line, capture_output=True, text=True, cwd=tmp_path, timeout=120, check=False
    )
    assert_one_line("no run 'none'", done.returncode, done.stdout, done.stderr)


def test_the_version_is_printed_alone(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = f"icl {version('icl-workbench')}\n"
    assert call(capsys, monkeypatch, "--version") == (0, said, "")
    assert call(capsys, monkeypatch, "--version", "no-verb") == (0, said, "")


@pytest.mark.parametrize(
    ("shown", "found"),
    [
        ("small#1/a/b", "a/b"),
        ("small#a/b", "a/b"),
        ("small#1/2", "1/2"),  # no id of condition 1 is `2`, and one is `1/2`
        ("small#1/1/2", "1/2"),
        ("small#1/c", "c"),
        ("small#1/pool/d", "pool/d"),
        ("small#alarms/c", "c"),  # a condition by the words of its axes
    ],
)
def test_an_id_with_a_slash_is_shown(
    shown: str,
    found: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [{"id": name, "utt": f"utt {name}"} for name in ("a/b", "1/2", "c", "pool/d")]
    (tmp_path / "own.jsonl").write_text(
        "".join(json.dumps(row | {"intent": "alarm_set"}) + "\n" for row in rows)
    )
    task = {"task": "intent", "name": "alarms", "prompt": "intent.j2", "rows": {"data": "own"}}
    data = {"own": {"format": "jsonl", "path": "own.jsonl", "answer": "intent"}}
    monkeypatch.chdir(tmp_path)
    run(write(tmp_path, data=data, tasks=[task], grid={"shots": [0]}), "runs")
    code, out, err = call(capsys, monkeypatch, "show", shown)
    assert (code, err) == (0, "")
    assert f"utt {found}\n" in out
    code, out, err = call(capsys, monkeypatch, "show", "small#a/x")
    assert_one_line("0 conditions are called 'a'; use a number from 1 to 1", code, out, err)


def test_dry_run_says_the_cost_and_keeps_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path)
    code, out, _ = call(capsys, monkeypatch, "run", file, "--dry-run", "--out", tmp_path / "r")
    assert code == 0
    assert "prompt tokens" in out
    assert "in all; nothing was run or saved" in out
    # Tried on one prompt; a run computes what prompts share once.
    assert "s, less by what prompts share, in all" in out
    assert max(map(len, out.splitlines())) <= 80
    assert not (tmp_path / "r").exists()


def test_show_prompt_prints_exactly_what_is_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path)
    code, out, err = call(capsys, monkeypatch, "show-prompt", file, "--condition", 3, "--row", 2)
    assert code == 0
    assert out.startswith("Name the intent.\n\nSay: ")
    assert out.endswith("\nIntent:\n")
    assert out.count("Say: ") == 3
    assert "tokens" in err
    assert "dropped: none" in err
    assert err.count("shot r") == 2
    assert "3 choices: ' set alarm'" in err
    _, out, _ = call(capsys, monkeypatch, "show-prompt", file, "--tokens")
    assert "Name│ the│ intent." in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "none.yaml"], "no experiment file none.yaml"),
        (["run", "."], ". is a folder, an experiment file is needed"),
        (["try", "x.yaml", "--model", "m"], "--model goes with a template; x.yaml names its"),
        (["show", "small#1/x"], "no run 'small'"),
        (["score", "small"], "no run 'small'"),
        (["list", "promts"], "unknown kind 'promts'. Did you mean 'prompts'"),
        (["show-prompt", "intent/plian"], "unknown template 'intent/plian'. Did you mean"),
        (["show-prompt", "none.j2"], "no template file"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = call(capsys, monkeypatch, *arguments)
    assert_one_line(message, code, out, err)


def test_bad_data_and_template_are_told_with_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path)
    rows = tmp_path / "rows.jsonl"
    good = rows.read_text()
    rows.write_text(good.replace('"r3"', '"r3'))
    code, _, err = call(capsys, monkeypatch, "run", file, "--out", tmp_path / "r")
    assert (code, "rows.jsonl:4" in err) == (2, True)
    rows.write_text(good)
    template = tmp_path / "intent.j2"
    text = template.read_text()
    template.write_text(text.replace("{{ utt }}", "{{ uttt }}"))
    code, _, err = call(capsys, monkeypatch, "run", file, "--out", tmp_path / "r")
    assert (code, "intent.j2:9" in err, "Did you mean 'utt'" in err) == (2, True, True)
    template.write_text(text.replace("{{ utt }}", "{{ intent }}"))
    code, _, err = call(capsys, monkeypatch, "run", file, "--out", tmp_path / "r")
    assert (code, "holds the answer" in err) == (2, True)
    template.write_text(text.replace("|||", ""))
    code, _, err = call(capsys, monkeypatch, "run", file, "--out", tmp_path / "r")
    assert (code, "has 0 |||" in err) == (2, True)
    assert not (tmp_path / "r" / "conditions").exists()


def test_usage_errors_and_help(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert call(capsys, monkeypatch, "--help")[0] == 0
    code, _, err = call(capsys, monkeypatch, "run")
    assert code == 2
    assert "FILE" in err
    code, _, err = call(capsys, monkeypatch, "rum")
    assert code == 2
    assert "rum" in err


@pytest.mark.parametrize("kind", ["tasks", "metrics", "selectors", "parsers", "engines", "formats",
                                  "prompts"])  # fmt: skip
def test_list_names_what_there_is(
    kind: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, _ = call(capsys, monkeypatch, "list", kind)
    assert code == 0
    lines = out.splitlines()
    assert len(lines) >= 2
    assert all(len(line.split()) >= 3 for line in lines)


def test_a_stopped_run_says_how_to_go_on(tmp_path: Path) -> None:
    file = write(tmp_path)
    code = f"""
import sys
import icl.cli, icl.running.run
def answer(*a): raise KeyboardInterrupt
sys.modules["icl.running.run"].answer_batch = answer
sys.argv = ["icl", "run", {str(file)!r}, "--out", {str(tmp_path / "r")!r}]
icl.cli.main()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 130
    assert "run the same command again to go on" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_installed_command_runs(tmp_path: Path) -> None:
    file = write(tmp_path)
    done = icl("run", file, "--out", tmp_path / "r")
    assert done.returncode == 0, done.stderr
    assert (
        json.loads((tmp_path / "r" / "small" / "manifest.json").read_text())["command"][1] == "run"
    )


def test_init_lint_try_and_export_from_beginning_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = call(capsys, monkeypatch, "init", "first", "--model", "./none")
    assert (code, "icl run first/experiment.yaml" in out) == (0, True)
    file = tmp_path / "first" / "experiment.yaml"
    file.write_text(file.read_text().replace('source: "./none"', "engine: table, default: hash"))
    code, out, err = call(capsys, monkeypatch, "lint", file, "first/prompt.j2", "intent/plain")
    assert (code, out, err) == (0, "", "0 problems; 3 of 3 files clean\n")
    code, out, _ = call(capsys, monkeypatch, "try", file, "--condition", 3, "--rows", 3)
    assert code == 0
    assert out.count("── row ") == 3
    assert out.splitlines()[-1].split(" · ")[0] in {f"{n} of 3 right" for n in range(4)}
    assert max(map(len, out.splitlines())) <= 80
    assert call(capsys, monkeypatch, "run", file)[0] == 0
    code, out, err = call(capsys, monkeypatch, "export", "first#2", "-o", "asked.py")
    assert (code, out, err) == (0, "", "asked.py: first#2; check it: python asked.py\n")
    code, printed, _ = call(capsys, monkeypatch, "export", "first#shots", "--as", "python")
    assert printed == (tmp_path / "asked.py").read_text()
    template = tmp_path / "first" / "prompt.j2"
    template.write_text(template.read_text().replace("Wish:||| ", "Wish: |||"))
    code, out, err = call(capsys, monkeypatch, "lint", "first/prompt.j2")
    assert code == 1
    assert out.startswith("first/prompt.j2:15: a space before |||; write it after")
    assert err == "1 problem; 0 of 1 files clean\n"
    code, out, _ = call(capsys, monkeypatch, "schema", "template")
    assert json.loads(out)["properties"]["stop"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["init", "rows.jsonl"], "exists already and nothing is overwritten"),
        (["init", "x", "--task", "intend"], "no starter for the task 'intend'. Did you mean"),
        (["lint", "none.j2"], "no template file"),
        (["lint", "none.yaml"], "no experiment file none.yaml"),
        (["try", "none.yaml"], "no experiment file none.yaml"),
        (["try", "small.yaml", "--condition", "9"], "--condition 9: there are 4"),
        (["try", "small.yaml", "--rows", "0"], "--rows 0: at least 1"),
        (["schema", "promt"], "no schema of 'promt'"),
        (["export", "small#1"], "no run 'small'"),
        (["export", "done"], "name a condition as done#1"),
        (["export", "done#9"], "0 conditions are called '9'"),
        (["export", "done#1", "--as", "pyton"], "--as pyton: unknown. Did you mean 'python'"),
        (["export", "done#3"], "sent other shots with every row"),
        (["export", "done#1", "-o", "runs"], "runs is a folder, and only a plain file"),
    ],
)
def test_a_mistake_of_an_author_is_one_line_and_exit_code_2(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path)
    if any("done" in word for word in arguments):
        from icl.running.run import run

        run(write(tmp_path, name="done"), "runs")
    code, out, err = call(capsys, monkeypatch, *arguments)
    assert_one_line(message, code, out, err)


def test_watching_tells_errors_and_ends_cleanly(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(tmp_path)
    template = tmp_path / "intent.j2"
    good = template.read_text()
    saves = [good.replace("|||", ""), good]

    def wait(_: float) -> None:
        if not saves:
            raise KeyboardInterrupt
        template.write_text(saves.pop(0))

    monkeypatch.setattr("icl.running.trial.watch.__defaults__", (wait,))
    code, out, err = call(capsys, monkeypatch, "try", file, "--rows", 1, "--watch")
    assert code == 0
    assert out.count("── row 1 of 1") == 2
    assert err.count("── watching") == 3
    assert "intent.j2:9: [[example]] has 0 |||" in err
    assert err.endswith("\nstopped\n")


VERBS = (
    *("init", "try", "app", "run", "lint", "compare", "show", "list", "report", "export"),
    *("score", "feedback", "models", "schema", "show-prompt"),
)


def options_of(text: str) -> list[str]:
    return re.findall(r"^│ (--[\w-]+)", text, re.M)


@pytest.mark.parametrize("verb", VERBS)
def test_help_shows_six_options_and_says_how_to_see_the_rest(
    verb: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERMINAL_WIDTH", "80")
    code, short, _ = call(capsys, monkeypatch, verb, "--help")
    assert code == 0
    code, whole, _ = call(capsys, monkeypatch, verb, "--help-all")
    assert code == 0
    assert max(map(len, [*short.splitlines(), *whole.splitlines()])) <= 80
    shown, there = options_of(short), options_of(whole)
    assert len(shown) <= 6 and {*shown} <= {*there}
    last = short.rstrip().splitlines()[-1].strip()
    told = re.fullmatch(rf"All options:  .*\b{verb} --help-all", last)
    assert bool(told) == (len(shown) < len(there))
    assert "--help-all" not in whole
    assert options_of(call(capsys, monkeypatch, verb, "--help")[1]) == shown  # and stays so


def test_every_verb_is_looked_at() -> None:
    assert len(cli.app.registered_commands) == len(VERBS)


def test_a_verb_that_is_gone_names_the_one_that_does_its_work(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for words, line in (
        (["search", "my file.yaml", "--dry-run"], "icl run 'my file.yaml' --dry-run"),
        (["search"], "icl run FILE"),
    ):
        code, out, err = call(capsys, monkeypatch, *words)
        assert_one_line("`icl search` is part of `icl run` now", code, out, err)
        assert err.endswith(f"write: {line}\n")


def test_commands_to_copy_are_quoted_where_a_shell_would_cut_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "mein Ordner"
    folder.mkdir()
    code, out, err = call(capsys, monkeypatch, "init", folder / "größe")
    assert code == 0, err
    assert shlex.split(out.split("run it:")[1].splitlines()[0])[-1] == str(
        folder / "größe" / "experiment.yaml"
    )
    file = write(folder)
    code, out, err = call(capsys, monkeypatch, "run", file, "--out", folder / "runs")
    assert code == 0, err
    shown = shlex.split(out.split("look at one:")[1].splitlines()[0])
    code, _, err = call(capsys, monkeypatch, *shown[1:])
    assert code == 0, err


def test_a_number_of_no_condition_is_not_taken_for_a_fingerprint(tmp_path: Path) -> None:
    done = run(write(tmp_path), tmp_path / "runs")
    digits = {c.entry.fingerprint[:1] for c in done.conditions} & set("0123456789")
    for name in {"99", *(one for one in digits if int(one) > len(done.conditions))}:
        with pytest.raises(StoreError, match=f"conditions are called '{name}'; use a number"):
            done.condition(name)
    for made in done.conditions:
        assert done.condition(made.entry.fingerprint[:8]) == made


def test_the_prompt_of_a_row_is_shown_by_show_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = str(write(tmp_path))
    shown = call(capsys, monkeypatch, "show", file, "--row", "2")
    assert shown == call(capsys, monkeypatch, "show-prompt", file, "--row", "2")
    assert shown[0] == 0 and "row 2 of" in shown[2]


def test_the_help_shows_few_verbs_and_list_knows_the_rest(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, out, _ = call(capsys, monkeypatch, "--help")
    shown = re.findall(r"^│ ([a-z][a-z-]+) {2}", out, re.M)
    read = ["lint", "compare", "show", "list", "report"]
    assert shown == ["init", "try", "app", "run", *read, "export"]
    for verb in ("score", "feedback", "models", "schema", "show-prompt"):
        assert call(capsys, monkeypatch, verb, "--help")[0] == 0
    monkeypatch.setattr(models, "measure_room", lambda: ("cpu", 8 << 30))  # what is free changes
    assert call(capsys, monkeypatch, "list", "models") == call(capsys, monkeypatch, "models")
    assert "icl schema keys" in call(capsys, monkeypatch, "list", "schemas")[1]
