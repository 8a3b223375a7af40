"""Descriptors that turn an operation into a method: blocking or awaited, once, by page or by line.

An operation is written once in ``devlore.operations``; ``once(operation)`` in a class body makes it a
method with the operation's own signature and documentation.
"""

from __future__ import annotations

import functools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Generic, ParamSpec, TypeVar

from devlore.calls import Call, Listing
from devlore.transport import AsyncTransport, Transport

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R")


class Namespace:
    """A group of methods over one blocking transport."""

    def __init__(self, transport: Transport) -> None:
        self.transport = transport


class AsyncNamespace:
    """A group of methods over one awaiting transport."""

    def __init__(self, transport: AsyncTransport) -> None:
        self.transport = transport


class _Method(Generic[P, R]):
    """An operation bound to the transport of the namespace it is looked up on."""

    def __init__(self, operation: Callable[P, Any], drive: Callable[[Any, Any], R]) -> None:
        self._operation = operation
        self._drive = drive
        self.__doc__ = operation.__doc__

    def __get__(self, namespace: Namespace | AsyncNamespace, owner: type[Any] | None = None) -> Callable[P, R]:
        operation, drive = self._operation, self._drive

        @functools.wraps(operation)
        def method(*args: P.args, **kwargs: P.kwargs) -> R:
            return drive(namespace.transport, operation(*args, **kwargs))

        return method


def once(operation: Callable[P, Call[T]]) -> _Method[P, T]:
    """A method that sends the call and returns its result."""
    return _Method(operation, Transport.run)


def each(operation: Callable[P, Call[Listing[T]]]) -> _Method[P, Iterator[T]]:
    """A method that iterates over all items of a listing, page by page."""
    return _Method(operation, Transport.pages)


def lines(operation: Callable[P, Call[Callable[[bytes], T]]]) -> _Method[P, Iterator[T]]:
    """A method that iterates over the lines of a streamed answer."""
    return _Method(operation, Transport.lines)


def awaited(operation: Callable[P, Call[T]]) -> _Method[P, Awaitable[T]]:
    """A method that awaits the call's result."""
    return _Method(operation, AsyncTransport.run)


def async_each(operation: Callable[P, Call[Listing[T]]]) -> _Method[P, AsyncIterator[T]]:
    """A method that iterates asynchronously over all items of a listing."""
    return _Method(operation, AsyncTransport.pages)


def async_lines(operation: Callable[P, Call[Callable[[bytes], T]]]) -> _Method[P, AsyncIterator[T]]:
    """A method that iterates asynchronously over the lines of a streamed answer."""
    return _Method(operation, AsyncTransport.lines)
