"""A reader of search folders: the result of a search, or its progress, without a model."""

from __future__ import annotations

import io
from pathlib import Path

from icl.core.files import read_plain
from icl.records.paths import SEARCH, TABLE, holds_run
from icl.running.search.outcome import make_rungs_table
from icl.running.search.state import read_state

__all__ = ["describe_search"]


BEST = "best.yaml"


def describe_search(folder: Path, width: int = 80) -> str:
    """Describe a search by the files in its folder, in at most ``width`` columns.

    A search that ended left its result as text; of another one the trials so far are told.

    Raises:
        StoreError: its state cannot be read.
    """
    kept = read_state(folder)
    # A run of the same name would have left the table. Each trial and each test renews the state,
    # so an older table is not of this search.
    table = None if holds_run(folder) else read_plain(folder / TABLE)
    if table is not None and _time(folder / TABLE) >= _time(folder / SEARCH):
        return table.decode("utf-8", "replace")
    trials = [trial for trial in kept.list_trials() if trial.rung]
    if not trials:
        return "a search that has not answered its first candidate; the same icl run goes on\n"
    from icl.core.safe_console import SafeConsole

    rows = {trial.rung: trial.rows for trial in trials}
    objective = trials[0].objective
    console = SafeConsole(file=io.StringIO(), width=width, color_system=None, force_terminal=False)
    console.print(f"{objective} on development rows, {len(trials)} trials so far")
    digits = 2 if objective == "gold_logprob" else 1
    console.print(make_rungs_table(trials, [rows[rung] for rung in sorted(rows)], digits))
    ended = folder / BEST
    console.print(
        f"\nthe winner's experiment: {ended}"
        if ended.is_file()
        else "\nnot finished: the same icl run goes on from here"
    )
    text: str = console.file.getvalue()  # type: ignore[attr-defined]
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def _time(path: Path) -> int:
    return path.stat().st_mtime_ns
