r"""An external program as a metric: it reads files and prints one number per line.

COMET, BLEURT, MetricX and similar metrics can so run in their own environment, with any versions
they need. ``docs/metrics.md`` has a recipe.
"""

from __future__ import annotations

import math
import os
import re
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

from icl.core.errors import ConfigError, MetricError
from icl.core.registry import did_you_mean, lookup, names
from icl.core.stats import Metric, Stats, mean
from icl.core.types import Better, Example, Needs, Prediction
from icl.metrics import pair_up, starts_program

__all__ = ["Command", "check_command_name", "place_command"]


_PLACE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}")


@dataclass(frozen=True, slots=True)
class Command:
    r"""The mean of the numbers that a program prints, with an interval.

    ``command`` is split into arguments as a shell does, but no shell runs it. In it
    ``{hypothesis}`` becomes the path of a file with the predictions, ``{reference}`` that of the
    first targets, ``{references}`` (a separate argument) a path for every target, and
    ``{source}``, or the name of any other field, that of the field. Files hold one row a line,
    UTF-8, with ``\n``, ``\r`` and the backslash written as ``\\n``, ``\\r`` and ``\\\\``.

    >>> Command("python comet.py {source} {hypothesis} {reference}").name
    'comet'

    Raises:
        MetricError: the command cannot be split, or does not read the predictions.
    """

    command: str
    scale: float = 1.0
    """Factor for the printed numbers, such as 100 for numbers between 0 and 1."""
    timeout_s: float = 3600.0
    folder: str | None = None
    """Working folder of the program: the experiment file's folder, or else the current one."""

    title: str | None = None
    """Name of the score; by default the stem of the script or program."""

    better: ClassVar[Better] = "none"  # a program may measure anything
    needs: ClassVar[Needs] = "program"

    def __post_init__(self) -> None:
        named = [found[1] for part in self._parts() for found in _PLACE.finditer(part) if found[1]]
        if "hypothesis" not in named:
            raise MetricError(
                f"the metric command {self.command!r} does not read {{hypothesis}}; write it as "
                "in: python comet.py {source} {hypothesis} {reference}"
            )

    @property
    def name(self) -> str:
        """The title; by default the stem of the script, or of the program if there is no script."""
        if self.title:
            return self.title
        parts = self._parts()
        script = next((part for part in parts[1:] if part.endswith((".py", ".sh"))), parts[0])
        return Path(script).stem

    @property
    def label(self) -> str:
        """The same as the name."""
        return self.name

    def stats(self, predictions: Sequence[Prediction], examples: Sequence[Example]) -> Stats:
        """Run the program once for all examples, and compute rows [number, 1].  # (n, 2)

        A prediction that could not be parsed is an empty line.

        Raises:
            MetricError: the sequences do not run parallel, an example has no target or lacks a
                field, or the program fails, takes too long, or prints anything but one finite
                number a line.
        """
        pairs = pair_up(predictions, examples, self.name)
        settings = f"command:{self.command}|scale:{self.scale:g}"
        if not pairs:
            return mean([], settings, "real")
        with tempfile.TemporaryDirectory(prefix="icl-metric-") as place:
            arguments = [
                argument
                for part in self._parts()
                for argument in _filled(part, _Files(Path(place), pairs))
            ]
            printed = self._run(arguments, Path(place))
        numbers = [self.scale * n / 100 for n in self._numbers(printed, len(pairs))]
        return mean(numbers, settings, "real")  # a program may print anything

    def _parts(self) -> list[str]:
        try:
            parts = shlex.split(self.command)
        except ValueError as error:
            raise MetricError(
                f"the metric command {self.command!r} cannot be split: {error}"
            ) from error
        if not parts:
            raise MetricError("the metric command is empty; name a program and its files")
        return parts

    def _run(self, arguments: Sequence[str], place: Path) -> str:
        """Run the program and return its output; kill it and its children after the time limit."""
        out, err = place / "stdout", place / "stderr"
        try:
            with out.open("wb") as stdout, err.open("wb") as stderr:
                process = subprocess.Popen(
                    arguments,
                    stdin=subprocess.DEVNULL,
                    stdout=stdout,
                    stderr=stderr,
                    cwd=self.folder,
                    start_new_session=True,
                )
        except OSError as error:
            raise MetricError(
                f"the metric {self.name!r} cannot be started: {error.strerror}: "
                f"{error.filename or arguments[0]}; give the path of the program"
            ) from error
        try:
            code = process.wait(self.timeout_s)
        except subprocess.TimeoutExpired as error:
            raise MetricError(
                f"the metric {self.name!r} ran for more than {self.timeout_s:g} s and was ended; "
                "raise timeout_s, or score fewer rows"
            ) from error
        finally:
            if process.poll() is None:
                _end(process)
                process.wait()
        if code:
            said = err.read_text("utf-8", "replace").strip().splitlines()
            raise MetricError(
                f"the metric {self.name!r} ended with code {code}: "
                f"{said[-1][:200] if said else 'it printed no error'}"
            )
        return out.read_text("utf-8", "replace")

    def _numbers(self, printed: str, n: int) -> list[float]:
        lines = printed.splitlines()
        if len(lines) != n:
            raise MetricError(
                f"the metric {self.name!r} printed {len(lines)} lines for {n} rows; it must print "
                "one number a line and nothing else (what it reports belongs to stderr)"
            )
        numbers = []
        for place, line in enumerate(lines, 1):
            try:
                number = float(line)
            except ValueError:
                number = math.nan
            if not math.isfinite(number):
                raise MetricError(
                    f"the metric {self.name!r} printed {line[:60]!r} on line {place}, which is no "
                    "finite number; it must print one number a line and nothing else"
                )
            numbers.append(number)
        return numbers


def place_command(metric: str | Mapping[str, Any], base: Path) -> str | dict[str, Any]:
    """Return an entry whose program runs in the experiment's folder, from which its paths start.

    The path of a SentencePiece model starts there, too.
    """
    if not isinstance(metric, str) and isinstance(spm := metric.get("spm"), str):
        return {**metric, "spm": str((base / Path(spm).expanduser()).resolve())}
    if isinstance(metric, str) or "command" not in metric:
        return metric if isinstance(metric, str) else dict(metric)
    return {"folder": str(base.resolve()), **metric}


def check_command_name(name: str, metric: Metric, where: str) -> None:
    """Raise an error if an external program has the name of another registered metric.

    Its score could be mistaken for that metric's, and naming the metric would start the program. A
    registered class that starts its own program may have the name under which it is registered.

    Raises:
        ConfigError: the name is taken; the message says how to choose another one.
    """
    if not starts_program(metric) or name not in names("metric"):
        return
    if isinstance(metric, Command) or lookup("metric", name) is not type(metric):
        raise ConfigError(
            f"{where}: the command {metric.command!r} is called {name!r}, as a registered metric "
            f"is; give it another `name:`, such as {{command: …, name: my_{name}}}"
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill a program and, where the system has process groups, everything that it started."""
    if os.name == "posix":
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


class _Files:
    """The files for one call of the program, each written when first named."""

    def __init__(self, place: Path, pairs: Sequence[tuple[Prediction, Example]]) -> None:
        self.place = place
        self.pairs = pairs

    def path(self, name: str) -> str:
        if name == "hypothesis":
            return self._write(name, [prediction.value or "" for prediction, _ in self.pairs])
        if name == "reference":
            return self._write(name, [example.targets[0] for _, example in self.pairs])
        return self._write(name, [_field(example, name) for _, example in self.pairs])

    def references(self) -> list[str]:
        """Write a file for every target; rows with fewer targets repeat their first one."""
        most = max(len(example.targets) for _, example in self.pairs)
        return [
            self._write(
                f"reference{i}",
                [
                    example.targets[i if i < len(example.targets) else 0]
                    for _, example in self.pairs
                ],
            )
            for i in range(most)
        ]

    def _write(self, name: str, texts: Sequence[str]) -> str:
        path = self.place / f"{quote(name, safe='')}.txt"
        body = "".join(_escaped(text) + "\n" for text in texts)
        path.write_text(body, "utf-8", "surrogatepass", newline="\n")
        return str(path)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n").replace("\r", "\\r")


def _field(example: Example, name: str) -> str:
    fields: Mapping[str, object] = example.fields
    if name not in fields:
        raise MetricError(
            f"the metric command names {{{name}}}, and example {example.id!r} has no such field"
            f"{did_you_mean(name, ['hypothesis', 'reference', 'references', *fields])}; write a "
            "brace that is none as {{"
        )
    value = fields[name]
    if not isinstance(value, str | int | float):
        raise MetricError(
            f"the metric command names {{{name}}}, which is no text in example {example.id!r}"
        )
    return str(value)


def _filled(part: str, files: _Files) -> list[str]:
    if part == "{references}":
        return files.references()

    def put(found: re.Match[str]) -> str:
        return found[0][0] if found[1] is None else files.path(found[1])

    return [_PLACE.sub(put, part)]
