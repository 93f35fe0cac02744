"""Outside programs as metrics: what they are given, what they may print, and how they fail."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from icl.core.errors import MetricError
from icl.core.stats import score
from icl.core.types import Example, Prediction
from icl.metrics.command import Command

PYTHON = sys.executable
EXAMPLES = [
    Example("0", {"source": "q\\n1", "n": 3}, ("r", "r2")),
    Example("1", {"source": "q2", "n": 4}, ("s",)),
]
PREDICTIONS = [Prediction("0", "a\nb"), Prediction("1", None, "empty")]


def program(folder: Path, text: str) -> str:
    (folder / "metric.py").write_text(text)
    return f"{PYTHON} {folder / 'metric.py'}"


SHOW = """
import sys
from pathlib import Path
columns = [Path(path).read_text("utf-8").split("\\n") for path in sys.argv[1:]]
assert all(column.pop() == "" for column in columns)
Path("seen.txt").write_text(repr(columns))
for row in columns[0]:
    print(len(row))
"""


def test_files_hold_one_row_a_line(tmp_path: Path) -> None:
    run = program(tmp_path, SHOW)
    metric = Command(
        run + " {hypothesis} {source} {reference} {references} {n}", folder=str(tmp_path)
    )
    found = score(metric.name, metric.stats(PREDICTIONS, EXAMPLES))
    assert eval((tmp_path / "seen.txt").read_text()) == [  # noqa: S307 - written just above
        ["a\\nb", ""],
        ["q\\\\n1", "q2"],
        ["r", "s"],
        ["r", "s"],
        ["r2", "s"],
        ["3", "4"],
    ]
    assert (found.name, found.value, found.n) == ("metric", 2.0, 2)
    assert (found.low, found.high) == (None, None)
    assert found.signature == f"command:{metric.command}|scale:1|ci:none (needs 10 rows)"


def test_scale_name_and_braces(tmp_path: Path) -> None:
    run = program(tmp_path, "import sys; assert sys.argv[1] == '{x}'; print(0.25)")
    metric = Command(run + " {{x}} {hypothesis}", scale=100, title="mine")
    found = score(metric.name, metric.stats(PREDICTIONS[:1], EXAMPLES[:1]))
    assert (found.name, found.value) == ("mine", 25)
    assert metric.stats([], []).rows.shape == (0, 2), "without rows nothing is started"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("print(1)", "the metric 'metric' printed 1 lines for 2 rows; it must print one number"),
        ("print('1\\n2\\n3')", "the metric 'metric' printed 3 lines for 2 rows;"),
        ("print('1\\nn/a')", "the metric 'metric' printed 'n/a' on line 2, which is no finite"),
        ("print('nan\\n1')", "the metric 'metric' printed 'nan' on line 1, which is no finite"),
        ("print('1\\n2'); raise SystemExit('no model')",
         "the metric 'metric' ended with code 1: no model"),
        ("raise SystemExit(4)", "the metric 'metric' ended with code 4: it printed no error"),
    ],
)  # fmt: skip
def test_failures_are_one_clear_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MetricError) as caught:
        Command(program(tmp_path, text) + " {hypothesis}").stats(PREDICTIONS, EXAMPLES)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


def test_a_program_that_takes_too_long_is_ended_with_its_children(tmp_path: Path) -> None:
    text = (
        "import subprocess, sys, time, pathlib\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "pathlib.Path('child').write_text(str(child.pid))\n"
        "time.sleep(60)\n"
    )
    metric = Command(program(tmp_path, text) + " {hypothesis}", timeout_s=3, folder=str(tmp_path))
    with pytest.raises(MetricError, match=r"ran for more than 3 s and was ended; raise timeout_s"):
        metric.stats(PREDICTIONS, EXAMPLES)
    status = Path("/proc") / (tmp_path / "child").read_text() / "stat"
    until = time.monotonic() + 10  # the signal is sent; the kernel may need a moment
    while status.exists() and status.read_text().split()[2] not in "ZX":
        assert time.monotonic() < until, "the child is still running"
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("", "the metric command is empty; name a program and its files"),
        ("x 'y", 'the metric command "x \'y" cannot be split: No closing quotation'),
        ("x {source}", "the metric command 'x {source}' does not read {hypothesis}; write it"),
        ("x {{hypothesis}}", "the metric command 'x {{hypothesis}}' does not read {hypothesis}"),
    ],
)
def test_commands_that_cannot_be(command: str, message: str) -> None:
    with pytest.raises(MetricError) as caught:
        Command(command)
    assert str(caught.value).startswith(message)


def test_what_the_rows_lack() -> None:
    with pytest.raises(MetricError, match=r"names {sauce}, and example '0' has no such field. Did"):
        Command("x {sauce} {hypothesis}").stats(PREDICTIONS, EXAMPLES)
    with pytest.raises(
        MetricError, match="cannot be started: No such file or directory: nowhere/x"
    ):
        Command("nowhere/x {hypothesis}").stats(PREDICTIONS, EXAMPLES)
    with pytest.raises(MetricError, match="needs a target, and example '0' has none"):
        Command("x {hypothesis}").stats([Prediction("0", "a")], [Example("0", {})])
    listed = [Example("0", {"source": ["a"]}, ("t",))]
    with pytest.raises(MetricError, match="names {source}, which is no text in example '0'"):
        Command("x {source} {hypothesis}").stats([Prediction("0", "a")], listed)
