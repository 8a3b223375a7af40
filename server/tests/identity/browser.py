"""A real browser: a headless Chromium, driven over its DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection, connect

PROGRAM = shutil.which("chromium") or shutil.which("google-chrome")
_OPTIONS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", "--window-size=480,900")


class Page:
    """One page: go somewhere, run a script in it, wait for what it should say."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._numbers = count(1)

    async def _ask(self, method: str, **parameters: object) -> dict[str, Any]:
        number = next(self._numbers)
        await self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            said = json.loads(await asyncio.wait_for(self._socket.recv(), 30))
            if said.get("id") == number:
                assert "error" not in said, said
                return dict(said["result"])

    async def go(self, url: str) -> None:
        await self._ask("Page.navigate", url=url)

    async def run(self, script: str) -> Any:
        """The value of an expression, awaited if it is a promise; None while the page is being changed."""
        found = await self._ask("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        return found["result"].get("value")

    async def until(self, condition: str) -> Any:
        """The value of an expression once it is true."""
        async with asyncio.timeout(20):
            while not (value := await self.run(condition)):
                await asyncio.sleep(0.05)
            return value

    async def picture(self, path: Path) -> None:
        """A PNG of what is to be seen."""
        path.write_bytes(base64.b64decode((await self._ask("Page.captureScreenshot"))["data"]))


@asynccontextmanager
async def browsing() -> AsyncIterator[Page]:
    """An empty page of a browser that ends afterwards."""
    assert PROGRAM is not None
    with tempfile.TemporaryDirectory(prefix="dvl-browser-", ignore_cleanup_errors=True) as folder:
        process = await asyncio.create_subprocess_exec(
            PROGRAM,
            *_OPTIONS,
            f"--user-data-dir={folder}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            port = await _port(Path(folder))
            async with connect(await _page_address(port), max_size=None) as socket:
                yield Page(socket)
        finally:
            with suppress(ProcessLookupError):
                process.terminate()
            await process.wait()


async def _port(folder: Path) -> int:
    async with asyncio.timeout(60):
        while not (file := folder / "DevToolsActivePort").exists() or not file.read_text():
            await asyncio.sleep(0.05)
    return int(file.read_text().split()[0])


async def _page_address(port: int) -> str:
    async with httpx2.AsyncClient(trust_env=False) as client:
        targets = (await client.get(f"http://127.0.0.1:{port}/json/list")).json()
    return str(next(one["webSocketDebuggerUrl"] for one in targets if one["type"] == "page"))
