"""Drivers that send calls over httpx2, one blocking and one awaiting; every decision is made in ``calls``."""

from __future__ import annotations

import asyncio
import ipaddress
import os
import time
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Mapping
from typing import Any, TypeVar

import httpx2

from devlore.calls import Answer, Attempts, Call, Lines, Listing, Retry, problem_of, unreachable
from devlore.problems import NotAllowed

T = TypeVar("T")

DEFAULT_PORT = "7700"
"""Where a Devlore of the individual tier listens."""


def address(base_url: str | None) -> str:
    """The server's address: given, or from ``DEVLORE_URL``, or this machine's at ``DEVLORE_PORT``."""
    own = f"http://127.0.0.1:{os.environ.get('DEVLORE_PORT') or DEFAULT_PORT}"
    return (base_url or os.environ.get("DEVLORE_URL") or own).rstrip("/")


def is_loopback(url: str) -> bool:
    """Whether ``url`` stays on this machine."""
    host = httpx2.URL(url).host
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def refuse_open_line(request: httpx2.Request) -> None:
    """Raise ``NotAllowed`` where everybody on the way could read the secret in a request or its answer."""
    if request.url.scheme != "https" and not is_loopback(str(request.url)):
        host = request.url.host
        raise NotAllowed(
            f"Passwords, tokens and keys are sent over https only, or to this machine; not to http://{host}."
        )


class Unsigned(httpx2.Auth):
    """Signs nothing. What is not signed is about signing in, and as secret as what is."""

    def auth_flow(self, request: httpx2.Request) -> Generator[httpx2.Request, httpx2.Response, None]:
        """The request as it is."""
        refuse_open_line(request)
        yield request


_UNSIGNED = Unsigned()


def http_options(url: str, timeout: float, headers: Mapping[str, str] | None) -> dict[str, Any]:
    """Constructor arguments for either httpx2 client."""
    return {
        "base_url": url,
        "timeout": httpx2.Timeout(timeout, connect=min(timeout, 5.0)),
        "headers": {"Accept": "application/json", **(headers or {})},
        # A proxy from the environment cannot reach this machine's loopback.
        "trust_env": not is_loopback(url),
        # Loading the certificate store takes longer than a local request.
        "verify": url.startswith("https:"),
    }


def _request(call: Call[Any], auth: httpx2.Auth) -> dict[str, Any]:
    options: dict[str, Any] = {
        "method": call.method,
        "url": call.path,
        "params": call.params or None,
        "content": call.content(),
        "headers": call.all_headers(),
        "auth": auth if call.signed else _UNSIGNED,
    }
    if call.timeout is not None:
        options["timeout"] = httpx2.Timeout(call.timeout, connect=5.0)
    return options


def _answer(response: httpx2.Response) -> Answer:
    return Answer(response.status_code, response.headers, response.content)


class Transport:
    """Sends calls and waits for their answers."""

    def __init__(self, url: str, http: httpx2.Client, retry: Retry, auth: httpx2.Auth) -> None:
        self.url = url
        self.http = http
        self._retry = retry
        self._auth = auth

    def run(self, call: Call[T]) -> T:
        """The call's result, after as many attempts as it takes; raises a ``Problem``."""
        attempts = Attempts(call, self._retry, self.url)
        request = _request(call, self._auth)
        while True:
            try:
                answer = _answer(self.http.request(**request))
            except httpx2.TransportError as error:
                time.sleep(attempts.broke(error))
                continue
            pause = attempts.answered(answer)
            if pause is None:
                return attempts.result(answer)
            time.sleep(pause)

    def pages(self, call: Call[Listing[T]]) -> Iterator[T]:
        """Every item of a listing, fetching pages as they are needed."""
        page = self.run(call)
        yield from page.items
        while page.next is not None:
            page = self.run(call.after(page.next))
            yield from page.items

    def lines(self, call: Call[Callable[[bytes], T]]) -> Iterator[T]:
        """Each line of an NDJSON answer as it arrives; repeated only until the answer starts."""
        attempts = Attempts(call, self._retry, self.url)
        request = _request(call, self._auth)
        while True:
            started = False
            try:
                with self.http.stream(**request) as response:
                    if response.status_code < 400:
                        started = True
                        read = call.parse(Answer(response.status_code, response.headers, b""))
                        cut = Lines()
                        for chunk in response.iter_bytes():
                            yield from map(read, cut.feed(chunk))
                        yield from map(read, cut.last())
                        return
                    response.read()
                    answer = _answer(response)
                pause = attempts.answered(answer)
                if pause is None:
                    raise problem_of(answer)
            except httpx2.TransportError as error:
                if started:
                    raise unreachable(self.url, error) from error
                pause = attempts.broke(error)
            time.sleep(pause)


class AsyncTransport:
    """Sends calls and awaits their answers."""

    def __init__(self, url: str, http: httpx2.AsyncClient, retry: Retry, auth: httpx2.Auth) -> None:
        self.url = url
        self.http = http
        self._retry = retry
        self._auth = auth

    async def run(self, call: Call[T]) -> T:
        """The call's result, after as many attempts as it takes; raises a ``Problem``."""
        attempts = Attempts(call, self._retry, self.url)
        request = _request(call, self._auth)
        while True:
            try:
                answer = _answer(await self.http.request(**request))
            except httpx2.TransportError as error:
                await asyncio.sleep(attempts.broke(error))
                continue
            pause = attempts.answered(answer)
            if pause is None:
                return attempts.result(answer)
            await asyncio.sleep(pause)

    async def pages(self, call: Call[Listing[T]]) -> AsyncIterator[T]:
        """Every item of a listing, fetching pages as they are needed."""
        page = await self.run(call)
        for item in page.items:
            yield item
        while page.next is not None:
            page = await self.run(call.after(page.next))
            for item in page.items:
                yield item

    async def lines(self, call: Call[Callable[[bytes], T]]) -> AsyncIterator[T]:
        """Each line of an NDJSON answer as it arrives; repeated only until the answer starts."""
        attempts = Attempts(call, self._retry, self.url)
        request = _request(call, self._auth)
        while True:
            started = False
            try:
                async with self.http.stream(**request) as response:
                    if response.status_code < 400:
                        started = True
                        read = call.parse(Answer(response.status_code, response.headers, b""))
                        cut = Lines()
                        async for chunk in response.aiter_bytes():
                            for line in cut.feed(chunk):
                                yield read(line)
                        for line in cut.last():
                            yield read(line)
                        return
                    await response.aread()
                    answer = _answer(response)
                pause = attempts.answered(answer)
                if pause is None:
                    raise problem_of(answer)
            except httpx2.TransportError as error:
                if started:
                    raise unreachable(self.url, error) from error
                pause = attempts.broke(error)
            await asyncio.sleep(pause)
