"""Outputs that documents show, made again: ``python -m tests.doc_outputs RUNS`` writes them.

A block that begins with three backticks and ``console run`` holds commands and what they printed.
Each command is run in the folder of RUNS, which is called ``runs``; a line ``…`` stands for lines
that are left out, and as many lines as before are shown in front of it and behind it.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGES = [*sorted((ROOT / "docs").glob("*.md")), ROOT / "README.md"]
BLOCK = re.compile(r"(?<=^```console run\n).*?(?=^```$)", re.M | re.S)
CUT = "…"


def split_block(block: str) -> list[tuple[str, list[str]]]:
    """Commands of a block, each with the lines that it printed."""
    found: list[tuple[str, list[str]]] = []
    for line in block.rstrip("\n").split("\n"):
        if line.startswith("$ "):
            found.append((line, []))
        else:
            found[-1][1].append(line)
    return found


def ask(command: str, runs: Path) -> list[str]:
    """Run a command of this project at the width of a terminal, and return its lines."""
    words = shlex.split(command.removeprefix("$ "), comments=True)
    assert words[0] == "icl", command
    done = subprocess.run(
        [sys.executable, "-m", "icl.cli", *words[1:]],
        cwd=runs.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=True,
        env={"PATH": "", "HOME": str(Path.home()), "COLUMNS": "80", "PYTHONPATH": str(ROOT)},
    )
    return [line.rstrip() for line in done.stdout.rstrip("\n").split("\n")]


def shorten(printed: list[str], shown: list[str]) -> list[str]:
    """Leave out of what is printed what was left out of what is shown."""
    if CUT not in shown:
        return printed
    first, *_, last = [place for place, line in enumerate(shown) if line == CUT] * 2
    behind = len(shown) - last - 1
    return [*printed[:first], CUT, *printed[len(printed) - behind :]]


def renew(text: str, runs: Path) -> str:
    """Return a page with the outputs of today."""

    def again(found: re.Match[str]) -> str:
        lines = []
        for command, shown in split_block(found.group()):
            lines += [command, *shorten(ask(command, runs), shown)]
        return "\n".join(lines) + "\n"

    return BLOCK.sub(again, text)


if __name__ == "__main__":
    for page in PAGES:
        before = page.read_text("utf-8")
        if BLOCK.search(before):
            page.write_text(renew(before, Path(sys.argv[1]).resolve()), "utf-8")
            print(page.relative_to(ROOT))
