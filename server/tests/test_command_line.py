"""`devlore-server` says in one line what is wrong with its database, and ends with 1: never with a traceback."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from psycopg import conninfo

from devlore_server.__main__ import main

COMMANDS = [
    ["serve", "--port", "0"],
    ["migrate"],
    ["backup", "{folder}/kept.tar"],
    ["first-owner"],
    ["upgrade-tier", "team"],
    ["rotate-keys"],
    ["rebuild", "search"],
]


def run(command: list[str], url: str, folder: Path) -> Result:
    environment = {"DEVLORE_HOME": str(folder / "home"), "DEVLORE_DATABASE_URL": url, "DEVLORE_PORT": "1"}
    return CliRunner().invoke(main, [part.format(folder=folder) for part in command], env=environment)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_database_that_does_not_answer_is_one_line(command: list[str], tmp_path: Path) -> None:
    ended = run(command, "postgresql://postgres:hunter2@127.0.0.1:1/devlore", tmp_path)
    said = ended.output.splitlines()
    assert (ended.exit_code, len(said)) == (1, 1), (ended.output, ended.exception)
    assert said[0].startswith("Error: PostgreSQL: ")
    assert "Connection refused" in said[0]
    assert "hunter2" not in said[0]
    assert not list(tmp_path.rglob("kept.tar")), "nor half a backup"


def test_a_role_that_may_not_is_one_line(owner_url: str, database_url: str, tmp_path: Path) -> None:
    nobody = conninfo.make_conninfo(owner_url, user="devlore_search")
    ended = run(["migrate"], nobody, tmp_path)
    assert (ended.exit_code, len(ended.output.splitlines())) == (1, 1), ended.output
    assert ended.output.startswith("Error: PostgreSQL: ")


def test_a_place_that_is_not_there_is_named(owner_url: str, tmp_path: Path) -> None:
    ended = run(["backup", "{folder}/nowhere/kept.tar"], owner_url, tmp_path)
    assert ended.exit_code == 1
    assert ended.output.startswith(f"Error: {tmp_path}/nowhere/")
    assert ended.output.endswith(": No such file or directory.\n")
