"""The witness: a run folder of an early version, and what every later version must make of it.

``runs/`` is never written again. What is read from it (scores, tables, reports) stands in
``expected/``; ``python -m tests.witness`` writes that anew and prints what changed. See README.md.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any
from unittest import mock

from typer.testing import CliRunner

import icl
from icl.cli import app

HERE = Path(__file__).parent
RUNS, EXPECTED = HERE / "runs", HERE / "expected"
MATERIAL = ("data", "prompts", "experiment.yaml", "shots.yaml", "search.yaml")
PLACE = "{here}"
"""Stands for the folder in which a search was run: its state names the file that it wrote."""

COMMANDS = {
    "witness/run.txt": "run experiment.yaml",
    "witness-shots/run.txt": "run shots.yaml",
    "witness/details.txt": "show witness --details",
    "witness-shots/details.txt": "show witness-shots --details",
    "witness-search/search.txt": "run search.yaml",
    "witness-shots/score.txt": "score witness-shots --metric accuracy --calibrator per_char",
    "witness/compare.txt": "compare witness --by shots",
    "witness/formats.txt": "compare witness --ensemble layout",
    "witness-shots/compare.txt": "compare witness-shots --by shown_labels --metric accuracy",
    "witness/report.md": "report witness --format md --metric accuracy",
    "witness/report.tex": "report witness --format latex --metric chrf",
    "witness/report.csv": "report witness --format csv --metric macro_f1",
    "witness/report.json": "report witness --format json --metric chrf",
    "witness/pivot.txt": "report witness --rows locale --cols shots",
    "show/ids.txt": "show witness#w0",
    "show/channel.txt": "show witness#20/w2",
    "show/voted.txt": "show witness#8/2",
    "show/judged.txt": "show witness#23/1",
    "show/shortened.txt": "show witness#26/a1",
    "show/flipped.txt": "show witness-shots#14/w2",
    "feedback.txt": "feedback data/feedback.jsonl -o approved.jsonl",
}
"""File of ``expected/`` -> the command that prints it, in this order."""
WRITTEN = ("witness/scores.json", "witness/calibrations.json")
"""Files of ``runs/`` that hold numbers: they are in ``expected/``, and not in the witness."""


def lay(folder: Path, runs: bool = True) -> Path:
    """Copy the experiments into a folder, with or without what was run of them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*MATERIAL, *(["runs"] if runs else [])):
        if (HERE / name).is_dir():
            shutil.copytree(HERE / name, folder / name)
        else:
            shutil.copy(HERE / name, folder / name)
    if runs:
        state = folder / "runs" / "witness-search" / "search.json"
        state.write_text(state.read_text("utf-8").replace(PLACE, str(folder.resolve())), "utf-8")
    return folder


def run_all() -> list[icl.Run]:
    """Run both experiments and the search in the current folder."""
    runs = [icl.run(file, "runs") for file in ("experiment.yaml", "shots.yaml")]
    icl.search("search.yaml", "runs")
    return runs


@contextmanager
def no_engine() -> Iterator[None]:
    """Let the table engine refuse every question: whoever asks it computes something."""
    (entry,) = entry_points(group="icl.engine", name="table")
    refuse = mock.Mock(side_effect=AssertionError("the engine was asked"))
    with mock.patch.multiple(entry.load(), generate=refuse, score=refuse):
        yield


def command(line: str) -> str:
    """What ``icl`` prints for a command, 80 columns wide and without colours."""
    plainly = {"COLUMNS": "80", "NO_COLOR": "1", "TERM": "dumb", "FORCE_COLOR": None}
    done = CliRunner().invoke(app, line.split(" "), env=plainly)
    if done.exception:
        raise done.exception
    return done.stdout


def readings() -> dict[str, str]:
    """Everything that is read from the runs of the current folder, by its file in ``expected/``."""
    found = {name: command(line) for name, line in COMMANDS.items()}
    found |= {name: Path("runs", name).read_text("utf-8") for name in WRITTEN}
    found["approved.jsonl"] = Path("approved.jsonl").read_text("utf-8")
    return {name: plain(text) for name, text in found.items()}


def trials() -> str:
    """The trials of a search that was run in the current folder, without its seconds."""
    lines = Path("runs/witness-search/search.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) | {"seconds": 0} for line in lines]
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


TRIALS = "witness-search/trials.jsonl"


def plain(text: str) -> str:
    """A text without what depends on place, command, machine and versions of other packages."""
    text = text.replace(str(Path.cwd().resolve()), PLACE)
    text = re.sub(r'^ "(command|versions|machine)": [\[{].*?^ [\]}]', r' "\1": "*"', text,
                  flags=re.M | re.S)  # fmt: skip
    return re.sub(r"\bversion:[\w.]+", "version:*", text)


LONG = re.compile(r"-?\d+\.\d{7,}(?:e-?\d+)?")
"""A number that was not rounded: its last digits are the processor's."""


def same(expected: str, found: str) -> bool:
    """Whether texts are equal, numbers that were not rounded to 1e-9 of their size."""
    if LONG.sub("#", expected) != LONG.sub("#", found):
        return False
    pairs = zip(LONG.findall(expected), LONG.findall(found), strict=True)
    return all(abs(float(a) - float(b)) <= 1e-9 * max(1, abs(float(a))) for a, b in pairs)


def holds(old: Any, new: Any) -> bool:
    """Whether all that a file said is still said; mappings may have got further keys."""
    if isinstance(old, dict) and isinstance(new, dict):
        return all(key in new and holds(value, new[key]) for key, value in old.items())
    if isinstance(old, list | tuple) and isinstance(new, list | tuple):
        return len(old) == len(new) and all(map(holds, old, new))
    return bool(old == new)
