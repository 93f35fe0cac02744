"""A hub on loopback with one data set of two commits: as much of its API as reading needs."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

NAME = "org/reviews"
OLD, NEW = "0" * 39 + "1", "0" * 39 + "2"


def files(commit: str) -> dict[str, bytes]:
    """Path -> content at a commit; the new one has another label."""
    label = "old" if commit == OLD else "new"
    rows = [{"text": f"row {n}", "label": label} for n in range(4)]
    return {"test.jsonl": "".join(json.dumps(row) + "\n" for row in rows).encode()}


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    asked: list[str]

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._answer(body)

    def _answer(self, body: bytes = b"") -> None:
        path = unquote(urlsplit(self.path).path)
        self.asked.append(f"{self.command} {path} {body!r}")
        parts = path.strip("/").split("/")
        if path.startswith(f"/api/datasets/{NAME}"):
            self._api(parts[4:], body)
        elif path.startswith(f"/datasets/{NAME}/resolve/"):
            commit = self._commit(parts[4])
            self._file(commit, "/".join(parts[5:]))
        else:
            self._send(404, b"{}", {"X-Error-Code": "RepoNotFound"})

    @staticmethod
    def _commit(revision: str) -> str:
        return {"main": NEW, "v1": OLD}.get(revision, revision)

    def _api(self, rest: list[str], body: bytes) -> None:
        commit = self._commit(rest[1] if len(rest) > 1 else "main")
        if commit not in (OLD, NEW):
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
            return
        listed = [
            {"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
            for name, data in files(commit).items()
        ]
        if rest[:1] == ["tree"]:
            self._json(listed if len(rest) == 2 else [])
        elif rest[:1] == ["paths-info"]:
            self._json([one for one in listed if one["path"].encode() in body])
        else:
            siblings = [{"rfilename": one["path"]} for one in listed]
            self._json({"id": NAME, "sha": commit, "siblings": siblings, "tags": []})

    def _file(self, commit: str, name: str) -> None:
        data = files(commit).get(name)
        if data is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
            return
        etag = f'"{hashlib.sha1(data).hexdigest()}"'
        self._send(200, data, {"ETag": etag, "X-Repo-Commit": commit})

    def _json(self, value: object) -> None:
        self._send(200, json.dumps(value).encode(), {"Content-Type": "application/json"})

    def _send(self, status: int, data: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


@contextmanager
def hub() -> Iterator[tuple[str, list[str]]]:
    """The address of a running hub, and what it was asked."""
    asked: list[str] = []
    handler = type("Handler", (_Handler,), {"asked": asked})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
