"""Requests as they come off the wire: uvicorn's HTTP/1.1, with bounds to what stands before a body and how slowly."""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

LONGEST_HEAD = 65_536
"""Bytes of a request line with its headers."""
PATIENCE = 30.0
"""Seconds they may take to come, from when the connection or the request before is done with."""

_TOO_LARGE = (
    b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"  # RFC 6585 §5
)


class BoundedHttp(HttpToolsProtocol):
    """Ends a connection whose request line and headers are too long (431) or do not come; anybody may open one.

    The parser keeps an unfinished header for as long as it grows. What comes behind a body (a trailer section, RFC
    9112 §7.1.2) is no header: whoever stood before us has looked at the headers only.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_head = True
        self._length = 0
        self._overdue: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head and self._overdue is None:
            self._await_head()
        self._length += len(data)
        super().data_received(data)
        if self._in_head and self._length > LONGEST_HEAD and not self.transport.is_closing():
            self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._forget_deadline()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._in_head, self._length = True, 0

    def _await_head(self) -> None:
        self._overdue = self.loop.call_later(PATIENCE, self._give_up)

    def _give_up(self) -> None:
        self._overdue = None
        if self.cycle is None or self.cycle.response_complete:
            self.transport.close()

    def _forget_deadline(self) -> None:
        if self._overdue is not None:
            self._overdue.cancel()
            self._overdue = None
