"""Runs a small experiment and dies at the Nth system call that changes the disk; see test_crash.

Called as ``python -m tests.crash_driver FOLDER STEP [search]``: writes one JSON line with what it
found, of a run or of a search.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from icl import run, search
from tests.planted import planted
from tests.table_experiment import write

NAMES = ("records.jsonl", "plan.json", "examples.jsonl", "shots.jsonl", "choices.json")
CALLS = ("write", "fsync", "replace", "ftruncate")


def crash_after(limit: int, torn: bool) -> None:
    """Make the process end, as by kill -9, at the ``limit``-th call; a torn write is half done."""
    seen = 0

    def wrap(name: str) -> None:
        real = getattr(os, name)

        def call(*arguments: object) -> object:
            nonlocal seen
            seen += 1
            if seen == limit:
                if name == "write" and torn:
                    real(arguments[0], bytes(arguments[1])[: len(arguments[1]) // 2])  # type: ignore
                os._exit(9)
            return real(*arguments)

        setattr(os, name, call)

    for name in CALLS:
        wrap(name)


def files(root: Path) -> dict[str, bytes]:
    """What must be the same in the end."""
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.name in NAMES
    }


def forked(action: object, *arguments: object) -> int:
    """Exit status of a child that runs ``action``."""
    child = os.fork()
    if child == 0:
        try:
            action(*arguments)  # type: ignore[operator]
        except BaseException as error:
            print(f"{type(error).__name__}: {error}", file=sys.stderr)
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def searched(root: Path) -> dict[str, object]:
    """What must be the same after a search, seconds aside."""
    (state,) = root.rglob("search.json")
    kept = json.loads(state.read_text())
    lines = [json.loads(line) for line in (state.parent / "search.jsonl").read_text().splitlines()]
    for row in [*kept["trials"], *lines]:
        row.pop("seconds")
    texts = {
        path.name: path.read_text()
        for path in state.parent.rglob("*")
        if path.suffix in (".yaml", ".jsonl") and path.stem != "search"
    }
    shots = (root.parent / "cut" / "best.jsonl").read_text()
    return {**files(root), **texts, "state": kept, "trials": lines, "shots": shots}


def campaign(
    folder: Path, step: int, action: Callable[[Path], object], kept: Callable[[Path], object]
) -> dict[str, object]:
    """Crash at every boundary in turn, resume, compare."""
    action(folder / "whole")
    wanted = kept(folder / "whole")
    crashes, different, lost = 0, [], []
    for torn in (False, True):
        limit = 1
        while True:
            out = folder / "cut"
            shutil.rmtree(out, ignore_errors=True)

            def attempt(limit: int = limit, torn: bool = torn, out: Path = out) -> None:
                crash_after(limit, torn)
                action(out)

            if forked(attempt) == 0:
                break
            crashes += 1
            before = sum(path.read_bytes().count(b"\n") for path in out.rglob("records.jsonl"))
            if forked(attempt, limit + 3) not in (0, 9):  # killed again while it resumes
                lost.append(limit)
            if forked(action, out) != 0 or kept(out) != wanted:
                different.append(limit)
            after = sum(path.read_bytes().count(b"\n") for path in out.rglob("records.jsonl"))
            if after < before - 4:
                lost.append(limit)
            limit += step
    return {"crashes": crashes, "different": different, "lost": lost}


def main() -> None:
    """A campaign on the small experiment, or on a search in it."""
    folder, step = Path(sys.argv[1]), int(sys.argv[2])
    # Counted, but not done: what ends here is a process, and what it wrote outlives it unsynced.
    os.fsync = lambda descriptor: None
    if sys.argv[3:] == ["search"]:
        dev = {"split": "train", "n": 6}
        over = {"shot_set": 4}
        file = planted(folder, metrics=["accuracy"], write="cut/best.jsonl", over=over, dev=dev)
        found = campaign(folder, step, lambda out: search(file, out), searched)
    else:
        tasks = json.loads(write(folder).read_text())["tasks"]
        tasks[0] |= {"metrics": ["accuracy"], "calibrate": ["contextual", "vote_mix"]}
        tasks[1] |= {"metrics": ["exact_match"]}  # scores are no part of this, and bootstraps slow
        file = write(folder, tasks=tasks)
        found = campaign(folder, step, lambda out: run(file, out), files)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
