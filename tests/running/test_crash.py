"""A run killed at any moment resumes and ends with the bytes of one that was not."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from icl import run
from tests.crash_driver import files
from tests.table_experiment import write

ROOT = Path(__file__).parents[2]


def drive(folder: Path, step: int, *what: str) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-m", "tests.crash_driver", str(folder), str(step), *what],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, object] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_crash_at_any_write_or_rename_loses_nothing(tmp_path: Path) -> None:
    found = drive(tmp_path, 19)
    assert found["different"] == found["lost"] == []
    assert int(str(found["crashes"])) > 20


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_crash_at_every_write_or_rename_loses_nothing(tmp_path: Path) -> None:
    found = drive(tmp_path, 1)
    assert found["different"] == found["lost"] == []
    assert int(str(found["crashes"])) > 100


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_search_that_crashes_ends_the_same(tmp_path: Path) -> None:
    found = drive(tmp_path, 61, "search")
    assert found["different"] == found["lost"] == []
    assert int(str(found["crashes"])) > 5


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_search_that_crashes_anywhere_ends_the_same(tmp_path: Path) -> None:
    found = drive(tmp_path, 1, "search")
    assert found["different"] == found["lost"] == []
    assert int(str(found["crashes"])) > 100


def killed_at_random(tmp_path: Path, kills: int) -> None:
    file = write(tmp_path)
    run(file, tmp_path / "whole")
    wanted = files(tmp_path / "whole")
    chance = random.Random(0)
    landed = 0
    for number in range(kills):
        out = tmp_path / f"cut{number}"
        for _ in range(2):  # the second kill meets a run that resumes
            process = subprocess.Popen(
                [sys.executable, "-m", "icl.cli", "run", str(file), "--out", str(out)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd=ROOT,
            )
            give_up = time.monotonic() + 60
            while not list(out.rglob("plan.json")) and process.poll() is None:
                assert time.monotonic() < give_up
                time.sleep(0.001)
            time.sleep(chance.random() * 0.1)
            process.send_signal(signal.SIGKILL)
            landed += process.wait() != 0
        run(file, out)
        assert files(out) == wanted
    assert landed > 0


def test_kill_9_at_random_moments(tmp_path: Path) -> None:
    killed_at_random(tmp_path, 3)


@pytest.mark.slow
def test_kill_9_at_300_random_moments(tmp_path: Path) -> None:
    killed_at_random(tmp_path, 150)
