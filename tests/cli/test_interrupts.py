"""Ctrl+C while libraries are still being read: one line and exit code 130, whatever it breaks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.table_experiment import write

PRESS = """
import os, signal, sys

class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Finder())
sys.argv = ["icl", "run", "small.yaml"]
{before}
from icl.cli import main
main()
"""
DROPPED = """
class Dropped:
    def __del__(self):
        os.kill(os.getpid(), signal.SIGINT)

real = __import__("importlib").import_module
class Late:
    def find_spec(self, name, path=None, target=None):
        if name == "icl.cli.author":
            sys.meta_path.remove(self)
            Dropped()  # what is thrown in here goes nowhere, and Python prints it
            raise ImportError("broken off")
sys.meta_path.insert(0, Late())
"""


@pytest.mark.parametrize(
    ("module", "before"),
    [
        ("icl.cli.verbs", ""),
        ("typer", ""),
        ("icl.cli.show", ""),
        ("icl.experiment.file", ""),
        ("numpy", ""),
        ("pydantic", ""),
        ("none", DROPPED),
    ],
)
def test_a_stop_while_libraries_are_read_is_one_line(
    tmp_path: Path, module: str, before: str
) -> None:
    write(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", PRESS.format(module=module, before=before)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
        check=False,
    )
    assert done.returncode == 130, done.stderr
    assert done.stderr == "icl: stopped; run the same command again to go on\n"
    assert done.stdout == ""
    assert not (tmp_path / "runs").exists()


def test_what_meets_the_first_stop_is_read_at_once() -> None:
    """Whatever is imported before ``main`` begins cannot be stopped quietly."""
    code = "import icl.cli, sys; print(*(n for n in sys.modules if n.partition('.')[0] != 'icl'))"
    bare = "import sys; print(*sys.modules)"
    runs = [
        subprocess.run([sys.executable, "-c", one], capture_output=True, text=True, check=True)
        for one in (code, bare)
    ]
    with_icl, without = ({*done.stdout.split()} for done in runs)
    more = {name.partition(".")[0] for name in with_icl - without}
    assert not more & {"typer", "rich", "numpy", "pydantic", "yaml", "jinja2", "click", "logging"}
