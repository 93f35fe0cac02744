"""The line of progress: condition, rows, tokens per second and time left of the whole run."""

from __future__ import annotations

import io
import re
import threading
from pathlib import Path

import pytest

from icl.core.errors import StoppedError
from icl.running.progress import Progress, StopClock, format_duration
from icl.running.run import run
from icl.workbench.jobs import JobProgress, RunMeter
from tests.table_experiment import write


def test_a_line_has_condition_rows_rate_and_time_left() -> None:
    stream = io.StringIO()
    with Progress(stream) as progress:
        progress.begin("intent 8 bm25", done=0, total=4)
        progress.advance(rows=2, tokens=900, left_s=185)  # too soon for another line
        progress.advance(rows=2, tokens=900, left_s=62)
        progress.begin("intent 0", done=0, total=1)
        progress.advance(rows=1, tokens=10)
    first, second = stream.getvalue().splitlines()
    assert re.fullmatch(r"intent 8 bm25: 4/4 rows, [\d,]+ tok/s, 1 min 02 s left", first)
    assert re.fullmatch(r"intent 0: 1/1 rows, [\d,]+ tok/s, 0 s so far", second)


def test_the_page_shows_the_time_left_too() -> None:
    progress = JobProgress(threading.Event())
    progress.begin("intent 0", done=0, total=4)
    assert progress.line == "intent 0: 0 of 4 rows"
    progress.advance(rows=2, tokens=900, left_s=62)
    assert re.fullmatch(r"intent 0: 2 of 4 rows, [\d,]+ tok/s, 1 min 02 s left", progress.line)


def test_the_page_knows_how_far_the_whole_run_is(tmp_path: Path) -> None:
    file = write(tmp_path)
    progress = JobProgress(threading.Event())
    assert progress.meter() is None
    run(file, tmp_path / "runs", progress)
    meter = progress.meter()
    assert meter is not None and (meter.done, meter.total) == (40, 40)
    again = JobProgress(threading.Event())
    run(file, tmp_path / "runs", again)
    meter = again.meter()
    assert meter is not None and (meter.done, meter.total) == (40, 40)  # reused ones count


def test_a_meter_says_rows_time_left_and_in_all() -> None:
    assert str(RunMeter(3, 1200, 62, 180)) == (
        "3 of 1,200 rows; 3 min 00 s left; 4 min 02 s in all"
    )
    assert str(RunMeter(3, 12, 62, None)) == "3 of 12 rows; 1 min 02 s so far"
    assert str(RunMeter(12, 12, 62, 0.0)) == "all 12 rows; 1 min 02 s in all"


class Lefts(Progress):
    """Remembers the seconds left that it is told."""

    def __init__(self) -> None:
        super().__init__(quiet=True)
        self.lefts: list[float | None] = []

    def advance(self, rows: int, tokens: int, left_s: float | None = None) -> None:
        super().advance(rows, tokens, left_s)
        self.lefts.append(left_s)


def test_a_run_ends_with_nothing_left(tmp_path: Path) -> None:
    progress = Lefts()
    run(write(tmp_path), tmp_path / "runs", progress)
    assert progress.lefts[-1] == 0
    assert all(left is not None and left > 0 for left in progress.lefts[:-1])


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (62, "1 min 02 s"), (3700, "1 h 01 min")]
)
def test_durations(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


def test_a_clock_ends_the_work_between_two_batches_once_something_is_saved() -> None:
    time_s = [0.0]
    clock = StopClock(1.5, now=lambda: time_s[0])
    with Progress(quiet=True, clock=clock) as progress:
        progress.begin("a", 0, 4)
        time_s[0] = 89.0
        progress.advance(2, 10)
        time_s[0] = 91.0
        progress.advance(2, 10)  # its last rows: nothing is left to stop
        progress.begin("b", 3, 3)
        with pytest.raises(StoppedError, match=r"^stopped after 1\.5 min, as --stop-after says"):
            progress.begin("c", 1, 3)
    late = StopClock(0, now=lambda: time_s[0])
    with Progress(quiet=True, clock=late) as progress:
        progress.begin("a", 0, 4)  # nothing is saved yet, so the run gets on
        with pytest.raises(StoppedError):
            progress.advance(2, 10)
