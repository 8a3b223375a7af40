"""Starting and stopping a server in the background, with a stand-in that misbehaves on demand."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli.tests.terminal import Terminal
from sdk.python.tests.scripted import Reply, Scripted

from devlore_cli import instance
from devlore_cli.failures import Failure
from tests.instance import free_port, until

STAND_IN = """
import http.server, os, signal, sys, time

class Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        body = b'{"version": "0.1.0", "tier": "individual", "roles": []}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass

assert sys.argv[1:] == ["serve"]
mode = os.environ.get("STAND_IN", "")
print("stand-in begins", mode, flush=True)
if mode == "crash":
    print("the disk is full", file=sys.stderr, flush=True)
    sys.exit(3)
if mode == "slow":
    time.sleep(0.7)
if mode == "held":
    while not os.path.exists("open"):
        time.sleep(0.02)
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
else:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
address = os.environ["DEVLORE_HOST"], int(os.environ["DEVLORE_PORT"])
http.server.ThreadingHTTPServer(address, Answer).serve_forever()
"""


@pytest.fixture
def where(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[instance.Place]:
    """A home whose server is the stand-in; nothing of it survives the test."""
    package = tmp_path / "packages" / "devlore_server"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(STAND_IN)
    monkeypatch.setenv("PYTHONPATH", str(package.parent))
    monkeypatch.setenv("DEVLORE_PORT", str(free_port()))
    place = instance.place()
    yield place
    if (found := instance.running(place)) is not None:
        os.kill(found.pid, signal.SIGKILL)


@pytest.fixture
def local(where: instance.Place, monkeypatch: pytest.MonkeyPatch) -> Terminal:
    return Terminal(monkeypatch, where.url)


def silent(_: float) -> None:
    pass


def killed(where: instance.Place) -> int:
    found = instance.running(where)
    assert found is not None
    os.kill(found.pid, signal.SIGKILL)
    until(lambda: instance.running(where) is None)
    return found.pid


def test_up_starts_it_and_a_second_up_finds_it(local: Terminal, where: instance.Place) -> None:
    first = local("up", "--json").json
    assert first["started"] is True
    assert first["url"] == where.url
    second = local("up", "--json").json
    assert (second["started"], second["pid"]) == (False, first["pid"])
    assert "already runs" in local("up").out


def test_down_stops_it_and_a_second_down_is_content(local: Terminal, where: instance.Place) -> None:
    local("up")
    assert local("down").out == "Devlore has stopped.\n"
    assert instance.running(where) is None
    assert not where.record.exists()
    assert local("down").out == "Devlore does not run.\n"


def test_the_server_outlives_the_command_and_its_terminal(local: Terminal, where: instance.Place) -> None:
    subprocess.run([sys.executable, "-m", "devlore_cli", "up"], check=True, start_new_session=True)
    found = instance.running(where)
    assert found is not None
    assert os.getsid(found.pid) == found.pid


def test_after_a_kill_it_is_started_again(local: Terminal, where: instance.Place) -> None:
    local("up")
    before = killed(where)
    assert where.record.exists()
    again = local("up", "--json").json
    assert again["started"] is True
    assert again["pid"] != before


def test_a_left_over_record_of_another_process_does_not_count(local: Terminal, where: instance.Place) -> None:
    """Process ids are used again: the record may name a stranger that must not be stopped."""
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(30)"]) as stranger:
        where.home.mkdir()
        where.record.write_text(json.dumps({"pid": stranger.pid, "url": where.url}))
        assert instance.running(where) is None
        local("down")
        assert stranger.poll() is None
        stranger.kill()


def test_a_broken_record_does_not_count(local: Terminal, where: instance.Place) -> None:
    where.home.mkdir()
    where.record.write_text("{")
    assert local("up", "--json").json["started"] is True


def test_a_start_that_fails_shows_the_end_of_the_log(
    local: Terminal, where: instance.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    where.home.mkdir()
    where.log.write_text("an older line\n")
    monkeypatch.setenv("STAND_IN", "crash")
    shown = local("up", code=1).err
    assert "did not start" in shown
    assert "the disk is full" in shown
    assert "an older line" not in shown
    assert str(where.log) in shown


def test_a_start_that_takes_too_long_is_said(
    local: Terminal, where: instance.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", "held")
    assert "not ready after 0 s" in local("up", "--timeout", "0.2", code=1).err
    (where.home / "open").touch()
    assert local("up").code == 0


def test_a_port_of_another_program_is_said(local: Terminal, where: instance.Place) -> None:
    with socket.create_server((where.host, where.port)):
        shown = local("up", code=1).err
    assert f"Port {where.port} is taken" in shown
    assert "DEVLORE_PORT" in shown


def test_another_devlore_on_the_port_is_said(
    local: Terminal, where: instance.Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local("up")
    monkeypatch.setenv("DEVLORE_HOME", str(tmp_path / "other"))
    assert "Another Devlore" in local("up", code=1).err
    assert "did not start it" in local("down", code=1).err
    monkeypatch.setenv("DEVLORE_HOME", str(where.home))
    local("down")


def test_two_at_once_start_one_server(where: instance.Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STAND_IN", "slow")
    outcomes: list[tuple[instance.Running, bool]] = []
    threads = [threading.Thread(target=lambda: outcomes.append(instance.start(where, 10, silent))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({found.pid for found, _ in outcomes}) == 1
    assert sorted(fresh for _, fresh in outcomes) == [False, False, True]


def test_a_server_that_will_not_end_is_said(
    local: Terminal, where: instance.Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAND_IN", "stubborn")
    local("up")
    assert "has not ended" in local("down", "--timeout", "0.3", code=1).err
    assert instance.running(where) is not None


@pytest.mark.parametrize(("answers", "stopped"), [({"hello": "world"}, True), ({"version": "0.1.0"}, False)])
def test_a_postgres_that_was_left_behind_is_stopped_unless_a_devlore_works_with_it(
    scripted: Scripted,
    devlore: Terminal,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    answers: dict[str, str],
    stopped: bool,
) -> None:
    scripted.play(Reply(body=answers))
    monkeypatch.setenv("DEVLORE_PORT", str(scripted.server_address[1]))
    data = home / "postgres" / "data"
    data.mkdir(parents=True)
    with subprocess.Popen(["sleep", "600"], cwd=data) as left_behind:
        (data / "postmaster.pid").write_text(f"{left_behind.pid}\n")
        ended = devlore("down", code=0 if stopped else 1)
        assert (left_behind.poll() is not None) is stopped
        left_behind.kill()
    assert ("has stopped" in ended.out, "did not start it" in ended.err) == (stopped, not stopped)


def test_run_holds_the_home_too(where: instance.Place, local: Terminal) -> None:
    with subprocess.Popen([sys.executable, "-m", "devlore_cli", "run"], stdout=subprocess.DEVNULL) as foreground:
        deadline = time.monotonic() + 10
        while instance.probe(where) is None and time.monotonic() < deadline:
            time.sleep(0.05)
        found = instance.running(where)
        assert found is not None
        assert found.pid == foreground.pid
        assert local("up", "--json").json["started"] is False
        local("down")
        assert foreground.wait(30) == 0


def test_a_long_log_is_set_aside(where: instance.Place, local: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(instance, "_LONGEST_LOG", 10)
    where.home.mkdir()
    where.log.write_text("x" * 50)
    local("up")
    assert where.log.with_suffix(".log.1").read_text() == "x" * 50
    assert "stand-in begins" in where.log.read_text()


def test_the_home_is_private(where: instance.Place, local: Terminal) -> None:
    local("up")
    assert where.home.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("port", ["x", "0", "70000"])
def test_a_port_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch, port: str) -> None:
    monkeypatch.setenv("DEVLORE_PORT", port)
    with pytest.raises(Failure, match="DEVLORE_PORT"):
        instance.place()


def test_the_place_without_settings_is_the_xdg_one(tmp_path: Path) -> None:
    place = instance.place({"HOME": str(tmp_path)})
    assert (place.home, place.url) == (tmp_path / ".local/share/devlore", "http://127.0.0.1:7700")
    assert instance.place({"HOME": "/h", "XDG_DATA_HOME": str(tmp_path)}).home == tmp_path / "devlore"
    assert instance.Place(tmp_path, "::1", 80).url == "http://[::1]:80"


def test_the_size_on_disk(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"x" * 100_000)
    assert 100_000 <= instance.size_of(tmp_path) < 200_000
