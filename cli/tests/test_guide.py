"""The guide to teams says what holds: its table of roles, and every command in it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from devlore_cli.main import cli
from devlore_server.identity.roles import ROLES

GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "teams.md"
COLUMNS = ("viewer", "member", "admin", "owner")


def test_the_table_of_roles_is_that_of_the_server() -> None:
    table: dict[str, set[str]] = {role: set() for role in COLUMNS}
    for line in GUIDE.read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 6 and cells[1].startswith("`"):
            for role, mark in zip(COLUMNS, cells[2:], strict=True):
                table[role] |= {cells[1].strip("`")} if mark else set()
    assert table == {role: set(scopes) for role, scopes in ROLES.items()}


def commands() -> list[str]:
    """Every `devlore …` of the guide, in text and in blocks, without comments."""
    found = re.findall(r"(?:^|[`·|] ?|dvl_… )(devlore [^`·#|\n]+)", GUIDE.read_text(), re.MULTILINE)
    return sorted({command.strip() for command in found})


def test_the_guide_has_commands() -> None:
    assert len(commands()) > 30


@pytest.mark.parametrize("line", commands())
def test_every_command_of_the_guide_is_one(line: str) -> None:
    words = shlex.split(line.replace("[", "").replace("]", ""))[1:]
    command: click.Command = cli
    context = click.Context(cli)
    while isinstance(command, click.Group):
        name = words.pop(0)
        found = command.get_command(context, name)
        assert found is not None, f"{line}: no {name}"
        command = found
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word.partition("=")[0] for word in words if word.startswith("-") and word != "-"} <= known, line
    arguments = [parameter for parameter in command.params if isinstance(parameter, click.Argument)]
    assert words or not any(one.required for one in arguments), line
