"""The requests to a server: concurrency, retries, rate limits, time limits, costs, cancellation.

Each call of :meth:`Link.each` runs an event loop in its own thread, which ends with the call.
Back-off with full jitter: Brooker 2015, "Exponential Backoff And Jitter", AWS Architecture Blog.
"""

from __future__ import annotations

import asyncio
import os
import queue
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import httpx

from icl.core.errors import CostError, EngineError, IclError
from icl.core.types import digest
from icl.engines.ledger import Ledger, ServerAnswer
from icl.engines.openai.errors import (
    RowError,
    ServerAddress,
    TemporaryError,
    concerns_row,
    encode_body,
    make_refusal,
    make_refusal_within,
    read_message,
)
from icl.engines.openai.message import read_usage
from icl.engines.openai.sse import joined, looks_streamed

__all__ = ["Job", "RequestLimits", "Link", "StreamPiece", "Price", "ServerRequest", "Session"]


CALM_S = 0.05
"""Seconds between two checks for a cancellation."""
LONGEST_BACKOFF_S = 30.0
LONGEST_WAIT_S = 120.0
"""If a server asks for a longer pause, in seconds, the run ends; it can be resumed."""


@dataclass(frozen=True, slots=True)
class Price:
    """Money per million tokens, in any currency."""

    input: float
    output: float

    def of(self, prompt_tokens: float, output_tokens: float) -> float:
        """Return the cost of the given numbers of tokens."""
        return (self.input * prompt_tokens + self.output * output_tokens) / 1e6


@dataclass(frozen=True, slots=True)
class RequestLimits:
    """Limits on how many requests a server gets, and how long each may take."""

    concurrency: int = 8
    timeout_s: float = 60.0
    """Seconds for one request in total, even if the answer is still arriving."""
    requests_per_minute: float | None = None
    retries: int = 5
    backoff_s: float = 0.5
    """The first pause is up to twice as long, each further one up to twice the last, or 30 s."""


@dataclass(frozen=True, slots=True)
class ServerRequest:
    """A request, with the function that reads its answer."""

    path: str
    body: dict[str, Any] | None
    """None makes a GET request."""
    read: Callable[[Any], Any]
    """Returns the needed part of the answer as plain JSON; raises :class:`TemporaryError` if
    broken."""
    place: str = ""
    """Distinguishes equal requests within one call."""
    most_tokens: tuple[int, int] = (0, 0)
    """The most prompt and output tokens that may be billed."""
    probe: bool = False
    """Whether it finds out capabilities: three tries at most, only one if the server is down."""
    kept: bool = True
    """Whether the ledger saves the answer."""
    hear: Callable[[str], None] | None = None
    """Called with each piece of a streamed text."""


@dataclass(frozen=True, slots=True)
class StreamPiece:
    """A piece of a streamed text."""

    text: str


Job: TypeAlias = "Callable[[Session, Callable[[StreamPiece], None]], Awaitable[Any]]"


@dataclass
class Link:
    """The connection to one server."""

    url: str
    limits: RequestLimits
    asked: ServerAddress
    price: Price | None = None
    max_cost: float | None = None
    key: str = field(default="", repr=False)
    ledger: Ledger = field(default_factory=Ledger)
    spent: float = 0.0
    """Money that this model has cost, including earlier runs."""
    promised: float = 0.0
    """The most that the requests in flight may cost."""
    _next: float = 0.0
    _paused_until: float = 0.0
    _tls: Any = field(default=None, repr=False)

    def each(
        self,
        jobs: Sequence[Job],
        stop: threading.Event | None = None,
        lenient: bool = False,
    ) -> Iterator[tuple[int, Any]]:
        """Yield results with their index as they finish; not all of them if ``stop`` was set.

        After an error no further job begins, those in flight are finished and given out, and
        the first error is raised. Closing the iterator cancels what is in flight. With ``lenient``
        an error that concerns one row alone is the result of its job, and the others go on.

        Raises:
            IclError: what a job raised.
        """
        found: queue.SimpleQueue[Any] = queue.SimpleQueue()
        halt = threading.Event()
        wanted = [halt] if stop is None else [halt, stop]
        main = _Main(self, jobs, found, wanted, lenient)
        thread = threading.Thread(target=main.run, name="icl-requests", daemon=True)
        thread.start()
        try:
            while (item := found.get()) is not None:
                if isinstance(item, BaseException):
                    raise item
                yield item
        finally:
            halt.set()
            thread.join()

    def one(self, request: ServerRequest) -> Any:
        """Return the value read from the answer to a single request."""

        async def job(session: Session, _: Callable[[StreamPiece], None]) -> Any:
            return (await session.ask(request)).value

        ((_, value),) = self.each([job])
        return value

    def client(self) -> httpx.AsyncClient:
        """Make an HTTP client for one call; certificates are read only once."""
        local = httpx.URL(self.url).host in ("127.0.0.1", "localhost", "::1")
        if self._tls is None:
            self._tls = httpx.create_ssl_context() if self.url.startswith("https") else False
        headers = {"Content-Type": "application/json", "User-Agent": "icl-workbench"}
        if self.key:
            headers["Authorization"] = f"Bearer {self.key}"
        return httpx.AsyncClient(
            headers=headers,
            timeout=None,
            verify=self._tls,
            trust_env=not local,
            limits=httpx.Limits(max_connections=self.limits.concurrency),
        )

    def promise(self, most: float) -> None:
        """Reserve money for a request.

        Raises:
            CostError: it could cost more than is left.
        """
        if self.max_cost is not None and self.spent + self.promised + most > self.max_cost:
            raise CostError(
                f"max_cost {self.max_cost:g} of {self.asked.model!r} is reached ({self.spent:.4f} "
                f"spent, the next request may cost {most:.4f}); finished answers are saved: raise "
                "max_cost and run the same command again"
            )
        self.promised += most

    async def turn(self) -> None:
        """Wait for the end of a pause requested by the server, and for the rate limit."""
        while (wait := self._paused_until - time.monotonic()) > 0:
            await asyncio.sleep(wait)
        if self.limits.requests_per_minute:
            at = max(time.monotonic(), self._next)
            self._next = at + 60.0 / self.limits.requests_per_minute
            await asyncio.sleep(at - time.monotonic())

    def pause(self, seconds: float) -> None:
        """Let no request start within the next ``seconds``."""
        self._paused_until = max(self._paused_until, time.monotonic() + seconds)


@dataclass
class _Main:
    """The event loop of one call, in its own thread."""

    link: Link
    jobs: Sequence[Job]
    found: queue.SimpleQueue[Any]
    wanted: Sequence[threading.Event]
    lenient: bool
    error: BaseException | None = None

    def run(self) -> None:
        try:
            asyncio.run(self._all())
        except BaseException as error:  # handed to the caller's thread, which raises it
            self.error = self.error or error
        if self.error is not None:
            self.found.put(self.error)
        self.found.put(None)

    async def _all(self) -> None:
        todo = iter(enumerate(self.jobs))
        async with self.link.client() as client:
            session = Session(self.link, client)

            async def work() -> None:
                for index, job in todo:
                    if self.error is not None:
                        return
                    try:
                        tell = _teller(self.found, index)
                        self.found.put((index, await job(session, tell)))
                    except IclError as error:
                        if self.lenient and concerns_row(error):
                            self.found.put((index, error))
                        else:
                            self.error = self.error or error

            width = min(self.link.limits.concurrency, len(self.jobs))
            workers = [asyncio.create_task(work()) for _ in range(width)]
            watch = asyncio.create_task(self._watch(workers))
            try:
                await asyncio.gather(*workers)
            except asyncio.CancelledError:
                if not any(event.is_set() for event in self.wanted):
                    raise
            finally:
                watch.cancel()
                self.link.promised = 0.0

    async def _watch(self, workers: Sequence[asyncio.Task[None]]) -> None:
        while not any(event.is_set() for event in self.wanted):
            await asyncio.sleep(CALM_S)
        for worker in workers:
            worker.cancel()


def _teller(found: queue.SimpleQueue[Any], index: int) -> Callable[[StreamPiece], None]:
    return lambda piece: found.put((index, piece))


def _read(request: ServerRequest, data: Any) -> Any:
    try:
        return request.read(data)
    except RowError as error:
        error.answer = data
        raise
    except (KeyError, IndexError, TypeError, AttributeError, ValueError) as error:
        raise TemporaryError(f"answered with JSON of another shape ({error!r})") from error


def _hear_nothing(piece: str) -> None:
    """Ignore a piece of a stream that the server sent without being requested to stream."""


def _is_streamed(response: httpx.Response, request: ServerRequest) -> bool:
    """Return whether the answer comes in events; servers may stream or not against the request."""
    kind = response.headers.get("content-type", "").lower()
    if "event-stream" in kind:
        return True
    return request.hear is not None and "json" not in kind and "html" not in kind


def _noted(hear: Callable[[str], None], told: list[str]) -> Callable[[str], None]:
    def both(piece: str) -> None:
        told.append(piece)
        hear(piece)

    return both


@dataclass
class Session:
    """A connection with an open HTTP client."""

    link: Link
    client: httpx.AsyncClient

    async def ask(self, request: ServerRequest) -> ServerAnswer:
        """Return the answer to a request, from the ledger if an earlier run received it.

        Raises:
            EngineError: refused, or failed as often as is allowed.
            WindowError: too long for the server.
            CostError: it could cost more than is left.
        """
        key = digest([self.link.url, request.path, request.body, request.place])
        if request.kept and (found := self.link.ledger.find(key)) is not None:
            return found
        price = self.link.price
        most = price.of(*request.most_tokens) if price else 0.0
        self.link.promise(most)
        try:
            answer = await self._tried(request, key)
        finally:
            self.link.promised = max(0.0, self.link.promised - most)
        self.link.spent += answer.cost or 0.0
        if request.kept:
            self.link.ledger.add(answer)
        return answer

    async def _tried(self, request: ServerRequest, key: str) -> ServerAnswer:
        tries = min(3 if request.probe else 10**6, self.link.limits.retries + 1)
        attempt = 0
        told: list[str] = []  # what was given out of a stream; asking again would double it
        while True:
            await self.link.turn()
            began = time.monotonic()
            try:
                data, value = await self._once(request, told)
            except RowError as problem:
                ms = round(1000 * (time.monotonic() - began))
                self._pay(request, f"{key}:unanswered", problem.answer, ms, attempt)
                raise
            except TemporaryError as problem:
                attempt += 1
                hopeless = request.probe and problem.kind in ("down", "page")
                if attempt == tries or told or hopeless:
                    raise self.link.asked.gave_up(problem, attempt) from problem
                await self._wait(problem, attempt, key)
                continue
            ms = round(1000 * (time.monotonic() - began))
            return self._answer(request, key, data, value, ms, attempt)

    def _pay(self, request: ServerRequest, key: str, data: Any, ms: int, retries: int) -> None:
        """Count an unusable answer, which costs as much as any other."""
        if data is not None and request.kept:
            answer = self._answer(request, key, data, None, ms, retries)
            self.link.spent += answer.cost or 0.0
            self.link.ledger.add(answer)

    async def _wait(self, problem: TemporaryError, attempt: int, key: str) -> None:
        """Wait as long as the server requests, or else a random share of the back-off."""
        wait = problem.after_s
        if wait is None:
            chance = random.Random(f"{os.getpid()}:{key}:{attempt}")
            longest = self.link.limits.backoff_s * 2**attempt
            wait = chance.uniform(0, min(LONGEST_BACKOFF_S, longest))
        elif wait > LONGEST_WAIT_S:
            raise EngineError(
                f"{self.link.url} asks to wait {wait:.0f} s ({problem}); finished answers "
                "are saved: run the same command again then"
            )
        if problem.everyone:
            self.link.pause(wait)
        else:
            await asyncio.sleep(wait)

    async def _once(self, request: ServerRequest, told: list[str]) -> tuple[Any, Any]:
        """Send the request once; return the answer's JSON and the value read from it."""
        path = request.path
        url = self.link.url + path if path.startswith("/") else path
        method = "GET" if request.body is None else "POST"
        content = None if request.body is None else encode_body(request.body)
        limit = self.link.limits.timeout_s
        try:
            async with asyncio.timeout(limit):
                async with self.client.stream(method, url, content=content) as response:
                    if response.status_code == 200 and _is_streamed(response, request):
                        hear = _noted(request.hear or _hear_nothing, told)
                        charset = response.charset_encoding
                        data = await joined(response.aiter_bytes(), hear, charset)
                        return data, _read(request, data)
                    await response.aread()
                    if response.status_code == 200 and looks_streamed(response.content):
                        hear = _noted(request.hear or _hear_nothing, told)
                        data = await joined(response.aiter_bytes(), hear)
                        return data, _read(request, data)
        except TimeoutError as error:
            raise TemporaryError(
                f"no whole answer within timeout_s {limit:g}", kind="slow"
            ) from error
        except httpx.ConnectError as error:
            raise TemporaryError(f"cannot be reached ({error})", kind="down") from error
        except (httpx.TransportError, httpx.DecodingError) as error:
            raise TemporaryError(f"the connection broke ({type(error).__name__})") from error
        if response.status_code != 200:
            raise make_refusal(self.link.asked, response, request.body)
        try:
            data = response.json()
        except ValueError as error:
            said = read_message(self.link.asked, response)
            raise TemporaryError(f"answered with {said}", kind="page") from error
        if isinstance(data, dict) and data.get("error") and not data.get("choices"):
            raise make_refusal_within(self.link.asked, response, data["error"], request.body)
        return data, _read(request, data)

    def _answer(
        self, request: ServerRequest, key: str, data: Any, value: Any, ms: int, retries: int
    ) -> ServerAnswer:
        told = data if isinstance(data, dict) else {}
        most = request.most_tokens
        counted = read_usage(told)
        given, made = (m if n is None else n for n, m in zip(counted, most, strict=True))
        named = (told.get("model"), told.get("system_fingerprint"))
        return ServerAnswer(
            key,
            value,
            " ".join(str(name) for name in named if name),
            given,
            made,
            self.link.price.of(given, made) if self.link.price else None,
            ms,
            retries,
        )
