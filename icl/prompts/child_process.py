"""A bounded child process that parses and renders templates written by strangers.

Such templates are one edited in the workbench, and those stored in a run folder: of its prompts,
and of its model's chat. Jinja folds constants while it compiles and swallows exceptions there, so
neither a signal nor a thread can stop it; a process can be killed. The process is started once,
reused, and replaced after a kill.

Both ends of the connection are in this file: :class:`Sandbox` is the parent's, :func:`serve` the
child's. Messages are JSON preceded by their length, never pickles.
"""

from __future__ import annotations

import importlib.util
import json
import math
import os
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any, TypeAlias

if __name__ == "__main__":
    # The child is started without a search path (-I), so it finds the package beside its own file.
    # What is imported below must stay light, as must `icl`, `icl.core` and `icl.prompts`: numpy and
    # pydantic alone would take 166 MB of the child's address space and 0.6 s of every start.
    _spec = PathFinder.find_spec("icl", [str(Path(__file__).resolve().parents[2])])
    assert _spec is not None
    sys.modules["icl"] = importlib.util.module_from_spec(_spec)

from icl.core import errors
from icl.core.errors import TemplateError
from icl.core.kinds import told_kinds
from icl.core.types import JSON, Prompt
from icl.prompts.child_process_worker import (
    CHAT,
    EXPRESSIONS,
    SandboxLimits,
    answer_request,
)
from icl.prompts.jinja_sandbox import TemplateHalf
from icl.prompts.own_forms import OwnForms
from icl.prompts.render_again import Rendering
from icl.prompts.template import NO_FORMS, Template, TemplateCopy
from icl.prompts.template_file import FrontMatter, TemplateFile

__all__ = ["SandboxLimits", "Sandbox", "serve"]


_LENGTH = struct.Struct("!I")
_START_S = 30.0
"""Seconds that a child may take to start on a busy machine."""
_PATIENCE = 10
"""Seconds of wall time allowed for each second of processor time."""
Left: TypeAlias = Callable[[], float]
"""Returns the seconds left; raises TimeoutError if there are none."""
_PARTS = ("query", "instruction", "shots", "separator", "system")
"""The fields of a prompt that make up the text that is sent."""


@dataclass(eq=False)
class _Turn:
    """The remaining time of one template; used by one thread."""

    sandbox: Sandbox
    name: str
    left_s: float

    def ask(self, message: Mapping[str, Any]) -> Any:
        answer = self.sandbox.ask(message, self.name, self.left_s)
        self.left_s -= answer["cpu_s"]
        if "error" in answer:
            assert answer["error"] in errors.__all__
            raise getattr(errors, answer["error"])(answer["message"])
        return answer["value"]


@dataclass(frozen=True)
class _ChildHalf(TemplateHalf):
    """A template half that the child renders."""

    reads: tuple[tuple[str, int], ...]
    keys: tuple[str, ...] | None
    turn: _Turn = field(compare=False, repr=False)

    @property
    def names(self) -> dict[str, int]:
        return dict(self.reads)

    @property
    def words_used(self) -> set[str] | None:
        return None if self.keys is None else set(self.keys)

    def render(self, context: Mapping[str, JSON], offered: Iterable[str] = ()) -> str:
        half = {"where": self.where, "source": self.source, "first_line": self.first_line}
        text: str = self.turn.ask(
            {"half": half, "context": dict(context), "offered": list(offered)}
        )
        return text


def _file(made: Mapping[str, Any], turn: _Turn) -> TemplateFile:
    """Rebuild a parsed template file from JSON values; the child renders its halves."""
    head: dict[str, Any] = {
        key: tuple(v) if isinstance(v, list) else v for key, v in made["head"].items()
    }
    halves = {
        part: half
        and _ChildHalf(
            half["where"],
            half["source"],
            half["first_line"],
            tuple((name, line) for name, line in half["names"]),
            None if half["words"] is None else tuple(half["words"]),
            turn,
        )
        for part, half in made["halves"].items()
    }
    parts: dict[str, Any] = halves
    return TemplateFile(turn.name, Path(turn.name), made["text"], FrontMatter(**head), **parts)


class Sandbox:
    r"""The parent's side: one child process, started when first needed and shared by all threads.

    >>> sandbox = Sandbox()                                                # doctest: +SKIP
    >>> sandbox.bind("Q: {{ q }}\nA:||| {{ target }}", "mine.j2", "en")    # doctest: +SKIP
    """

    def __init__(self, limits: SandboxLimits | None = None) -> None:
        self.limits = limits or SandboxLimits()
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._line: socket.socket | None = None
        self._greeted = False

    def bind(
        self,
        text: str,
        name: str,
        language_tag: str = "en",
        label_language: str | None = None,
        label_set: Sequence[str] = (),
        own: OwnForms = NO_FORMS,
    ) -> Template:
        """Parse template text in the child, and render the resulting template there too.

        Args:
            text: the template.
            name: its name, for messages.
            language_tag: prompt language.
            label_language: language of the label words; the prompt language by default.
            label_set: labels of the data, used if the template lists none.
            own: words and label names of the experiment's own files.

        Raises:
            TemplateError: malformed, too large, too slow, or any error of ``load_template``.
        """
        turn = self._turn(text, name)
        asked = [text, name, language_tag, label_language, list(label_set), [own.words, own.labels]]
        made = turn.ask({"bind": asked, "kinds": told_kinds()})
        file = replace(_file(made["file"], turn), own=own)
        return Template(file, language_tag, made["words"], made["labels"], tuple(made["fallbacks"]))

    def template_of(self, copy: TemplateCopy) -> Template:
        """Restore a stored template in the child; see :func:`icl.prompts.template.restore`.

        Raises:
            TemplateError: malformed, too large or too slow.
        """
        turn = self._turn(copy.text, copy.name)
        asked = {"parse": [copy.text, copy.name], "kinds": told_kinds()}
        file = _file(turn.ask(asked), turn)
        return Template(file, copy.language, copy.words, copy.labels, copy.fallbacks)

    def sent_text(self, prompt: Prompt, engine: Mapping[str, Any]) -> str:
        """Render what an engine sent, in the child; see :mod:`icl.prompts.chat_template`.

        Raises:
            EngineError: its chat template refuses the prompt.
            TemplateError: its chat template is malformed, too large or too slow.
        """
        parts = {name: getattr(prompt, name) for name in _PARTS}
        wording = {name: engine.get(name) for name in ("api", "chat", "prefix", "newline")}
        turn = self._turn(json.dumps(wording), CHAT)
        text: str = turn.ask({"sent": [parts, wording]})
        return text

    def find_columns(self, expressions: Sequence[str]) -> list[list[str]]:
        """Return the columns that each expression of a data set reads.

        Raises:
            TemplateError: one is malformed, too large or too slow.
        """
        turn = self._turn("".join(expressions), EXPRESSIONS)
        found: list[list[str]] = turn.ask({"columns": list(expressions)})
        return found

    def evaluate(
        self,
        expressions: Sequence[str],
        rows: Sequence[tuple[str, Mapping[str, JSON]]],
        offered: Sequence[str] = (),
    ) -> list[list[JSON]]:
        """Evaluate each expression for each row (its place, column -> value), in one message.

        Args:
            expressions: each in ``{{ }}``.
            rows: with the columns that are read.
            offered: columns to name in messages.

        Raises:
            TemplateError: an expression fails on a row, which the message names, or is too slow.
        """
        turn = self._turn("".join(expressions), EXPRESSIONS)
        found: list[list[JSON]] = turn.ask({"rows": [list(expressions), list(rows), list(offered)]})
        return found

    @property
    def rendering(self) -> Rendering:
        """Return both render functions of this sandbox, for reading a run."""
        return Rendering(self.template_of, self.sent_text)

    def _turn(self, text: str, name: str) -> _Turn:
        size = len(text.encode("utf-8", "surrogatepass"))
        if size > self.limits.source_bytes:
            raise TemplateError(
                f"{name}: the template has {size:,} bytes, {self.limits.source_bytes:,} are "
                "accepted; put long texts into the data"
            )
        return _Turn(self, name, self.limits.cpu_s)

    def ask(self, message: Mapping[str, Any], name: str, within_s: float) -> Any:
        """Send one message and return its answer; a child that is too slow is replaced.

        Raises:
            TemplateError: the child took longer than ``within_s`` seconds, or ended.
        """
        with self._lock:
            line = self._open()
            assert self._process is not None
            left = _child_time(self._process.pid, within_s)
            try:
                _send(line, message, left)
                answer = _receive(line, left, 16 * self.limits.output_bytes)
            except TimeoutError:
                self._replace()
                raise TemplateError(
                    f"{name}: {_works(name)} for more than {self.limits.cpu_s:g} s and was "
                    "stopped; make its loops or texts smaller"
                ) from None
            except (EOFError, ConnectionError):
                raise TemplateError(f"{name}: {_explain_end(name, self._replace())}") from None
            if answer.get("full"):
                self._replace()
            return answer

    def start(self) -> None:
        """Start the child now, so that the first template does not wait for it."""
        with self._lock:
            if self._process is None:
                self._spawn()

    @property
    def pid(self) -> int | None:
        """The number of the child; None while there is none."""
        return None if self._process is None else self._process.pid

    def close(self) -> None:
        """Kill the child."""
        with self._lock:
            self._end()

    def _open(self) -> socket.socket:
        if self._process is None:
            self._spawn()
        assert self._line is not None
        if not self._greeted:
            try:
                _receive(self._line, _wall_time(_START_S), 1 << 10)
            except (TimeoutError, EOFError, ConnectionError) as error:
                self._end()
                raise TemplateError(
                    "the process that renders templates cannot start; what it wrote to the "
                    f"terminal says why ({type(error).__name__})"
                ) from error
            self._greeted = True
        return self._line

    def _spawn(self) -> None:
        here, there = socket.socketpair()
        with there:
            kept = {k: v for k in ("PATH", "LD_LIBRARY_PATH") if (v := os.environ.get(k))}
            limits = json.dumps(asdict(self.limits))
            self._process = subprocess.Popen(
                [sys.executable, "-I", __file__, str(there.fileno()), limits],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[there.fileno()],
                env=kept,
                cwd=os.sep,
                start_new_session=True,
            )
        self._line, self._greeted = here, False

    def _end(self) -> int | None:
        code = None
        if self._process is not None and self._line is not None:
            self._line.close()
            self._process.kill()
            code = self._process.wait()
        self._process = self._line = None
        return code

    def _replace(self) -> int | None:
        code = self._end()
        self._spawn()
        return code


def _explain_end(name: str, code: int | None) -> str:
    """Explain why a child process ended unexpectedly, and what repairs it."""
    kind = "expression" if name == EXPRESSIONS else "template"
    what = f"the process that renders templates ended with code {code}"
    if code is not None and code > 0:
        return f"{what}; what it wrote to the terminal says why"
    allowed = _cpu_allowed()
    if math.isfinite(allowed) and code in (-signal.SIGXCPU, -signal.SIGKILL):
        return (
            f"{what}: a process may use {allowed:g} s of a processor here; raise that limit "
            f"(ulimit -t unlimited, in a new shell), or make the {kind}'s loops smaller"
        )
    return f"{what}; the {kind} is nested too deeply or needs too much memory, make it smaller"


def _works(name: str) -> str:
    return "a batch of rows was worked on" if name == EXPRESSIONS else "the template worked"


def _send(line: socket.socket, message: Any, left: Left | None = None) -> None:
    data = json.dumps(message).encode("ascii")
    line.settimeout(None if left is None else left())
    line.sendall(_LENGTH.pack(len(data)) + data)


def _receive(line: socket.socket, left: Left | None = None, most: int = 2**32) -> Any:
    (size,) = _LENGTH.unpack(_read(line, _LENGTH.size, left))
    if size > most:
        raise EOFError(f"a message of {size} bytes")
    return json.loads(_read(line, size, left))


def _read(line: socket.socket, size: int, left: Left | None) -> bytearray:
    data = bytearray()
    while len(data) < size:
        line.settimeout(None if left is None else left())
        try:
            piece = line.recv(min(size - len(data), 1 << 16))
        except TimeoutError:
            continue  # left() tells whether the time is really over
        if not piece:
            raise EOFError
        data += piece
    return data


def _wall_time(seconds: float) -> Left:
    """Make a timer of wall seconds; it raises TimeoutError once they are used up."""
    ends = time.monotonic() + seconds

    def left() -> float:
        if (still := ends - time.monotonic()) <= 0:
            raise TimeoutError
        return still

    return left


def _child_time(pid: int, seconds: float) -> Left:
    """Make a timer of the child's processor seconds: on a busy machine it runs only now and then.

    A child that waits for something else has ``_PATIENCE`` times as long.
    """
    began, wall = _spent(pid), _wall_time(_PATIENCE * seconds)

    def left() -> float:
        still = min(began + seconds - _spent(pid), wall())
        if still <= 0:
            raise TimeoutError
        return max(still, 0.01)

    return left


def _spent(pid: int) -> float:
    """Return the processor seconds used by a process; 0 if it has ended."""
    import psutil

    try:
        return float(sum(psutil.Process(pid).cpu_times()[:2]))
    except psutil.Error:
        return 0.0


def _bound(kind: int, most: int) -> int:
    """Lower a limit of this process as far as the one that it was started with allows.

    Returns what holds now: whoever set a tighter one (``ulimit``) keeps it, and no process may
    raise a hard limit, its own included.
    """
    import resource

    found = [one for one in resource.getrlimit(kind) if one != resource.RLIM_INFINITY]
    held = min([most, *found])
    resource.setrlimit(kind, (held, held))
    return held


def _cpu_allowed() -> float:
    """Return the seconds of processor time that this process may use in all."""
    import resource

    found = [one for one in resource.getrlimit(resource.RLIMIT_CPU) if one >= 0]
    return math.inf if resource.RLIM_INFINITY in found or not found else min(found)


def serve(line: socket.socket, limits: SandboxLimits) -> None:
    """Run the child: limit its own resources, then answer messages until the connection closes."""
    import resource

    bounds = [(resource.RLIMIT_FSIZE, 0), (resource.RLIMIT_CORE, 0)]
    if sys.platform != "darwin":  # macOS maps gigabytes at start and refuses any lower bound
        bounds.append((resource.RLIMIT_AS, limits.memory_bytes))
    held = {kind: _bound(kind, most) for kind, most in bounds}
    limits = replace(
        limits, memory_bytes=held.get(resource.RLIMIT_AS, limits.memory_bytes)
    )  # as it is told
    allowed, hard = _cpu_allowed(), resource.getrlimit(resource.RLIMIT_CPU)[1]
    _send(line, "ready")
    while True:
        try:
            message = _receive(line)
        except (EOFError, ConnectionError):  # the parent gave up on it, and closed the line
            return
        began = time.process_time()
        # Whole seconds of the process's life, so this only ends what the parent did not kill.
        ends = math.ceil(began + limits.cpu_s) + 1
        resource.setrlimit(resource.RLIMIT_CPU, (int(min(ends, allowed)), hard))
        answer = answer_request(message, limits)
        spent = time.process_time()
        if spent + limits.cpu_s + 1 > allowed:  # the next template needs a fresh process
            answer = {**answer, "full": True}
        _send(line, {**answer, "cpu_s": spent - began})


if __name__ == "__main__":
    serve(socket.socket(fileno=int(sys.argv[1])), SandboxLimits(**json.loads(sys.argv[2])))
