"""`devlore up` and `devlore down` with the real server, through kills of everything."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from cli.tests.terminal import Terminal

from devlore_cli import instance
from tests.instance import free_port, until


@pytest.fixture
def where(monkeypatch: pytest.MonkeyPatch) -> Iterator[instance.Place]:
    folder = Path(tempfile.mkdtemp(prefix="dvl-up-", dir="/tmp"))
    monkeypatch.setenv("DEVLORE_HOME", str(folder / "home"))
    monkeypatch.setenv("DEVLORE_PORT", str(free_port()))
    place = instance.place()
    yield place
    instance.stop(place, 60, lambda _: None)
    shutil.rmtree(folder, ignore_errors=True)


def of(where: instance.Place) -> list[psutil.Process]:
    """Every process that works in this home."""
    found = []
    for process in psutil.process_iter():
        try:
            if str(where.home) in " ".join([*process.cmdline(), process.cwd()]):
                found.append(process)
        except psutil.Error:
            continue
    return found


def test_up_survives_a_kill_of_everything_and_down_leaves_nothing(
    where: instance.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    devlore = Terminal(monkeypatch, where.url)
    devlore("up")
    memory = devlore("add", "Kept through a kill", "--json").json["id"]
    for process in of(where):
        # Those of PostgreSQL end by themselves as soon as the first of them is gone.
        with suppress(psutil.NoSuchProcess):
            process.kill()
    until(lambda: instance.running(where) is None)
    assert devlore("up", "--json").json["started"] is True
    assert devlore("show", memory, "--json").json["title"] == "Kept through a kill"
    assert devlore("up", "--json").json["started"] is False
    devlore("down")
    until(lambda: of(where) == [])


def test_down_also_stops_a_postgres_whose_server_was_killed(
    where: instance.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    devlore = Terminal(monkeypatch, where.url)
    found = devlore("up", "--json").json
    os.kill(found["pid"], signal.SIGKILL)
    until(lambda: instance.running(where) is None)
    assert of(where) != []
    assert devlore("down").out == "Devlore has stopped.\n"
    until(lambda: of(where) == [])
