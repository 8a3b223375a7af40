"""What every server test stands on: a real PostgreSQL, a fresh database per test, a real Redis, three callers."""

from __future__ import annotations

import asyncio
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from uuid import UUID

import psycopg
import pytest
import redis
import uvicorn
from psycopg import conninfo, sql
from pydantic import SecretStr

from devlore_server.app import application
from devlore_server.kit import migrate
from devlore_server.kit.auth import Principal
from devlore_server.kit.db import Database
from devlore_server.kit.embedded import EmbeddedPostgres
from devlore_server.kit.ids import new_id
from devlore_server.kit.log import EventLog
from devlore_server.settings import Settings

TEMPLATE = "devlore_template"
SCOPES = frozenset(
    f"{thing}:{verb}"
    for thing in ("memories", "search", "connections")
    for verb in ("read", "write", "export", "admin")
)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The superuser's URL of a PostgreSQL that lives as long as the test run."""
    with _home() as home:
        server = EmbeddedPostgres(home, durable=False)
        try:
            yield server.start()
        finally:
            server.stop()


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """The name of a migrated database to copy; nobody connects to it."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(TEMPLATE)))
    asyncio.run(migrate.migrate(named(postgres, TEMPLATE)))
    return TEMPLATE


@pytest.fixture
def owner_url(postgres: str, template: str) -> Iterator[str]:
    """The superuser's URL of this test's own database: for looking past row-level security."""
    name = f"test_{new_id().hex}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        create = "CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy"
        connection.execute(sql.SQL(create).format(sql.Identifier(name), sql.Identifier(template)))
    # A copy has the template's tables, but not the rights on the database itself.
    with psycopg.connect(named(postgres, name), autocommit=True) as connection:
        connection.execute((migrate.MIGRATIONS / "roles.sql").read_text())
    yield named(postgres, name)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def database_url(owner_url: str) -> str:
    """A fresh, migrated database, as ``devlore_app``."""
    return migrate.app_url(owner_url)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    """An open ``Database`` on this test's own database."""
    opened = Database(database_url)
    await opened.open()
    yield opened
    await opened.close()


@pytest.fixture
def log(database: Database) -> EventLog:
    """The event log of this test's own database."""
    return EventLog(database)


@pytest.fixture
def who() -> Principal:
    """A person of an organisation, member of one team."""
    return _principal(organisation=1, person=1, team=1)


@pytest.fixture
def other() -> Principal:
    """Another person of the organisation of ``who``, in another team."""
    return _principal(organisation=1, person=2, team=2)


@pytest.fixture
def stranger() -> Principal:
    """A person of another organisation."""
    return _principal(organisation=2, person=3, team=3)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The URL of a Redis that lives as long as the test run; no Redis is a failure, not a skip."""
    program = shutil.which("redis-server")
    if program is None:
        pytest.fail("redis-server is not installed: apt-get install redis-server", pytrace=False)
    folder = Path(tempfile.mkdtemp(prefix="dvl-redis-", dir="/tmp"))
    socket = folder / "redis.sock"
    options = ["--port", "0", "--unixsocket", str(socket), "--save", "", "--appendonly", "no", "--dir", str(folder)]
    process = subprocess.Popen([program, *options], stdout=subprocess.DEVNULL)
    url = f"unix://{socket}"
    try:
        _await_redis(url, process)
        yield url
    finally:
        process.terminate()
        process.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def redis_url(redis_server: str) -> Iterator[str]:
    """The URL of an empty Redis."""
    with redis.Redis.from_url(redis_server) as client:
        client.flushall()
        yield redis_server


@pytest.fixture
def home() -> Iterator[Path]:
    """An empty folder for a PostgreSQL of the test's own."""
    with _home() as path:
        yield path


@pytest.fixture
def settings(owner_url: str) -> Iterator[Settings]:
    """The settings of one process with every role, on this test's own database."""
    home = Path(tempfile.mkdtemp(prefix="dvl-home-", dir="/tmp"))
    # Whoever looks for what was found, and not for how soon, waits for every leg.
    yield Settings(home=home, port=0, database_url=SecretStr(owner_url), log_level="warning", search_deadline_ms=30_000)
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
async def server(settings: Settings) -> AsyncIterator[str]:
    """The base URL of the whole application, answering on a free port of loopback."""
    async with _answering(settings) as url:
        yield url


@pytest.fixture
def team_settings(settings: Settings) -> Settings:
    """Those of a team instance in one process, without limits of requests."""
    return settings.model_copy(update={"tier": "team", "rate_limit": 0})


@pytest.fixture
async def team_server(team_settings: Settings) -> AsyncIterator[str]:
    """The base URL of a team instance that nobody owns yet, answering on a free port of loopback."""
    async with _answering(team_settings) as url:
        yield url


@asynccontextmanager
async def _answering(settings: Settings) -> AsyncIterator[str]:
    with socket.create_server((settings.host, 0)) as bound:
        url = f"http://127.0.0.1:{bound.getsockname()[1]}"
        async with application(settings.model_copy(update={"public_url": url})) as app:
            # Kept for longer than clients keep them, as the server does: none is closed just when it is used again.
            config = uvicorn.Config(
                app, http="httptools", lifespan="off", log_config=None, access_log=False, timeout_keep_alive=30
            )
            running = uvicorn.Server(config)
            answering = asyncio.create_task(running._serve(sockets=[bound]))
            yield url
            running.should_exit = True
            await answering


def named(url: str, database: str) -> str:
    """The same server, another database."""
    return conninfo.make_conninfo(url, dbname=database)


@contextmanager
def _home() -> Iterator[Path]:
    # Not tmp_path: its name is too long for a socket, and pytest closes its parents to the user PostgreSQL runs as.
    path = Path(tempfile.mkdtemp(prefix="dvl-", dir="/tmp"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def _principal(*, organisation: int, person: int, team: int) -> Principal:
    return Principal(
        organisation=UUID(f"00000000-0000-7000-8000-0000000001{organisation:02}"),
        person=UUID(f"00000000-0000-7000-8000-0000000002{person:02}"),
        teams=frozenset({UUID(f"00000000-0000-7000-8000-0000000003{team:02}")}),
        scopes=SCOPES,
    )


def _await_redis(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 10
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with redis.Redis.from_url(url) as client:
                client.ping()
                return
        except redis.exceptions.ConnectionError:
            time.sleep(0.02)
    pytest.fail("redis-server does not answer", pytrace=False)
