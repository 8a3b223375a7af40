"""`devlore sync` as seen by the server, and when it is interrupted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cli.tests.terminal import Terminal
from sdk.python.tests import samples
from sdk.python.tests.scripted import Reply, Scripted

SYNC = "01936f00-0000-7000-8000-0000000000aa"


def connection(path: Path, **changes: Any) -> dict[str, Any]:
    plain = {
        "id": samples.ID,
        "connector": "git",
        "name": "app",
        "project": "app",
        "config": {"path": str(path), "merges": False},
        "watch": False,
        "created_at": samples.MOMENT,
        "last_synced_at": None,
        "checkpoint": None,
    }
    return plain | changes


def run(state: str, **changes: Any) -> dict[str, Any]:
    counts = dict.fromkeys(["done", "created", "updated", "unchanged", "deleted", "failed"], 0)
    plain = {"id": SYNC, "connection_id": samples.ID, "state": state, "total": None, "failures": [], "error": None}
    return plain | counts | {"started_at": samples.MOMENT, "finished_at": None} | changes


def told(scripted: Scripted) -> list[tuple[str, str]]:
    return [(seen.method, seen.path) for seen in scripted.seen]


def test_a_new_folder_is_connected_and_followed(scripted: Scripted, devlore: Terminal, tmp_path: Path) -> None:
    scripted.play(
        Reply(body=samples.page()),
        Reply(201, connection(tmp_path)),
        Reply(202, run("queued")),
        Reply(body=run("running", total=10, done=4)),
        Reply(body=run("done", total=10, done=10, created=9, unchanged=1)),
    )
    shown = devlore("sync", "git", str(tmp_path), "--since", "2026-01-01T00:00:00Z", "--merges", "--watch")
    assert shown.out.startswith("done: 9 new, 1 unchanged in ")
    made = scripted.seen[1].json
    assert made["config"] == {"path": str(tmp_path), "since": "2026-01-01T00:00:00+00:00", "merges": True}
    assert (made["connector"], made["watch"]) == ("git", True)
    assert told(scripted)[-1] == ("GET", f"/v1/syncs/{SYNC}")


def test_a_known_folder_is_not_connected_again(scripted: Scripted, devlore: Terminal, tmp_path: Path) -> None:
    scripted.play(
        Reply(body=samples.page(connection(tmp_path / "other"), connection(tmp_path))),
        Reply(202, run("done", unchanged=3)),
    )
    assert devlore("sync", "git", str(tmp_path), "--full", "--json").json["unchanged"] == 3
    assert told(scripted) == [("GET", "/v1/connections"), ("POST", f"/v1/connections/{samples.ID}/sync")]
    assert scripted.seen[1].json == {"full": True}


def test_other_options_change_the_connection(scripted: Scripted, devlore: Terminal, tmp_path: Path) -> None:
    scripted.play(
        Reply(body=samples.page(connection(tmp_path))),
        Reply(body=connection(tmp_path, watch=True)),
        Reply(202, run("done")),
    )
    shown = devlore("sync", "git", str(tmp_path), "--merges", "--watch")
    assert scripted.seen[1].method == "PATCH"
    assert scripted.seen[1].json == {"config": {"path": str(tmp_path), "merges": True}, "watch": True}
    assert "nothing new" in shown.out
    assert "Watching" in shown.err


def test_items_that_could_not_be_read_are_named(scripted: Scripted, devlore: Terminal, tmp_path: Path) -> None:
    failures = [{"item": f"f{n}.md", "reason": "not UTF-8"} for n in range(12)]
    scripted.play(
        Reply(body=samples.page(connection(tmp_path, connector="markdown"))),
        Reply(202, run("done", created=2, failed=12, failures=failures)),
    )
    shown = devlore("sync", "markdown", str(tmp_path), code=1)
    assert "f0.md: not UTF-8" in shown.err
    assert "and 2 more" in shown.err
    assert "12 items could not be read; the rest was." in shown.err


def test_a_sync_that_failed_says_why(scripted: Scripted, devlore: Terminal, tmp_path: Path) -> None:
    scripted.play(
        Reply(body=samples.page(connection(tmp_path))), Reply(202, run("failed", error="It is no repository."))
    )
    assert "It is no repository." in devlore("sync", "git", str(tmp_path), code=1).err


def test_a_folder_that_is_not_there_is_a_usage_error(devlore: Terminal, tmp_path: Path) -> None:
    assert "does not exist" in devlore("sync", "git", str(tmp_path / "none"), code=2).err


def test_ctrl_c_stops_the_sync_in_the_server(
    scripted: Scripted, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = iter((Reply(body=samples.page(connection(tmp_path))), Reply(202, run("queued"))))

    def next_reply() -> Reply:
        asked = scripted.seen[-1].method
        return Reply(204) if asked == "DELETE" else next(begun, Reply(body=run("running", done=1)))

    monkeypatch.setattr(scripted, "next_reply", next_reply)
    command = [sys.executable, "-m", "devlore_cli", "sync", "git", str(tmp_path)]
    environment = os.environ | {"DEVLORE_URL": scripted.url}
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    scripted.await_requests(4)
    process.send_signal(signal.SIGINT)
    _, shown = process.communicate(timeout=10)
    assert process.returncode == 130
    assert ("DELETE", f"/v1/syncs/{SYNC}") in told(scripted)
    assert "the next sync goes on from there" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize(("answer", "code", "cancelled"), [("l", 130, False), ("s", 130, True), ("g", 0, False)])
def test_on_a_terminal_ctrl_c_asks(scripted: Scripted, tmp_path: Path, answer: str, code: int, cancelled: bool) -> None:
    scripted.play(
        Reply(body=samples.page(connection(tmp_path))), Reply(202, run("queued")), Reply(body=run("running", done=1))
    )
    outer, inner = os.openpty()
    environment = os.environ | {"DEVLORE_URL": scripted.url}
    command = [sys.executable, "-m", "devlore_cli", "sync", "git", str(tmp_path)]
    process = subprocess.Popen(command, env=environment, stdin=inner, stdout=inner, stderr=inner)
    os.close(inner)
    shown = ""
    scripted.await_requests(4)
    process.send_signal(signal.SIGINT)
    while "watching" not in shown:
        shown += os.read(outer, 4096).decode(errors="replace")
    scripted.play(Reply(204) if cancelled else Reply(body=run("done", done=1, created=1)))
    os.write(outer, f"{answer}\n".encode())
    assert process.wait(10) == code
    os.close(outer)
    assert ("━" in shown) or ("git" in shown)
    assert (("DELETE", f"/v1/syncs/{SYNC}") in told(scripted)) is cancelled


def test_what_is_synced_can_be_listed_and_forgotten(scripted: Scripted, devlore: Terminal, tmp_path: Path) -> None:
    scripted.play(Reply(body=samples.page(connection(tmp_path, watch=True, last_synced_at=samples.MOMENT))))
    shown = devlore("sync", "list").out
    assert "git  app watched" in shown
    assert str(tmp_path) in shown
    scripted.play(Reply(204))
    assert devlore("sync", "forget", samples.ID, "--json").json == {"id": samples.ID, "result": "forgotten"}


@pytest.mark.parametrize("path", ["list", "forget", "git", "markdown"])
def test_every_part_has_a_help_page(devlore: Terminal, path: str) -> None:
    assert "--json" in devlore("sync", path, "--help").out
