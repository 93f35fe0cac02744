"""From nothing to a report on a table of 40 rows: each command of the way, and how long it takes.

``python -m benchmarks.first_report`` runs the commands of docs/tutorial.md as a new user would, in
a new folder and with an empty cache, so that the weights are converted too. ``--setup`` clones this
repository first and installs it (that needs a package index), ``--model`` names another model.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.results import MODEL
from icl.core.errors import IclError
from icl.experiment.samples import find_samples

__all__ = ["Seconds", "Step", "list_steps", "show_steps", "time_step"]

ROOT = Path(__file__).parents[1]
TABLE = "messages.csv"


@dataclass(frozen=True, slots=True)
class Step:
    """One command of the way."""

    typed: str
    """The command as the table shows it."""
    words: tuple[str, ...]
    """The process that is started."""


@dataclass(frozen=True, slots=True)
class Seconds:
    """How long a step took."""

    clock: float
    processors: float
    """Seconds of all threads: on a busy machine they say more than the clock."""


def list_steps(folder: Path, model: str = MODEL, setup: bool = False) -> list[Step]:
    """Return the commands from nothing to a report, in their order."""
    icl = (sys.executable, "-m", "icl")
    before: list[Step] = []
    if setup:
        python = str(folder / "icl" / ".venv" / "bin" / "python")
        icl = (python, "-m", "icl")
        before = [
            Step("git clone … icl", ("git", "clone", "-q", str(ROOT), "icl")),
            Step(
                "make demo's set-up of .venv",
                ("make", "-s", "-C", "icl", ".venv/.made", f"PYTHON={sys.executable}"),
            ),
        ]
    asked = [f"init wishes --from {TABLE} --answer wish", "run wishes/experiment.yaml"]
    if model != MODEL:
        asked[0] += f" --model {shlex.quote(model)}"
    asked += ["run wishes/experiment.yaml", "report wishes"]
    return before + [Step(f"icl {line}", (*icl, *shlex.split(line))) for line in asked]


def time_step(step: Step, folder: Path) -> Seconds:
    """Run one command in a folder and return its seconds.

    Raises:
        IclError: it failed; the message ends with the last line that it printed.
    """
    environment = {**os.environ, "ICL_CACHE": str(folder / "cache")}
    began, before = time.perf_counter(), os.times()
    done = subprocess.run(step.words, cwd=folder, env=environment, capture_output=True, text=True)
    clock, after = time.perf_counter() - began, os.times()
    if done.returncode:
        last = (done.stderr or done.stdout).strip().rpartition("\n")[2]
        raise IclError(f"{step.typed} ended with code {done.returncode}: {last}")
    used = after.children_user + after.children_system
    return Seconds(clock, used - before.children_user - before.children_system)


def show_steps(steps: Sequence[Step], seconds: Sequence[Seconds], console: Console) -> None:
    """Print the steps with their seconds, the sum in minutes, and what they were measured on."""
    table = Table(box=None, pad_edge=False)
    table.add_column("step")
    table.add_column("s", justify="right")
    table.add_column("processor s", justify="right")
    for number, (step, took) in enumerate(zip(steps, seconds, strict=True), 1):
        table.add_row(f"{number} {step.typed}", f"{took.clock:.0f}", f"{took.processors:.0f}")
    console.print(table)
    console.print(
        f"{len(steps)} steps, {sum(took.clock for took in seconds) / 60:.1f} minutes, "
        f"{sum(took.processors for took in seconds) / 60:.1f} of processors;\n"
        f"{os.cpu_count()} processors ({platform.machine()}, {find_instructions()}), {date.today()}"
    )


def find_instructions() -> str:
    """Return the widest vector instructions of this processor, as torch tells them."""
    import torch

    has_bf16 = torch.cpu._is_avx512_bf16_supported()
    return "AVX512-BF16" if has_bf16 else torch.backends.cpu.get_cpu_capability()


def main(arguments: Sequence[str] | None = None) -> None:
    """Time each step in a new folder and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=MODEL, help="as an experiment names it")
    parser.add_argument("--setup", action="store_true", help="clone and install first")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        table = find_samples() / "messages" / TABLE
        (folder / TABLE).write_bytes(table.read_bytes())
        steps = list_steps(folder, options.model, options.setup)
        try:
            seconds = [time_step(step, folder) for step in steps]
        except IclError as error:
            sys.exit(f"error: {error}")
    show_steps(steps, seconds, Console())


if __name__ == "__main__":
    main()
