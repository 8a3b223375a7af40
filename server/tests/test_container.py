"""What containers need: secrets made once, a server that cannot change its schema, a health check that can fail."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest
from click.testing import CliRunner

from devlore_server import healthy
from devlore_server.__main__ import main
from devlore_server.container import make_secrets
from devlore_server.healthy import Unhealthy, ensure_healthy
from devlore_server.kit.migrate import MIGRATIONS, MigrationError, app_password, app_url, migrate
from devlore_server.settings import Settings
from tests.instance import silent_port

SHARED, OWNED = {"secret", "redis_password", "app_database_url", "redis_url"}, {"postgres_password", "database_url"}


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """A folder for every process, and the owner's."""
    made = tmp_path / "shared", tmp_path / "owner"
    for folder in made:
        folder.mkdir()
    return made


def held(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_secrets_are_made_once_and_kept(folders: tuple[Path, Path]) -> None:
    assert make_secrets(*folders, "postgres", "redis") == ["secret", "redis_password", "postgres_password"]
    shared, owned = held(folders[0]), held(folders[1])
    assert (set(shared), set(owned)) == (SHARED, OWNED)
    assert len(shared["secret"]) >= 32
    assert len({shared["secret"], shared["redis_password"], owned["postgres_password"]}) == 3

    assert make_secrets(*folders, "postgres", "redis") == []
    assert (held(folders[0]), held(folders[1])) == (shared, owned)


def test_urls_name_the_given_hosts_and_follow_a_move(folders: tuple[Path, Path]) -> None:
    make_secrets(*folders, "postgres", "redis")
    make_secrets(*folders, "127.0.0.1:7705", "127.0.0.1:7706")
    shared, owned = held(folders[0]), held(folders[1])
    owner = owned["postgres_password"]
    assert owned["database_url"] == f"postgresql://postgres:{owner}@127.0.0.1:7705/devlore"
    assert shared["redis_url"].endswith("@127.0.0.1:7706/0")
    assert shared["app_database_url"] == f"postgresql://devlore_app:{app_password(owner)}@127.0.0.1:7705/devlore"
    assert not any(owner in text for text in shared.values()), "what serves never sees the owner's password"


def test_the_command_says_what_it_made(folders: tuple[Path, Path]) -> None:
    shared, owner = (str(folder) for folder in folders)
    arguments = ["make-secrets", shared, "--owner", owner, "--postgres-host", "p", "--redis-host", "r"]
    assert CliRunner().invoke(main, arguments).output == "Made: secret, redis_password, postgres_password\n"
    assert CliRunner().invoke(main, arguments).output == "Nothing to do: every secret is there.\n"


def test_nobody_listening_is_unhealthy() -> None:
    with silent_port() as nobody, pytest.raises(Unhealthy, match="does not answer"):
        ensure_healthy(nobody.getsockname()[1])


def check(port: int) -> subprocess.CompletedProcess[str]:
    """The health check as a container runs it."""
    command = [sys.executable, "-X", "importtime", "-m", "devlore_server.healthy"]
    environment = os.environ | {"DEVLORE_PORT": str(port)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


async def test_the_check_of_a_container_asks_the_server(
    server: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The server itself waits for PostgreSQL for two seconds, and a busy machine for both.
    monkeypatch.setattr(healthy, "_PATIENCE", 30)
    port = int(server.rpartition(":")[2])
    well = await asyncio.to_thread(check, port)
    assert well.returncode == 0, well.stderr
    assert "fastapi" not in well.stderr, "it costs every container a little every few seconds"
    with silent_port() as nobody:
        assert (await asyncio.to_thread(check, nobody.getsockname()[1])).returncode == 1
    assert settings.database_url is not None
    with psycopg.connect(settings.database_url.get_secret_value(), autocommit=True) as connection:
        connection.execute("ALTER ROLE devlore_app CONNECTION LIMIT 0")
        try:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            with pytest.raises(Unhealthy, match="postgres"):
                await asyncio.to_thread(ensure_healthy, port)
        finally:
            connection.execute("ALTER ROLE devlore_app CONNECTION LIMIT -1")


async def test_the_app_role_serves_a_database_that_is_up_to_date(database_url: str) -> None:
    assert app_url(database_url) == database_url
    assert await migrate(database_url) == []


async def test_the_app_role_refuses_a_database_that_is_not(database_url: str, tmp_path: Path) -> None:
    newer = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, newer)
    (newer / "memory" / "9999_pre_more.sql").write_text("CREATE SCHEMA more;")
    with pytest.raises(MigrationError, match="devlore-server migrate"):
        await migrate(database_url, newer)
