"""A real server, killed with -9 in the middle of a sync: it goes on by itself, loses nothing and repeats nothing."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from psycopg import sql

from devlore_server.kit.embedded import EmbeddedPostgres
from tests.instance import Instance
from tests.integration.repositories import Repo

COMMITS = 2_000
HELD_UP = 1_200
"""The commit at which the first server waits for a lock until it is killed, however slowly it is looked on."""


@pytest.fixture
def instance() -> Iterator[Instance]:
    # Not pytest's own folder: its path is longer than a Unix socket's may be.
    with tempfile.TemporaryDirectory(prefix="devlore-sync-", ignore_cleanup_errors=True) as folder:
        made = Instance(Path(folder))
        try:
            yield made
        finally:
            made.sweep()


def history(folder: Path, commits: int) -> Repo:
    repo = Repo(folder)
    script = "".join(
        f"commit refs/heads/main\ncommitter Ada <a@x> {1_600_000_000 + n} +0000\ndata 12\ncommit {n:05}\n"
        f"M 100644 inline f{n % 50}\ndata 5\n{n:05}\n"
        for n in range(commits)
    )
    repo.git("fast-import", "--quiet", given=script.encode())
    return repo


def sync_at(url: str, path: str) -> dict[str, Any]:
    for _ in range(100):
        try:
            answer: dict[str, Any] = httpx2.get(url + path, timeout=10, trust_env=False).raise_for_status().json()
            return answer
        except (httpx2.TransportError, httpx2.HTTPStatusError):
            time.sleep(0.05)
    raise AssertionError(f"{path} was not answered")


def follow(url: str, path: str, *, until: int | None = None, patience: float = 120) -> dict[str, Any]:
    """The sync once it has dealt with ``until`` items, or ended."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        sync = sync_at(url, path)
        if sync["state"] not in ("queued", "running") or (until is not None and sync["done"] >= until):
            return sync
        time.sleep(0.03)
    raise AssertionError(f"not there after {patience} s: {sync}")


@contextmanager
def holding_up(home: Path, item: str) -> Iterator[None]:
    """Whoever stores this item waits meanwhile."""
    with psycopg.connect(EmbeddedPostgres(home).start(), autocommit=True) as connection:
        connection.execute("SELECT pg_advisory_lock(1)")
        connection.execute(
            "CREATE FUNCTION public.hold_up() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_advisory_xact_lock(1); RETURN NEW; END'"
        )
        connection.execute(
            sql.SQL(
                "CREATE TRIGGER hold_up BEFORE INSERT ON integration.item FOR EACH ROW WHEN (NEW.external_id = {})"
                " EXECUTE FUNCTION public.hold_up()"
            ).format(item)
        )
        yield
        connection.execute("SELECT pg_advisory_unlock(1)")
        connection.execute("DROP FUNCTION public.hold_up CASCADE")


def versions(url: str) -> dict[str, int]:
    """Every commit that is stored, by its message, with its version."""
    found: dict[str, int] = {}
    cursor: str | None = None
    with httpx2.Client(base_url=url, timeout=30, trust_env=False) as client:
        while True:
            page = client.get("/v1/memories", params={"limit": 200} | ({"cursor": cursor} if cursor else {})).json()
            for memory in page["items"]:
                assert memory["title"] not in found, "stored twice"
                found[memory["title"]] = memory["version"]
            cursor = page["next"]
            if cursor is None:
                return found


@pytest.mark.timeout(300)
def test_a_sync_goes_on_by_itself_after_the_server_and_its_database_were_killed(
    instance: Instance, tmp_path: Path
) -> None:
    repo = history(tmp_path / "long", COMMITS)
    instance.start()
    draft = {"connector": "git", "config": {"path": str(repo.folder)}}
    with httpx2.Client(base_url=instance.url, timeout=30, trust_env=False) as client:
        connection = client.post("/v1/connections", json=draft).json()["id"]
    with holding_up(instance.home, repo.git("rev-parse", f"main~{COMMITS - HELD_UP}")):
        path = httpx2.post(f"{instance.url}/v1/connections/{connection}/sync", timeout=30).headers["location"]
        before = follow(instance.url, path, until=500)
        instance.kill_server()
    instance.start()
    follow(instance.url, path, until=before["done"] + 500)
    instance.kill_postgres()
    instance.kill_server()
    instance.start()
    done = follow(instance.url, path)
    assert (done["state"], done["failed"], done["error"]) == ("done", 0, None)
    assert before["done"] < COMMITS, "it was killed on its way"
    stored = versions(instance.url)
    assert stored == {f"commit {n:05}": 1 for n in range(COMMITS)}
    with httpx2.Client(base_url=instance.url, timeout=30, trust_env=False) as client:
        shown = client.get(f"/v1/connections/{connection}").json()
        assert shown["checkpoint"] == {"tips": [repo.git("rev-parse", "HEAD")], "complete": True}
        again = client.post(f"/v1/connections/{connection}/sync").json()
    after = follow(instance.url, f"/v1/syncs/{again['id']}")
    assert (after["created"], after["updated"], after["deleted"]) == (0, 0, 0)
    assert instance.stop() == 0, instance.log_tail()
