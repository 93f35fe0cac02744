"""Outputs that documents show, made again: ``python -m tests.doc_outputs RUNS`` writes them.

A block that begins with three backticks and ``console run`` holds commands and what they printed.
Each page has a folder of its own, with the files that its blocks show and with a copy of RUNS (the
experiments that pages speak of, run by the demo model) and of the tutorial's runs; the tutorial
comes first, and begins without any run. A line ``…`` stands for lines that are left out, and as
many lines as before are shown in front of it and behind it. At the end the runs are packed
into ``tests/document_runs.tar.xz``, from whose records tests print the pages' outputs again.
"""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

from tests.doc_blocks import PAGES, ROOT, RUNS, read_blocks, write_file

BLOCK = re.compile(r"(?<=^```console run\n).*?(?=^```$)", re.M | re.S)
CUT = "…"
MODEL_VERBS = ("run", "try")
"""Verbs that ask the model."""
FRESH = "tutorial"
"""The page that begins without runs, and makes its own."""
UNPACKED = ("report.html", ".lock", "timings.jsonl")
"""Files of a run that no page shows."""


def split_block(block: str) -> list[tuple[str, list[str]]]:
    """Commands of a block, each with the lines that it printed."""
    found: list[tuple[str, list[str]]] = []
    for line in block.rstrip("\n").split("\n"):
        if line.startswith("$ "):
            found.append((line, []))
        else:
            found[-1][1].append(line)
    return found


def split_command(command: str) -> list[str]:
    """Return the words of a command line, without its prompt and comment."""
    words = shlex.split(re.split(r"\s#\s", command.removeprefix("$ "))[0])
    assert words[0] in ("icl", "python"), command
    return words


def join_output(verb: str, out: str, err: str) -> list[str]:
    """Return what a page shows of a command: all it printed, but for the progress of a model."""
    shown = out if verb in MODEL_VERBS else out + err
    return [line.rstrip() for line in shown.rstrip("\n").split("\n")]


def ask(command: str, folder: Path) -> list[str]:
    """Run a command at the width of a terminal, and return the lines that it printed."""
    program, *words = split_command(command)
    done = subprocess.run(
        [sys.executable, *(["-m", "icl"] if program == "icl" else []), *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "80", "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, f"{command}\n{done.stderr}"
    return join_output(words[0], done.stdout, done.stderr)


def shorten(printed: list[str], shown: list[str]) -> list[str]:
    """Leave out of what is printed what was left out of what is shown."""
    if CUT not in shown:
        return printed
    first, *_, last = [place for place, line in enumerate(shown) if line == CUT] * 2
    behind = len(shown) - last - 1
    return [*printed[:first], CUT, *printed[len(printed) - behind :]]


def renew(page: Path, folder: Path) -> str:
    """Return a page with the outputs of today, made in a folder."""
    text = page.read_text("utf-8")
    for block in read_blocks(page):
        if block.file is not None:
            write_file(block, folder)
        elif (block.language, block.role) == ("console", "run"):
            lines = []
            for command, shown in split_block(block.text):
                lines += [command, *shorten(ask(command, folder), shown)]
            fence = "```console run\n"
            made = "\n".join(lines).rstrip("\n") + "\n"
            text = text.replace(f"{fence}{block.text}```", f"{fence}{made}```", 1)
    return text


def pack(folders: list[Path]) -> None:
    """Pack the folders of runs into one archive, always with the same bytes."""

    def plain(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        if entry.name.endswith(UNPACKED):
            return None
        entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
        return entry

    files = {
        path.relative_to(folder).as_posix(): path
        for folder in folders
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
    with tarfile.open(RUNS, "w:xz", preset=9) as archive:
        for name in sorted(files):
            archive.add(files[name], f"runs/{name}", recursive=False, filter=plain)


if __name__ == "__main__":
    runs = Path(sys.argv[1]).resolve()
    only = sys.argv[2:]
    with tempfile.TemporaryDirectory() as made:
        packed = [runs]
        for page in sorted(PAGES, key=lambda page: page.stem != FRESH):
            if only and page.stem not in only or not BLOCK.search(page.read_text("utf-8")):
                continue
            folder = Path(made) / page.stem
            folder.mkdir()
            if page.stem == FRESH:
                packed.append(folder / "runs")
            else:
                for runs_folder in packed:
                    shutil.copytree(runs_folder, folder / "runs", dirs_exist_ok=True)
            page.write_text(renew(page, folder), "utf-8")
            print(page.relative_to(ROOT))
        if not only:
            pack(packed)
            print(RUNS.relative_to(ROOT))
