"""HTTP/1.1 on the wire: uvicorn's, with bounds to what stands before a body and how slowly; an answer leaves whole."""

from __future__ import annotations

from asyncio import AbstractEventLoop, TimerHandle, Transport
from typing import Any, cast

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
        super().connection_made(Gathering(transport, self.loop))
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

    def on_response_complete(self) -> None:
        cast(Gathering, self.transport).flush()
        super().on_response_complete()

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


class Gathering(Transport):
    """A transport whose writes leave together at the end of a turn of the event loop, or beyond ``ENOUGH`` bytes.

    uvicorn writes the head of an answer and then its body: two system calls, and whoever reads is woken twice.
    """

    ENOUGH = 65_536

    def __init__(self, transport: Transport, loop: AbstractEventLoop) -> None:
        super().__init__()
        self._transport = transport
        self._loop = loop
        self._pieces: list[bytes | bytearray | memoryview] = []
        self._size = 0

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not self._pieces:
            self._loop.call_soon(self.flush)
        self._pieces.append(data)
        self._size += len(data)
        if self._size >= self.ENOUGH:
            self.flush()

    def close(self) -> None:
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()

    def pause_reading(self) -> None:
        self._transport.pause_reading()

    def resume_reading(self) -> None:
        self._transport.resume_reading()

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._transport.get_extra_info(name, default)

    def flush(self) -> None:
        """Write what there is."""
        pieces, self._pieces, self._size = self._pieces, [], 0
        if pieces and not self._transport.is_closing():
            self._transport.write(pieces[0] if len(pieces) == 1 else b"".join(pieces))
