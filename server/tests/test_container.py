"""What containers need: secrets made once, a server that cannot change its schema, a health check that can fail."""

import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

from devlore_server.__main__ import main
from devlore_server.container import Unhealthy, ensure_healthy, make_secrets
from devlore_server.kit.migrate import MIGRATIONS, MigrationError, app_password, app_url, migrate
from tests.instance import free_port

FILES = {"secret", "postgres_password", "redis_password", "database_url", "app_database_url", "redis_url"}


def test_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    assert make_secrets(tmp_path, "postgres", "redis") == ["secret", "postgres_password", "redis_password"]
    first = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(first) == FILES
    assert len(first["secret"]) >= 32
    assert len({first["secret"], first["postgres_password"], first["redis_password"]}) == 3

    assert make_secrets(tmp_path, "postgres", "redis") == []
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == first


def test_urls_name_the_given_hosts_and_follow_a_move(tmp_path: Path) -> None:
    make_secrets(tmp_path, "postgres", "redis")
    make_secrets(tmp_path, "127.0.0.1:7705", "127.0.0.1:7706")
    owner = (tmp_path / "postgres_password").read_text()
    assert (tmp_path / "database_url").read_text() == f"postgresql://postgres:{owner}@127.0.0.1:7705/devlore"
    assert (tmp_path / "redis_url").read_text().endswith("@127.0.0.1:7706/0")
    app = (tmp_path / "app_database_url").read_text()
    assert app == f"postgresql://devlore_app:{app_password(owner)}@127.0.0.1:7705/devlore"
    assert owner not in app


def test_the_command_says_what_it_made(tmp_path: Path) -> None:
    arguments = ["make-secrets", str(tmp_path), "--postgres-host", "p", "--redis-host", "r"]
    assert CliRunner().invoke(main, arguments).output == "Made: secret, postgres_password, redis_password\n"
    assert CliRunner().invoke(main, arguments).output == "Nothing to do: every secret is there.\n"


def test_nobody_listening_is_unhealthy() -> None:
    with pytest.raises(Unhealthy, match="does not answer"):
        ensure_healthy(free_port())


async def test_the_app_role_serves_a_database_that_is_up_to_date(database_url: str) -> None:
    assert app_url(database_url) == database_url
    assert await migrate(database_url) == []


async def test_the_app_role_refuses_a_database_that_is_not(database_url: str, tmp_path: Path) -> None:
    newer = tmp_path / "migrations"
    shutil.copytree(MIGRATIONS, newer)
    (newer / "memory" / "9999_pre_more.sql").write_text("CREATE SCHEMA more;")
    with pytest.raises(MigrationError, match="devlore-server migrate"):
        await migrate(database_url, newer)
