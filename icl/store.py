"""Append-only records of one condition, its batch plan, and small files replaced whole.

A condition folder holds::

    condition.json   what was run: identity (hashed into the folder's name), template, prompts
    choices.json     the choices of a ranking condition, once
    examples.jsonl   fields and targets of every planned example
    shots.jsonl      the pool examples that prompts were made with
    plan.json        example ids of every batch, in order
    records.jsonl    one line an example, in the plan's order
    timings.jsonl    seconds and work of every batch

A batch is the unit of commit: its lines are appended in one write and synced, so
``records.jsonl`` is always the plan's beginning, plus at most one torn batch, which the next
writer drops and computes again. The file is never rewritten.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from icl.errors import BusyError, StoreError
from icl.recording import ABOUT, example_line, misshapen, parse_example, parse_record, record_line
from icl.types import JSON, Choice, Example, Record

__all__ = ["ConditionStore", "append_lines", "read_json", "record_line", "replace_file"]


def replace_file(path: Path, text: str) -> None:
    """Write a file so that a reader, or a crash, sees the old text or the new one, whole.

    Raises:
        StoreError: no room, or the folder cannot be written; the old file is intact.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("w", encoding="utf-8", errors="surrogatepass") as out:
            out.write(text)
            out.flush()
            os.fsync(out.fileno())
        os.replace(temporary, path)
        _sync_folder(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise _store_error(path, error) from error


def _sync_folder(folder: Path) -> None:
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _append(path: Path, data: bytes) -> None:
    """Append whole and synced, or leave the file as it was."""
    size = path.stat().st_size if path.exists() else 0
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
            os.fsync(handle)
        finally:
            os.close(handle)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.truncate(path, size)
        raise _store_error(path, error) from error


def append_lines(path: Path, lines: Sequence[str]) -> None:
    """Append lines to a file, all of them synced or none.

    Raises:
        StoreError: no room, or the file cannot be written; what was there stays.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _store_error(path, error) from error
    text = "".join(f"{line}\n" for line in lines)
    _append(path, text.encode("utf-8", "surrogatepass"))


def _store_error(path: Path, error: OSError) -> StoreError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return StoreError(
            f"no room on disk for {path}; everything committed so far is safe: free some room and "
            "run the same command again"
        )
    return StoreError(
        f"cannot write {path}: {error.strerror or error}; everything committed so far is safe: "
        "repair it and run the same command again"
    )


def read_json(path: Path) -> Any:
    """Parse a JSON file.

    Raises:
        StoreError: missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_text("utf-8", "surrogatepass"))
    except FileNotFoundError as error:
        raise StoreError(f"{path} is missing; run the experiment again to write it") from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} cannot be read: {error}; run the experiment again") from error


class ConditionStore:
    """The folder of one condition.

    >>> store = ConditionStore(Path("runs/conditions/intent-3f2a"))      # doctest: +SKIP
    >>> with store.writing():                                           # doctest: +SKIP
    ...     store.begin({"identity": {}})
    ...     store.plan(pending_batches, examples, shots)
    ...     for index, ids in store.unfinished():
    ...         store.commit(index, compute(ids), {"seconds": 1.2})
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._done = 0
        self._planned: list[list[str]] | None = None

    @property
    def _records(self) -> Path:
        return self.folder / "records.jsonl"

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Be the only writer, and drop a torn batch that a killed writer left.

        Raises:
            BusyError: another process writes here.
        """
        from filelock import FileLock, Timeout

        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / ".lock", timeout=0)
            lock.acquire()
        except Timeout as error:
            raise BusyError(
                f"another process is writing to {self.folder}; wait for it to end (its finished "
                "rows will be reused), or stop it"
            ) from error
        except OSError as error:
            raise _store_error(self.folder, error) from error
        try:
            self._recover()
            yield
        finally:
            self._planned = None
            lock.release()

    def begin(self, condition: Mapping[str, JSON]) -> None:
        """Write what does not change: what was run, and how its prompts are made."""
        if not (self.folder / "condition.json").exists():
            text = json.dumps(condition, ensure_ascii=False, indent=1) + "\n"
            replace_file(self.folder / "condition.json", text)

    def keep_choices(self, choices: Sequence[Choice], tokens: Sequence[int]) -> tuple[int, ...]:
        """Write the choices once, with their token counts; returns the counts that stand."""
        path = self.folder / "choices.json"
        if not path.exists():
            rows = [
                {**asdict(choice), "tokens": count}
                for choice, count in zip(choices, tokens, strict=True)
            ]
            body = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
            replace_file(path, f"[\n{body}\n]\n")
        return self.choice_tokens()

    def choice_tokens(self) -> tuple[int, ...]:
        """Tokens of every choice, its terminator included; 0 each where none was scored."""
        path = self.folder / "choices.json"
        return tuple(row["tokens"] for row in read_json(path)) if path.exists() else ()

    def condition(self) -> dict[str, Any]:
        """What :meth:`begin` wrote.

        Raises:
            StoreError: the file is missing, or lacks something that prompts are made with.
        """
        path = self.folder / "condition.json"
        values: dict[str, Any] = read_json(path)
        wrong = misshapen(values, ABOUT)
        if wrong:
            raise StoreError(
                f"{path}: {wrong}; put the file back as it was, or delete the folder "
                f"{self.folder} and run the experiment again"
            )
        return values

    def choices(self) -> list[Choice]:
        """The choices that all records share, in the order of their log-probabilities."""
        path = self.folder / "choices.json"
        if not path.exists():
            return []
        return [Choice(row["label"], row["text"], row["end"]) for row in read_json(path)]

    def batches(self) -> list[list[str]]:
        """Example ids of every planned batch; the only writer reads them once."""
        if self._planned is not None:
            return self._planned
        path = self.folder / "plan.json"
        planned: list[list[str]] = read_json(path) if path.exists() else []
        return planned

    def unfinished(self) -> list[tuple[int, list[str]]]:
        """(index, ids) of the planned batches that have no records yet, in order."""
        return list(enumerate(self.batches()[self._done :], self._done))

    def plan(
        self,
        pending: Sequence[Sequence[str]],
        examples: Iterable[Example],
        shots: Iterable[Example] = (),
    ) -> None:
        """Make ``pending`` the unfinished part of the plan, unless it holds the same examples.

        So a resumed run goes on with the batches it began with, splits included. The examples are
        kept in any case: an answer that was corrected in the data changes scores and no prompt.
        """
        self._keep("examples.jsonl", examples)
        self._keep("shots.jsonl", shots)
        batches = self.batches()
        planned = {name for batch in batches[self._done :] for name in batch}
        if not pending or planned == {name for batch in pending for name in batch}:
            return
        self._write_plan([*batches[: self._done], *map(list, pending)])

    def _keep(self, name: str, examples: Iterable[Example]) -> None:
        known = self._read_examples(name)
        new = {example.id: example for example in examples}
        if not new or new.items() <= known.items():
            return
        lines = [example_line(example) + "\n" for example in {**known, **new}.values()]
        replace_file(self.folder / name, "".join(lines))

    def split(self, index: int) -> None:
        """Halve a planned batch that did not fit into memory."""
        batches = self.batches()
        batch = batches[index]
        middle = (len(batch) + 1) // 2
        self._write_plan([*batches[:index], batch[:middle], batch[middle:], *batches[index + 1 :]])

    def _write_plan(self, batches: Sequence[Sequence[str]]) -> None:
        rows = ",\n".join(json.dumps(list(batch), ensure_ascii=False) for batch in batches)
        replace_file(self.folder / "plan.json", f"[\n{rows}\n]\n")
        if self._planned is not None:
            self._planned = list(map(list, batches))

    def commit(self, index: int, records: Sequence[Record], timing: Mapping[str, JSON]) -> None:
        """Append the records of one planned batch, in the plan's order, and sync them.

        Raises:
            StoreError: no room or an I/O error; the file is as it was before.
        """
        ids = self.batches()[index]
        if index != self._done or [record.id for record in records] != ids:
            raise AssertionError(f"batch {index} is not the next of {self.folder}")
        line = json.dumps({"batch": index, "rows": len(ids), **timing}) + "\n"
        _append(self.folder / "timings.jsonl", line.encode())
        data = "".join(record_line(record) + "\n" for record in records)
        _append(self._records, data.encode("utf-8", "surrogatepass"))
        self._done += 1

    def records(self) -> dict[str, Record]:
        """The newest record of every example, torn lines at the end left out.

        Raises:
            StoreError: a line before the last is corrupt; names file and line.
        """
        kept, _, _ = self._scan()
        return {record.id: record for record in kept}

    def examples(self) -> dict[str, Example]:
        """Every planned example by id."""
        return self._read_examples("examples.jsonl")

    def shots(self) -> dict[str, Example]:
        """Every pool example that a prompt was made with, by id."""
        return self._read_examples("shots.jsonl")

    def _read_examples(self, name: str) -> dict[str, Example]:
        path = self.folder / name
        if not path.exists():
            return {}
        found: dict[str, Example] = {}
        for number, line in enumerate(path.read_text("utf-8", "surrogatepass").split("\n"), 1):
            if not line:
                continue
            try:
                example = parse_example(line)
                found[example.id] = example
            except (ValueError, KeyError, TypeError) as error:
                raise StoreError(
                    f"{path}:{number}: corrupt line; delete the folder {self.folder} and run the "
                    "experiment again"
                ) from error
        return found

    def timing(self) -> dict[str, float]:
        """Sums over all batches of every number in ``timings.jsonl``."""
        path = self.folder / "timings.jsonl"
        newest: dict[int, dict[str, Any]] = {}
        if path.exists():
            for line in path.read_text("utf-8").splitlines():
                with contextlib.suppress(ValueError):  # a torn line only loses its seconds
                    row = json.loads(line)
                    newest[row.pop("batch")] = row
        total: dict[str, float] = {}
        for row in newest.values():
            for name, value in row.items():
                total[name] = total.get(name, 0) + value
        return total

    def _recover(self) -> None:
        """Truncate to the last whole batch."""
        self._planned = self.batches()
        records, ends, size = self._scan()
        planned = [name for batch in self.batches() for name in batch]
        if len(records) > len(planned):
            raise StoreError(
                f"{self._records} has {len(records)} records, and plan.json names {len(planned)}; "
                f"put plan.json back as it was, or move the folder {self.folder} away and run the "
                "experiment again"
            )
        for number, (record, name) in enumerate(zip(records, planned, strict=False), 1):
            if record.id != name:
                raise StoreError(
                    f"{self._records}:{number}: record of {record.id!r} where the plan has "
                    f"{name!r}; delete the folder {self.folder} and run the experiment again"
                )
        self._done, position, keep = 0, 0, 0
        for batch in self.batches():
            position += len(batch)
            if position > len(records):
                break
            self._done += 1
            keep = ends[position - 1] if position else 0
        if size > keep:
            try:
                os.truncate(self._records, keep)
            except OSError as error:
                raise _store_error(self._records, error) from error

    def _scan(self) -> tuple[list[Record], list[int], int]:
        """Records, the byte at which each one's line ends, and the file's size."""
        if not self._records.exists():
            return [], [], 0
        data = self._records.read_bytes()
        records: list[Record] = []
        ends: list[int] = []
        start, number = 0, 0
        while start < len(data):
            number += 1
            stop = data.find(b"\n", start)
            last = stop < 0 or stop + 1 == len(data)
            try:
                if stop < 0:
                    raise ValueError("the line has no end")
                records.append(parse_record(data[start:stop].decode("utf-8", "surrogatepass")))
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                if last:
                    break
                raise StoreError(
                    f"{self._records}:{number}: corrupt record ({error}); to compute it and what "
                    f"follows again, delete line {number} and all after it"
                ) from error
            ends.append(stop + 1)
            start = stop + 1
        return records, ends, len(data)
