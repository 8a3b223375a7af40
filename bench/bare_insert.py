"""The floor of a create: FastAPI and psycopg, one INSERT, nothing else."""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import uvicorn
from fastapi import FastAPI, Request
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

import instance
from devlore_server.kit.embedded import EmbeddedPostgres

TABLE = (
    "CREATE TABLE IF NOT EXISTS bare"
    " (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, title text, body text, rest jsonb)"
)


def application(url: str) -> FastAPI:
    """One route: parse, insert, commit, 201."""
    pool = AsyncConnectionPool(url, min_size=4, max_size=10, open=False)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        await pool.open(wait=True)
        async with pool.connection() as connection:
            await connection.execute(TABLE)
        yield
        await pool.close()

    app = FastAPI(lifespan=lifespan)

    @app.get("/readyz")
    async def ready() -> dict[str, str]:
        return {"status": "ok"}

    @app.post("/insert", status_code=201)
    async def insert(request: Request) -> dict[str, Any]:
        draft = await request.json()
        async with pool.connection() as connection:
            cursor = await connection.execute(
                "INSERT INTO bare (title, body, rest) VALUES (%s, %s, %s) RETURNING id",
                (draft["title"], draft["body"], Jsonb(draft)),
            )
            row = await cursor.fetchone()
        return {"id": row[0] if row else None}

    return app


@contextmanager
def running_bare() -> Iterator[str]:
    """The bare server on its own PostgreSQL; yields its URL."""
    home = Path(tempfile.mkdtemp(prefix="devlore-bare-"))
    home.chmod(0o755)
    postgres = EmbeddedPostgres(home)
    port = instance.free_port()
    process = subprocess.Popen([sys.executable, __file__, "--url", postgres.start(), "--port", str(port)])
    try:
        instance.wait_ready(f"http://127.0.0.1:{port}", process)
        yield f"http://127.0.0.1:{port}"
    except httpx2.HTTPError as error:
        raise RuntimeError("the bare server did not answer") from error
    finally:
        process.terminate()
        process.wait(10)
        postgres.stop()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--port", type=int, required=True)
    options = parser.parse_args()
    uvicorn.run(
        application(options.url),
        host="127.0.0.1",
        port=options.port,
        loop="uvloop",
        http="httptools",
        log_level="warning",
    )
