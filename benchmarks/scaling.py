"""How does the cost grow with shots, labels and queries? Printed, and drawn as bars."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.prompts import bm25_intents, choices, fixed_intents
from benchmarks.results import MODEL, Options, logger, made_with, unique_tokens
from benchmarks.tools import Items, folder_of, ours
from icl.core.errors import IclError
from icl.core.types import Prompt
from icl.engines.hf.engine import HFEngine

__all__ = ["Point", "run"]

BAR = 30
"""Characters of the longest bar."""


@dataclass(frozen=True, slots=True)
class Point:
    """The cost of one size along one axis."""

    axis: str
    size: int
    ours_s: float
    """Seconds a query."""
    forwarded_tokens: int
    unique_tokens: int
    whole_tokens: int
    """Tokens of all prompts and choices, as a tool without sharing forwards them."""
    queries: int

    @property
    def ratio(self) -> float:
        """Tokens that sharing saves, as a factor."""
        return self.whole_tokens / max(1, self.forwarded_tokens)


def run(options: Options) -> list[Point]:
    """Measure each axis with the others held still: 8 queries, 16 labels, 4 fixed shots."""
    quick = options.quick
    found: list[Point] = []
    with folder_of(options.model) as source:
        engine = HFEngine(source).load()
        list(engine.score(_items(fixed_intents(2, 4), 4)))
        shots = (0, 4, 16) if quick else (0, 1, 2, 4, 8, 16, 32, 64)
        labels = (2, 16, 64) if quick else (2, 4, 8, 16, 32, 64, 128, 256)
        queries = (10, 30) if quick else (10, 30, 100, 300, 1000)
        for k in shots:
            found.append(_point(engine, "fixed shots", k, _items(fixed_intents(8, k), 16)))
        for k in shots:
            found.append(_point(engine, "BM25 shots", k, _items(bm25_intents(8, k), 16)))
        for n in labels:
            found.append(_point(engine, "labels", n, _items(fixed_intents(8, 4), n)))
        for n in queries:
            found.append(_point(engine, "queries", n, _items(fixed_intents(n, 4), 16)))
    return found


def _items(prompts: Sequence[Prompt], n_labels: int) -> Items:
    """Every prompt with the first labels; behind the 60 intents come pairs of them."""
    intents = choices()
    pairs = [f"{a} and{b}" for a in intents for b in intents if a < b]
    return [(prompt, label) for prompt in prompts for label in [*intents, *pairs][:n_labels]]


def _point(engine: HFEngine, axis: str, size: int, items: Items) -> Point:
    logger.info("scaling, %s: %d", axis, size)
    answers = ours(engine, items)
    ids = engine.codec.encode([prompt.text + choice for prompt, choice in items])
    queries = len({prompt.text for prompt, _ in items})
    floor, whole = unique_tokens(ids), sum(map(len, ids))
    seconds = answers.seconds / queries
    return Point(axis, size, seconds, answers.forwarded_tokens, floor, whole, queries)


def show(points: Sequence[Point], console: Console) -> None:
    """One table of 80 columns with a bar for each time."""
    table = Table(box=None, padding=(0, 1), pad_edge=False)
    for head in ("", "size", "s/query", "tokens/query", "saved"):
        table.add_column(head, justify="left" if not head else "right", no_wrap=True)
    table.add_column("", no_wrap=True)
    for axis in dict.fromkeys(point.axis for point in points):
        own = [point for point in points if point.axis == axis]
        most = max(point.ours_s for point in own)
        for point in own:
            table.add_row(
                axis if point is own[0] else "",
                f"{point.size:,}",
                f"{point.ours_s:.3g}",
                f"{point.forwarded_tokens / point.queries:,.1f}",
                f"{point.ratio:,.0f} x",
                "█" * max(1, round(BAR * point.ours_s / most)),
            )
    console.print(table)


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer sizes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--model", default=MODEL, help=f"model source, or tiny; default {MODEL}")
    given = parser.parse_args()
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
    try:
        points = run(Options(given.quick, given.model))
    except IclError as error:
        sys.exit(f"error: {error}")
    if given.json is not None:
        rows = [
            asdict(point)
            | {
                "name": f"{point.axis} {point.size}",
                "ratio": point.ratio,
                "theirs_s": None,
                "max_abs_diff": None,
                "argmax_equal": None,
            }
            | made_with()
            for point in points
        ]
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    show(points, Console(width=80))


if __name__ == "__main__":
    main()
