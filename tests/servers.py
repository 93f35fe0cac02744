"""A small completions server that fails on demand, with numbers from a table or a tiny model."""

from __future__ import annotations

import hashlib
import json
import math
import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

WORD = re.compile(r"\s*\S+|\s+$")


def unit(text: str) -> float:
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) / 16**8


class Words:
    """Tokens are words; texts and numbers come from hashes."""

    def tokens(self, text: str) -> list[str]:
        return ["<s>", *WORD.findall(text)]

    def logprobs(self, text: str) -> list[float | None]:
        tokens = self.tokens(text)
        made = ["".join(tokens[1:i]) for i in range(1, len(tokens) + 1)]
        return [None, *(-0.1 - 5 * unit(text) for text in made[1:])]

    def next(self, text: str) -> str:
        return f" {'abcdefgh'[int(8 * unit(text))]}{int(100 * unit(text + '!'))}"

    def top(self, text: str, n: int) -> dict[str, float]:
        words = [self.next(text), " alarm", " play", " set", " weather"]
        return {word: math.log(0.9 * unit(text + word) / 5) for word in words[:n]}


class Tiny:
    """A tiny causal model: its tokens, one by one, and its own whole forward passes."""

    def __init__(self, folder: Any) -> None:
        from icl.engines.hf.engine import HFEngine

        self.engine = HFEngine(str(folder), device="cpu")
        self.lock = threading.Lock()

    def ids(self, text: str) -> list[int]:
        return list(self.engine.codec.encode([text])[0])

    def tokens(self, text: str) -> list[str]:
        return [self.engine.codec.tokenizer.decode([i]) for i in self.ids(text)]

    def rows(self, text: str) -> Any:
        import torch

        with self.lock, torch.inference_mode():
            logits = self.engine.lm.model(torch.tensor([self.ids(text)])).logits[0]
        return logits.float().log_softmax(-1)  # (tokens, vocabulary)

    def logprobs(self, text: str) -> list[float | None]:
        rows, ids = self.rows(text), self.ids(text)
        return [None, *(float(rows[i, ids[i + 1]]) for i in range(len(ids) - 1))]

    def next(self, text: str) -> str:
        return str(self.engine.codec.tokenizer.decode([int(self.rows(text)[-1].argmax())]))

    def top(self, text: str, n: int) -> dict[str, float]:
        found = self.rows(text)[-1].topk(n)
        decode = self.engine.codec.tokenizer.decode
        return {
            decode([int(i)]): float(v) for v, i in zip(found.values, found.indices, strict=True)
        }


@dataclass
class Reply:
    """An answer as some server writes it."""

    body: Any
    """JSON, or bytes as they are sent."""
    status: int = 200
    kind: str = "application/json"


@dataclass
class Server:
    """What it offers, how it fails, and what it was asked."""

    model: Any = field(default_factory=Words)
    name: str = "tiny"
    echo: bool = True
    top: int = 20
    completions: bool = True
    counts: bool = False
    list_bos: bool = True
    knows_n: bool = True
    key: str = ""
    window: int = 256
    delay_s: float = 0.0
    fault: Callable[[int, dict[str, Any]], str | None] = lambda number, body: None
    """Number of the request after the probes, its body -> what goes wrong."""
    quirk: Callable[[str, dict[str, Any]], Reply | None] = lambda path, body: None
    """Path and body of any request, probes too -> what is answered in place of the usual."""
    asked: list[dict[str, Any]] = field(default_factory=list)
    """Bodies of all requests that reached the model, probes left out."""
    answered: list[dict[str, Any]] = field(default_factory=list)
    """Those that were answered as they should be."""
    times: list[float] = field(default_factory=list)
    port: int = 0
    version: str = "tiny-v1"
    lock: Any = field(default_factory=threading.Lock)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def entry(self, **options: Any) -> dict[str, Any]:
        """A model entry for it, with short pauses."""
        return {
            "engine": "openai",
            "source": self.url,
            "model": self.name,
            "backoff_s": 0.001,
            **options,
        }

    def complete(self, prompt: str, body: dict[str, Any], seed: str = "") -> tuple[str, str, int]:
        text, made = "", 0
        for _ in range(body.get("max_tokens", 16)):
            text, made = text + self.model.next(prompt + text + seed), made + 1
            for stop in body.get("stop") or ():
                if stop in text:
                    return text[: text.index(stop)], "stop", made
        return text, "length", made

    def answer(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        chat = path.endswith("/chat/completions")
        prompt = body["prompt"] if not chat else "\n".join(m["content"] for m in body["messages"])
        listed = self.model.tokens(prompt)
        n = body.get("n", 1) if self.knows_n else 1
        choices, total = [], 0
        for index in range(n):
            seed = f"{body['seed']}{index}" if body.get("temperature") else ""
            text, finish, made = self.complete(prompt, body, seed)
            total += made
            choice: dict[str, Any] = {"index": index, "finish_reason": finish, "logprobs": None}
            choice |= (
                {"message": {"role": "assistant", "content": text}}
                if chat
                else {"text": (prompt if body.get("echo") and self.echo else "") + text}
            )
            choice["logprobs"] = self.numbers(prompt, text, body, chat)
            choices.append(choice)
        usage = {"prompt_tokens": len(listed), "completion_tokens": total}
        return {"model": self.version, "choices": choices, "usage": usage}

    def numbers(
        self, prompt: str, text: str, body: dict[str, Any], chat: bool
    ) -> dict[str, Any] | None:
        if not body.get("logprobs"):
            return None
        if chat and self.top:
            top = self.model.top(prompt, body["top_logprobs"])
            return {
                "content": [{"top_logprobs": [{"token": t, "logprob": v} for t, v in top.items()]}]
            }
        if body.get("echo") and self.echo:
            skip = 0 if self.list_bos else 1
            made = [text] if text else []
            logprobs = self.model.logprobs(prompt)[skip:] + [-1.0] * len(made)
            if skip:
                logprobs[0] = None
            return {"tokens": self.model.tokens(prompt)[skip:] + made, "token_logprobs": logprobs}
        if self.top:
            return {
                "tokens": [text],
                "token_logprobs": [-1.0],
                "top_logprobs": [self.model.top(prompt, body["logprobs"])],
            }
        return None


PROBES = ("The quick brown fox", "One two three", "Name: Anna\nCity:")


def is_probe(body: dict[str, Any]) -> bool:
    texts = [body.get("prompt", ""), *(m["content"] for m in body.get("messages", ()))]
    return bool(set(texts) & set(PROBES))


class Handler(BaseHTTPRequestHandler):
    """Answers one connection."""

    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, *arguments: Any) -> None:
        pass

    def send(self, status: int, body: Any, kind: str = "application/json", **headers: str) -> None:
        data = body if isinstance(body, bytes) else b""
        if not isinstance(body, bytes):
            data = body.encode() if isinstance(body, str) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        own: Server = self.server.own
        if self.path == "/v1/models":
            listed = [{"id": own.name, "max_model_len": own.window}]
            self.send(200, {"object": "list", "data": listed})
        else:
            self.send(404, {"error": {"message": "not found"}})

    def do_POST(self) -> None:
        own: Server = self.server.own
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if own.key and self.headers.get("Authorization") != f"Bearer {own.key}":
            given = self.headers.get("Authorization", "none")
            self.send(401, {"error": {"message": f"Incorrect API key provided: {given}"}})
        elif self.path == "/tokenize" and own.counts:
            strings = own.model.tokens(body["prompt"])
            self.send(200, {"tokens": list(range(len(strings))), "token_strs": strings})
        elif body.get("model") != own.name:
            self.send(
                404,
                {
                    "error": {
                        "message": f"The model `{body.get('model')}` does not exist",
                        "code": "model_not_found",
                    }
                },
            )
        elif self.path == "/v1/chat/completions" or (
            self.path == "/v1/completions" and own.completions
        ):
            self.model_answers(own, body)
        else:
            self.send(404, {"detail": "Not Found"})

    def model_answers(self, own: Server, body: dict[str, Any]) -> None:
        fault = None
        if not is_probe(body):
            with own.lock:
                number = len(own.asked)
                own.asked.append(body)
                own.times.append(time.monotonic())
            fault = own.fault(number, body)
            time.sleep(own.delay_s)
        reply = own.quirk(self.path, body)
        if reply is not None:
            self.send(reply.status, reply.body, reply.kind)
            return
        if fault is not None:
            FAULTS[fault](self, own, body)
            return
        self.send_answer(own, body)

    def send_answer(self, own: Server, body: dict[str, Any]) -> None:
        made = own.answer(self.path, body)
        if not is_probe(body):
            with own.lock:
                own.answered.append(body)
        if not body.get("stream"):
            self.send(200, made)
            return
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()
        (choice,) = made["choices"]
        text = choice["text"] if "text" in choice else choice["message"]["content"]
        for place in range(0, len(text), 3):
            piece = text[place : place + 3]
            self.event({"choices": [{"text": piece, "delta": {"content": piece}}]})
        self.event({"choices": [{"text": "", "finish_reason": choice["finish_reason"]}]})
        self.event({"choices": [], "usage": made["usage"], "model": made["model"]})
        self.wfile.write(b"data: [DONE]\n\n")
        self.close_connection = True

    def event(self, value: Any) -> None:
        self.wfile.write(f"data: {json.dumps(value)}\n\n".encode())

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.close()
        self.close_connection = True

    def part(self, own: Server, body: dict[str, Any], wait_s: float) -> None:
        """Half a body, then nothing, or the rest byte by byte."""
        data = json.dumps(own.answer(self.path, body)).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: len(data) // 2])
        self.wfile.flush()
        for byte in data[len(data) // 2 :] if wait_s else b"":
            time.sleep(wait_s)
            try:
                self.wfile.write(bytes([byte]))
            except OSError:
                break
        self.close_connection = True

    def altered(self, own: Server, body: dict[str, Any], change: Callable[[Any], None]) -> None:
        made = own.answer(self.path, body)
        change(made)
        self.send(200, made)

    def cut_stream(self, own: Server, body: dict[str, Any]) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.end_headers()
        self.event({"choices": [{"text": "half", "delta": {"content": "half"}}]})
        self.close_connection = True


FAULTS: dict[str, Callable[[Handler, Server, dict[str, Any]], None]] = {
    "429": lambda h, s, b: h.send(429, {"error": {"message": "slow down"}}),
    "429 after": lambda h, s, b: h.send(429, {"error": "slow down"}, Retry_After="0.01"),
    "429 date": lambda h, s, b: h.send(
        429, {"error": "slow down"}, Retry_After="Sun, 06 Nov 1994 08:49:37 GMT"
    ),
    "429 late": lambda h, s, b: h.send(429, {"error": "come tomorrow"}, Retry_After="90000"),
    "quota": lambda h, s, b: h.send(
        429, {"error": {"message": "You exceeded your quota", "code": "insufficient_quota"}}
    ),
    "500": lambda h, s, b: h.send(500, "worker died", "text/plain"),
    "503": lambda h, s, b: h.send(503, {"error": {"message": "loading"}}),
    "502 page": lambda h, s, b: h.send(502, "<html><h1>Bad Gateway</h1></html>", "text/html"),
    "page": lambda h, s, b: h.send(200, "<!doctype html><title>Log in</title>", "text/html"),
    "reset": lambda h, s, b: h.reset(),
    "cut": lambda h, s, b: h.part(s, b, 0),
    "drip": lambda h, s, b: h.part(s, b, 0.2),
    "no json": lambda h, s, b: h.send(200, '{"choices": [{'),
    "shape": lambda h, s, b: h.send(200, {"choices": "none"}),
    "list": lambda h, s, b: h.send(200, []),
    "no choice": lambda h, s, b: h.altered(s, b, lambda made: made["choices"].clear()),
    "two choices": lambda h, s, b: h.altered(
        s, b, lambda made: made["choices"].append({**made["choices"][0], "index": 1})
    ),
    "doubled": lambda h, s, b: h.altered(
        s, b, lambda made: made["choices"].append(made["choices"][0])
    ),
    "null text": lambda h, s, b: h.altered(
        s, b, lambda made: made["choices"][0].update(text=7, logprobs=None)
    ),
    "too long": lambda h, s, b: h.send(
        400,
        {
            "error": {
                "message": "This model's maximum context length is 10 tokens",
                "code": "context_length_exceeded",
            }
        },
    ),
    "refused": lambda h, s, b: h.send(401, {"error": {"message": "key expired"}}),
    "cut stream": lambda h, s, b: h.cut_stream(s, b),
}
MENDING = ("429", "429 after", "429 date", "500", "503", "502 page", "page", "reset", "cut", "drip",
           "no json", "shape", "list", "no choice", "two choices", "doubled", "null text",
           )  # fmt: skip


class Listening(ThreadingHTTPServer):
    """Quiet about connections that its client has dropped."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    """The server on a free port of loopback."""
    listening = Listening(("127.0.0.1", 0), Handler)
    listening.own = server  # type: ignore[attr-defined]
    server.port = listening.server_address[1]
    thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        listening.shutdown()
        thread.join()
        listening.server_close()


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers with these attributes; they end with the test."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        yield lambda **values: stack.enter_context(serving(Server(**values)))
