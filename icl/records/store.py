"""The folder of one condition: records that are only appended, a batch plan, and small files.

A condition folder holds::

    condition.json   what was run: identity (hashed into the folder's name), template, prompts
    choices.json     the choices of a ranking condition, once
    examples.jsonl   fields and targets of every planned example
    shots.jsonl      the pool examples used in prompts
    plan.json        example ids of every batch, in order
    records.jsonl    one line an example, in the plan's order
    timings.jsonl    seconds and work of every batch
    unscored.jsonl   rows without an answer at their last try, and the reason; rarely present

A batch is the unit of commit: its lines are appended in one write and synced, so
``records.jsonl`` is always the plan's beginning, plus at most one torn batch, which the next
writer drops and computes again. The file is never rewritten. A writer that finds a file of its
folder deleted, cut or replaced by another process stops, so that its counts are true.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import msgspec

from icl.core.errors import BusyError, DataError, StoreError
from icl.core.files import (
    GrowingFile,
    Stamp,
    append_lines,
    check_folders,
    check_plain,
    make_write_error,
    read_plain,
    replace_file,
    stamp,
)
from icl.core.strict_json import (
    Amount,
    Count,
    ShapeError,
    TornLineError,
    decode,
    decoder,
    numbered_lines,
    read_json,
)
from icl.core.types import JSON, Choice, Example, Record, Role, UnscoredRow
from icl.records.condition_file import ConditionFile, read_condition
from icl.records.lines import (
    parse_example,
    parse_record,
    parse_unscored,
    write_example_line,
    write_record_line,
    write_unscored_line,
)
from icl.records.paths import CONDITIONS

__all__ = ["UNSCORED", "ConditionStore", "append_lines", "write_record_line", "replace_file"]


T = TypeVar("T")

UNSCORED = "unscored.jsonl"
SMALL = ("condition.json", "choices.json", "examples.jsonl", "shots.jsonl", "plan.json", UNSCORED)
"""Files that are replaced whole."""


class StoredChoice(msgspec.Struct, forbid_unknown_fields=True):
    """A choice in ``choices.json``, with its token count."""

    label: str
    text: str
    end: str
    tokens: Count


class ConditionStore:
    """Reader and single writer of one condition's folder.

    >>> store = ConditionStore(Path("runs/conditions/intent-3f2a"))      # doctest: +SKIP
    >>> with store.writing():                                           # doctest: +SKIP
    ...     store.begin({"identity": {}})
    ...     store.plan(pending_batches, examples, shots)
    ...     for index, ids in store.unfinished():
    ...         store.commit(index, compute(ids), {"seconds": 1.2})
    """

    def __init__(self, folder: Path, within: Path | None = None) -> None:
        self.folder = folder
        self.within = within or folder.parent
        """Folder of all runs; no link below it is written through."""
        self._done = 0
        self._planned: list[list[str]] | None = None
        self._records = folder / "records.jsonl"
        self._rows = GrowingFile(self._records)
        self._timings = GrowingFile(folder / "timings.jsonl")
        self._small: dict[str, Stamp | None] = {}

    @classmethod
    def of(cls, root: Path, folder: str) -> ConditionStore:
        """Return the store of a condition, by its folder's name and the folder of all runs."""
        return cls(root / CONDITIONS / folder, root)

    def beside(self, role: Role) -> ConditionStore:
        """Return the store of a probe role, a folder inside this one."""
        return ConditionStore(self.folder / "probes" / role, self.within)

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """Lock the folder for one writer, and drop the incomplete batch of a killed one.

        Raises:
            BusyError: another process writes here.
            StoreError: the folder or one of its files is a link or of the wrong type; or, at the
                end, another program deleted, cut or replaced a file meanwhile.
        """
        from filelock import FileLock, Timeout

        check_folders(self.folder, self.within)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            check_plain(self.folder / ".lock")  # some versions of filelock cut what a link leads to
            lock = FileLock(self.folder / ".lock", timeout=0)
            lock.acquire()
        except Timeout as error:
            raise BusyError(
                f"another process is writing to {self.folder}; wait for it to end (its finished "
                "rows will be reused), or stop it"
            ) from error
        except OSError as error:
            raise make_write_error(self.folder, error) from error
        try:
            self._recover()
            yield
            self._check_all()
        finally:
            self._planned = None
            lock.release()

    def check(self) -> None:
        """Raise an error if written records are no longer in the file.

        Raises:
            StoreError: another program deleted, cut or replaced the file since the last write.
        """
        self._rows.check(may_grow=True)

    def _check_all(self) -> None:
        self._rows.check()
        self._timings.check()
        for name, left in self._small.items():
            path = self.folder / name
            if stamp(path) == left:
                continue
            repair = f"put it back as it was, or delete the folder {self.folder}, then"
            if name == "plan.json":  # without it no record could be used again
                self._write_plan(self.batches())
                repair = "it is written again:"
            raise StoreError(
                f"{path} was deleted or replaced by another program during this run; "
                f"{repair} run the same command again"
            )

    def replace(self, name: str, text: str) -> None:
        """Replace a small file of the folder as a whole.

        Raises:
            StoreError: it is not a plain file, the disk is full, or the folder is not writable.
        """
        path = self.folder / name
        replace_file(path, text, self.within)
        if name in self._small:
            self._small[name] = stamp(path)

    def begin(self, condition: Mapping[str, JSON]) -> None:
        """Write ``condition.json`` if it does not exist: identity, template and method."""
        if not (self.folder / "condition.json").exists():
            text = json.dumps(condition, ensure_ascii=False, indent=1) + "\n"
            self.replace("condition.json", text)

    def keep_choices(self, choices: Sequence[Choice], tokens: Sequence[int]) -> tuple[int, ...]:
        """Write the choices and their token counts once; return the stored token counts."""
        path = self.folder / "choices.json"
        if not path.exists():
            rows = [
                {**asdict(choice), "tokens": count}
                for choice, count in zip(choices, tokens, strict=True)
            ]
            body = ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
            self.replace(path.name, f"[\n{body}\n]\n")
        return self.choice_tokens()

    def choice_tokens(self) -> tuple[int, ...]:
        """Return the token count of every choice with its terminator; 0 each if none was scored."""
        return tuple(row.tokens for row in self._choice_lines())

    def tokens(self, records: Iterable[Record]) -> int:
        """Count the tokens of records' prompts and answers, without sharing common prefixes."""
        usual = self.choice_tokens()
        return sum(
            record.prompt_tokens
            + sum(record.choice_tokens or (usual if record.logprobs else ()))
            + sum(output.output_tokens for output in record.outputs)
            for record in records
        )

    def condition(self) -> ConditionFile:
        """Read ``condition.json``.

        Raises:
            StoreError: the file is missing, malformed, or lacks a part that prompts need.
        """
        return read_condition(self.folder / "condition.json")

    def choices(self) -> list[Choice]:
        """Return the choices that all records share, in the order of their log-probabilities."""
        return [Choice(row.label, row.text, row.end) for row in self._choice_lines()]

    def _choice_lines(self) -> list[StoredChoice]:
        path = self.folder / "choices.json"
        rows = self._read(path, list[StoredChoice]) if path.exists() else []
        if len({row.label for row in rows}) < len(rows):
            raise StoreError(f"{path}: a label appears twice; {self._repair}")
        return rows

    def _read(self, path: Path, kind: type[T]) -> T:
        return read_json(path, kind, self._repair)

    @property
    def _repair(self) -> str:
        return (
            f"put the file back as it was, or delete the folder {self.folder} and run the "
            "experiment again"
        )

    def batches(self) -> list[list[str]]:
        """Return the example ids of every planned batch; the writer reads the file only once."""
        if self._planned is not None:
            return self._planned
        path = self.folder / "plan.json"
        return self._read(path, list[list[str]]) if path.exists() else []

    def unfinished(self) -> list[tuple[int, list[str]]]:
        """Return (index, ids) of the planned batches without records, in order."""
        return list(enumerate(self.batches()[self._done :], self._done))

    def plan(
        self,
        pending: Sequence[Sequence[str]],
        examples: Iterable[Example],
        shots: Iterable[Example] = (),
    ) -> None:
        """Store the examples, and plan ``pending`` as the batches that follow the finished ones.

        If the unfinished part of the plan holds the same examples, it stays, so that a resumed run
        continues with the same batches. Examples are stored in any case: a corrected answer in the
        data changes scores but no prompt.
        """
        self._keep("examples.jsonl", examples)
        self._keep("shots.jsonl", shots)
        batches = self.batches()
        planned = {name for batch in batches[self._done :] for name in batch}
        if not pending or planned == {name for batch in pending for name in batch}:
            return
        self._write_plan([*batches[: self._done], *map(list, pending)])

    def _keep(self, name: str, examples: Iterable[Example]) -> None:
        try:
            known = {k: write_example_line(one) for k, one in self._read_examples(name).items()}
            new = {example.id: write_example_line(example) for example in examples}
        except ShapeError as error:
            raise DataError(f"{error}, and a run folder holds no such row; flatten it") from error
        if new.items() <= known.items():
            return
        self.replace(name, "".join(line + "\n" for line in (known | new).values()))

    def split(self, index: int) -> None:
        """Replace a planned batch that did not fit into memory by its two halves."""
        batches = self.batches()
        batch = batches[index]
        middle = (len(batch) + 1) // 2
        self._write_plan([*batches[:index], batch[:middle], batch[middle:], *batches[index + 1 :]])

    def leave_out(self, index: int, rows: Sequence[UnscoredRow]) -> bool:
        """Store the reason why rows of a planned batch have no answer, and plan it without them.

        The next run plans them again. Killed in between, the batch is planned as it was.

        Returns:
            Whether any rows of the batch are left to be committed.
        """
        self.keep_unscored(rows)
        batches, names = self.batches(), {row.id for row in rows}
        rest = [name for name in batches[index] if name not in names]
        self._write_plan([*batches[:index], *([rest] if rest else []), *batches[index + 1 :]])
        return bool(rest)

    def keep_unscored(self, rows: Iterable[UnscoredRow], anew: Iterable[str] = ()) -> None:
        """Add rows that could not be answered; first forget those of the ids in ``anew``."""
        known = self.unscored()
        made = {name: row for name, row in known.items() if name not in {*anew}}
        made |= {row.id: row for row in rows}
        if made != known:
            self.replace(UNSCORED, "".join(write_unscored_line(r) + "\n" for r in made.values()))

    def unscored(self) -> dict[str, UnscoredRow]:
        """Read the rows that had no answer when they were last sent, by id.

        Raises:
            StoreError: the file holds something else.
        """
        path = self.folder / UNSCORED
        found: dict[str, UnscoredRow] = {}
        for number, line in numbered_lines(read_plain(path) or b""):
            try:
                row = parse_unscored(line)
            except ShapeError as error:
                raise StoreError(
                    f"{path}:{number}: corrupt line ({error}); delete the file {path} and run the "
                    "experiment again, which sends those rows again"
                ) from error
            found[row.id] = row
        return found

    def _write_plan(self, batches: Sequence[Sequence[str]]) -> None:
        rows = ",\n".join(json.dumps(list(batch), ensure_ascii=False) for batch in batches)
        self.replace("plan.json", f"[\n{rows}\n]\n")
        if self._planned is not None:
            self._planned = list(map(list, batches))

    def commit(self, index: int, records: Sequence[Record], timing: Mapping[str, JSON]) -> None:
        """Append the records of the next planned batch, in the plan's order, and sync them.

        Raises:
            StoreError: the disk is full or an I/O error occurred, and the file is unchanged; or
                another program deleted, cut or replaced it.
        """
        ids = self.batches()[index]
        if index != self._done or [record.id for record in records] != ids:
            raise AssertionError(f"batch {index} is not the next of {self.folder}")
        line = json.dumps({"batch": index, "rows": len(ids), **timing}) + "\n"
        self._rows.check()
        self._timings.append(line.encode())
        data = "".join(write_record_line(record) + "\n" for record in records)
        self._rows.append(data.encode("utf-8", "surrogatepass"))
        self._done += 1

    def records(self) -> dict[str, Record]:
        """Read the newest record of every example; an incomplete last line is ignored.

        Raises:
            StoreError: a line before the last is corrupt; the message names file and line.
        """
        kept, _ = self._scan()
        return {record.id: record for record in kept}

    def examples(self) -> dict[str, Example]:
        """Read every planned example, by id."""
        return self._read_examples("examples.jsonl")

    def shots(self) -> dict[str, Example]:
        """Read every pool example that a prompt contains, by id."""
        return self._read_examples("shots.jsonl")

    def complete_records(self) -> dict[str, Record]:
        """Read the records as :meth:`records` does, and check that each holds a whole answer.

        Raises:
            StoreError: as there; or a record has no answer, or too few or many log-probabilities.
        """
        kept, _ = self._scan()
        shared = len(self.choices())
        for number, record in enumerate(kept, 1):
            there, needed = len(record.logprobs), len(record.choices) or shared
            if there and there != needed:
                told = f"{there} log-probabilities for {needed} choices"
            elif there and len(record.choice_tokens) not in (0, there):
                told = f"the tokens of {len(record.choice_tokens)} choices, and there are {there}"
            elif not there and not record.outputs:
                told = "no answer: neither log-probabilities nor outputs"
            else:
                continue
            raise self._corrupt(number, f"it has {told}")
        return {record.id: record for record in kept}

    def _corrupt(self, number: int, told: str) -> StoreError:
        return StoreError(
            f"{self._records}:{number}: corrupt record ({told}); to compute it and what follows "
            f"again, delete line {number} and all after it"
        )

    def _read_examples(self, name: str) -> dict[str, Example]:
        path = self.folder / name
        found: dict[str, Example] = {}
        for number, line in numbered_lines(read_plain(path) or b""):
            try:
                example = parse_example(line)
                if example.id in found:
                    raise ShapeError(f"the id {example.id!r} appears twice")
            except ShapeError as error:
                raise StoreError(
                    f"{path}:{number}: corrupt line ({error}); delete the folder {self.folder} "
                    "and run the experiment again"
                ) from error
            found[example.id] = example
        return found

    def timing(self) -> dict[str, float]:
        """Sum every number in ``timings.jsonl`` over all batches.

        Raises:
            StoreError: a line is JSON, but not a batch with its numbers.
        """
        newest: dict[float, dict[str, float]] = {}
        path = self._timings.path
        for number, line in numbered_lines(read_plain(path) or b""):
            try:
                row = decode(line, _TIMING)
                newest[row.pop("batch")] = row
            except TornLineError:  # a killed writer's line only loses its seconds
                continue
            except (ShapeError, KeyError) as error:
                told = "batch is missing" if isinstance(error, KeyError) else error
                raise StoreError(
                    f"{path}:{number}: corrupt line ({told}); delete that line, which loses only "
                    "its seconds"
                ) from error
        total: dict[str, float] = {}
        for row in newest.values():
            for name, value in row.items():
                total[name] = total.get(name, 0) + value
        return total

    def _recover(self) -> None:
        """Cut the records after the last whole batch."""
        for name in SMALL:
            self._small[name] = stamp(self.folder / name)
            check_plain(self.folder / name)
        self._planned = self.batches()
        records, ends = self._scan()
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
        self._rows.take(keep)
        self._timings.take()

    def _scan(self) -> tuple[list[Record], list[int]]:
        """Read the records, and the byte offset at which each one's line ends."""
        data = read_plain(self._records) or b""
        records: list[Record] = []
        ends: list[int] = []
        start, number = 0, 0
        while start < len(data):
            number += 1
            stop = data.find(b"\n", start)
            last = stop < 0 or stop + 1 == len(data)
            try:
                if stop < 0:
                    raise TornLineError("the line has no end")
                records.append(parse_record(data[start:stop]))
            except ShapeError as error:
                if last:
                    break
                raise self._corrupt(number, str(error)) from error
            ends.append(stop + 1)
            start = stop + 1
        return records, ends


_TIMING = decoder(dict[str, Count | Amount])
