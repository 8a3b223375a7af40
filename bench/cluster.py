"""The databases of a benchmark with many organisations, on one embedded PostgreSQL, and the roles that serve them."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from psycopg import conninfo, sql

import instance
import without_policies
from devlore_server.kit.auth import Principal
from devlore_server.kit.embedded import EmbeddedPostgres
from devlore_server.kit.migrate import migrate
from roles import Role, Signed
from tenants import MODEL, Organisation, Tenants


class Cluster:
    """An embedded PostgreSQL of this run and the databases in it; ``folder`` may be kept and used again."""

    def __init__(self, folder: Path, data: Path, spec: str) -> None:
        self.folder = folder
        self._data = data
        self._spec = spec
        self._server = EmbeddedPostgres(folder)
        self.url = self._server.start()

    def database(self, name: str, groups: Sequence[Organisation], vectors: float, *, graph: bool) -> str:
        """The superuser's URL of a database with these organisations, made unless it is there."""
        url = conninfo.make_conninfo(self.url, dbname=name)
        with psycopg.connect(self.url, autocommit=True) as connection:
            if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone():
                return url
            connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(f"{name}_unfinished")))
        unfinished = conninfo.make_conninfo(self.url, dbname=f"{name}_unfinished")
        asyncio.run(migrate(unfinished))
        started = time.perf_counter()
        Tenants(self._data, groups, vectors).fill(unfinished, self._spec, graph=graph)
        say(f"{name}: {sum(one.size for one in groups):,} memories stored in {time.perf_counter() - started:.0f} s")
        with psycopg.connect(self.url, autocommit=True) as connection:
            renamed = sql.SQL("ALTER DATABASE {} RENAME TO {}")
            connection.execute(renamed.format(sql.Identifier(f"{name}_unfinished"), sql.Identifier(name)))
        without_policies.prepare(url)
        return url

    def role(self, name: str, url: str, **options: Any) -> Role:
        """A process of the memory and search roles on a database, with its own home for its full-text index."""
        chosen = {"database_url": url, "roles": "memory,search", "embedder": self._spec, "database_connections": "4"}
        return Role(self.folder / name, **options, **chosen)

    def stop(self) -> None:
        self._server.stop()


def indexed(role: Role) -> None:
    """Return when a role's full-text index is built; rows that came by COPY reach it in one rebuild at the start."""
    client, started = Signed(role.url), time.perf_counter()
    somebody = Principal(UUID(int=1), UUID(int=1), scopes=frozenset({"search:read"}))
    while True:
        _, status = client.get(somebody, "/v1/search/status")
        lexical = next(index for index in status["indexes"] if "lexical" in index["name"])
        if lexical["state"] == "ready":
            say(f"{role.home.name}: the index is built ({time.perf_counter() - started:.0f} s)")
            return
        time.sleep(5)  # each answer costs a search over everything


@contextmanager
def embedder() -> Iterator[str]:
    """The hashing stand-in; its setting."""
    port = instance.free_port()
    script = str(Path(__file__).with_name("embeddings.py"))
    process = subprocess.Popen([sys.executable, script, "--mode", "hash", "--port", str(port)])
    try:
        yield f"openai:{MODEL}@http://127.0.0.1:{port}/v1"
    finally:
        process.terminate()
        process.wait(10)


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
