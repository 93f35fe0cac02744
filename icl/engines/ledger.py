"""The answers of a server and their costs, saved one by one until their batch is committed.

The condition folder of a server engine holds two more files::

    arriving.jsonl   one line per answered request of the unfinished batch
    traffic.jsonl    one line per committed batch: requests, retries, tokens, cost, latencies,
        models

So a run that is killed loses only the requests in flight: the next run finds the answers of the
unfinished batch, and sends and pays for only the rest. Neither file holds a key or a header.
"""

from __future__ import annotations

import json
import os
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import msgspec

from icl.core.errors import StoreError
from icl.core.files import open_to_append, read_plain
from icl.core.strict_json import (
    Amount,
    Count,
    ShapeError,
    TornLineError,
    decode,
    decoder,
    numbered_lines,
)
from icl.core.types import Ranking, Sampling

__all__ = ["ServerAnswer", "Ledger", "RemoteEngine", "Traffic", "sum_spent", "sum_traffic"]


T = TypeVar("T")

ARRIVING, TRAFFIC = "arriving.jsonl", "traffic.jsonl"


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """The answer to one request, with its tokens, cost and latency."""

    key: str
    """Hash of server, path, body and place in the call, by which a resumed run finds the answer."""
    value: Any
    """The part of the server's answer that is needed, as plain JSON."""
    model: str = ""
    """The model version that the server reports."""
    prompt_tokens: int = 0
    output_tokens: int = 0
    cost: float | None = None
    """In the unit of the price table; None without a price table."""
    ms: int = 0
    """Milliseconds that the successful request took."""
    retries: int = 0
    """Failed requests before the successful one."""


@dataclass(frozen=True, slots=True)
class Traffic:
    """Sums over requests: their number, retries, tokens, cost, latencies and model versions."""

    requests: int
    retries: int
    prompt_tokens: int
    output_tokens: int
    cost: float | None
    latencies_ms: Sequence[int]
    models: Mapping[str, int]
    """Model version -> requests that it answered."""

    def latency_ms(self, share: float) -> int:
        """Return the latency that ``share`` (0 to 1) of the requests keep within (nearest rank)."""
        ordered = sorted(self.latencies_ms)
        place = max(0, -int(-share * len(ordered) // 1) - 1)
        return ordered[place] if ordered else 0


class AnswerLine(msgspec.Struct, forbid_unknown_fields=True):
    """A line of ``arriving.jsonl``."""

    key: str
    value: Any
    model: str = ""
    prompt_tokens: Count = 0
    output_tokens: Count = 0
    cost: Amount | None = None
    ms: Count = 0
    retries: Count = 0


class TrafficLine(msgspec.Struct, forbid_unknown_fields=True):
    """A line of ``traffic.jsonl``."""

    requests: Count
    retries: Count
    prompt_tokens: Count
    output_tokens: Count
    cost: Amount | None
    latencies_ms: list[Count]
    models: dict[str, Count]
    batch: Count | None = None


def _sum_parts(parts: Sequence[Traffic]) -> Traffic:
    costs = [part.cost for part in parts if part.cost is not None]
    models: Counter[str] = Counter()
    for part in parts:
        models.update(part.models)
    return Traffic(
        requests=sum(part.requests for part in parts),
        retries=sum(part.retries for part in parts),
        prompt_tokens=sum(part.prompt_tokens for part in parts),
        output_tokens=sum(part.output_tokens for part in parts),
        cost=round(sum(costs), 12) if costs else None,
        latencies_ms=[ms for part in parts for ms in part.latencies_ms],
        models=dict(models),
    )


def _of_answer(answer: ServerAnswer) -> Traffic:
    return Traffic(
        1,
        answer.retries,
        answer.prompt_tokens,
        answer.output_tokens,
        answer.cost,
        [answer.ms],
        {answer.model: 1} if answer.model else {},
    )


class Ledger:
    """The answers of one condition's unfinished batch; without a folder it only sums them up.

    >>> ledger = Ledger()
    >>> ledger.add(ServerAnswer("k", {"text": "hi"}, cost=0.5, ms=20))
    >>> ledger.traffic.cost
    0.5
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._answers: dict[str, ServerAnswer] = {}
        self._parts: list[Traffic] = []
        if folder is not None:
            for answer in _arriving(folder):
                self._answers[answer.key] = answer
            self._parts = [_of_answer(answer) for answer in self._answers.values()]

    def find(self, key: str) -> ServerAnswer | None:
        """Return the answer that an interrupted run already received for this request, or None."""
        return self._answers.get(key)

    def add(self, answer: ServerAnswer) -> None:
        """Save an answer, before it is used.

        Raises:
            StoreError: the folder cannot be written.
        """
        with self._lock:
            self._parts.append(_of_answer(answer))
            if self.folder is None:
                return
            self._answers[answer.key] = answer
            line = json.dumps(asdict(answer), ensure_ascii=False, separators=(",", ":")) + "\n"
            _append(self.folder / ARRIVING, line)

    @property
    def traffic(self) -> Traffic:
        """Sums over the unfinished batch so far."""
        with self._lock:
            return _sum_parts(self._parts)

    def settle(self, batch: int) -> None:
        """Append the committed batch's sums to ``traffic.jsonl`` and delete its saved answers."""
        sums = self.traffic
        with self._lock:
            if self.folder is not None and sums.requests:
                row = {"batch": batch, **asdict(sums)}
                _append(self.folder / TRAFFIC, json.dumps(row, ensure_ascii=False) + "\n")
                (self.folder / ARRIVING).unlink(missing_ok=True)
            self._answers.clear()
            self._parts.clear()


@runtime_checkable
class RemoteEngine(Protocol):
    """The methods of an engine with a server, besides :class:`icl.engines.protocol.Engine`."""

    concurrency: int
    """Requests in flight at a time."""
    ledger: Ledger
    """Saves answers until their batch is committed; a run sets it to its condition's."""
    spent: float
    """Money spent so far; a run adds what earlier runs spent."""
    price: Mapping[str, float] | None
    """Money per million tokens, ``input`` and ``output``; None if unknown."""

    def ranked_by(self, choices: Sequence[str]) -> Ranking:
        """Return how choices are ranked: ``echo``, ``first_token``, or ``generate`` (as text)."""
        ...

    def cost_of(
        self,
        prompt_tokens: int,
        choice_tokens: Sequence[int],
        ranking: Ranking | None,
        sampling: Sampling,
    ) -> float | None:
        """Return the most money that one prompt can cost; None without a price table."""
        ...


def sum_traffic(folder: Path) -> Traffic:
    """Sum up a condition's committed batches and its unfinished one."""
    parts = [
        Traffic(
            row.requests,
            row.retries,
            row.prompt_tokens,
            row.output_tokens,
            row.cost,
            row.latencies_ms,
            row.models,
        )
        for row in _lines(folder / TRAFFIC, TrafficLine)
    ]
    return _sum_parts([*parts, *(_of_answer(answer) for answer in _arriving(folder))])


def sum_spent(folder: Path) -> float:
    """Return the money that a condition has cost so far, in the unit of the price table."""
    return sum_traffic(folder).cost or 0.0


def _arriving(folder: Path) -> list[ServerAnswer]:
    return [
        ServerAnswer(**msgspec.structs.asdict(row)) for row in _lines(folder / ARRIVING, AnswerLine)
    ]


def _append(path: Path, line: str) -> None:
    """Append in one write, without sync: an answer survives the process, not a loss of power."""
    data = line.encode("utf-8", "surrogatepass")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(open_to_append(path), "rb+", buffering=0) as out:
            size = out.seek(0, os.SEEK_END)
            if size:
                out.seek(size - 1)
                if out.read(1) != b"\n":  # a kill tore the last line; keep it apart from this one
                    data = b"\n" + data
            if out.write(data) != len(data):
                raise OSError("no room on disk")
    except OSError as error:
        raise StoreError(
            f"cannot write {path}: {error.strerror or error}; everything committed so far is "
            "safe: repair it and run the same command again"
        ) from error


def _lines(path: Path, kind: type[T]) -> Iterator[T]:
    """Yield a file's rows; skip an incomplete last line, whose request is sent again."""
    for number, line in numbered_lines(read_plain(path) or b""):
        try:
            yield decode(line, decoder(kind))
        except TornLineError:
            continue
        except ShapeError as error:
            raise StoreError(
                f"{path}:{number}: corrupt line ({error}); delete that line; its request "
                "is then sent again, or no longer counted"
            ) from error
