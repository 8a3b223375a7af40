"""A real HTTP server on loopback that misbehaves on demand, and records what it was sent."""

from __future__ import annotations

import json
import socket
import struct
import sys
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Reply:
    """What the server does with one request: answer, after a pause, or break the connection."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    after: float = 0.0
    drop: bool = False
    cut_after: int | None = None

    def content(self) -> bytes:
        return (
            self.body if isinstance(self.body, bytes) else b"" if self.body is None else json.dumps(self.body).encode()
        )


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Scripted(ThreadingHTTPServer):
    """Plays its replies in order, the last one for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.replies: list[Reply] = [Reply()]
        self.seen: list[Seen] = []
        self.guard = threading.Lock()
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def server_close(self) -> None:
        """Close, and let nobody's pause outlast the test."""
        self.over.set()
        super().server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a client that is gone: stderr may be what another test looks at by now."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def play(self, *replies: Reply) -> None:
        self.replies = list(replies)

    def await_requests(self, many: int) -> None:
        """Wait until so many have arrived; a client that has given up may have done so before its request was read."""
        deadline = time.monotonic() + 30
        while len(self.seen) < many and time.monotonic() < deadline:
            time.sleep(0.01)
        assert len(self.seen) >= many, f"{len(self.seen)} of {many} requests"

    def next_reply(self) -> Reply:
        with self.guard:
            return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Scripted

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        self.server.seen.append(Seen(self.command, parts.path, parse_qs(parts.query), headers, body))
        reply = self.server.next_reply()
        if self.server.over.wait(reply.after):
            self.close_connection = True
            return
        if reply.drop:
            self.break_off()
            return
        content = reply.content()
        self.send_response(reply.status)
        for name, value in ({"Content-Type": "application/json"} | reply.headers).items():
            self.send_header(name, value)
        if reply.status != 204:
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if reply.cut_after is not None:
            self.wfile.write(content[: reply.cut_after])
            self.wfile.flush()
            time.sleep(0.05)
            self.break_off()
        elif reply.status != 204:
            self.wfile.write(content)

    def break_off(self) -> None:
        """Reset the connection, as a killed server does."""
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = True

    do_GET = do_POST = do_PATCH = do_DELETE = answer  # noqa: N815 - the parent's names
