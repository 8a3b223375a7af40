"""The restore drill: an instance is backed up while it is written to, lost, and made anew in another place."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, LiteralString

import httpx2
import psycopg
import pytest
from psycopg import conninfo, sql

from devlore_server.kit.clock import utc_now
from devlore_server.kit.embedded import EmbeddedPostgres
from devlore_server.kit.ids import new_id
from devlore_server.kit.migrate import dump_schema
from tests.instance import Instance
from tests.people import Person, command, first_owner

pytestmark = pytest.mark.timeout(300)
MEMORIES: LiteralString = "SELECT id, version FROM memory.memory WHERE deleted_at IS NULL ORDER BY 1"
VECTORS: LiteralString = "SELECT memory_id, version FROM search.document WHERE live ORDER BY 1"
QUERIES = ("heron", "undo a failed release", "tag:kept why", '"prepared statements"', "kind:decision")


@dataclass
class Known:
    """What is known of the instance before it is lost."""

    people: dict[str, Person]
    memories: list[dict[str, Any]]
    key: str
    answers: dict[str, Any] = field(default_factory=dict)


class Noise(threading.Thread):
    """Somebody who goes on writing; `written` are the acknowledged ids, oldest first."""

    def __init__(self, person: Person) -> None:
        super().__init__()
        self._api = httpx2.Client(base_url=person.url, headers=person.headers, timeout=30, trust_env=False)
        self._enough = threading.Event()
        self.written: list[str] = []

    def run(self) -> None:
        while not self._enough.is_set():
            answer = self._api.post("/v1/memories", json={"title": f"Noise {len(self.written)}", "privacy": "public"})
            assert answer.status_code == 201, answer.text
            self.written.append(answer.json()["id"])

    def stop(self) -> None:
        self._enough.set()
        self.join()


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="dvl-drill-"))
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def database(postgres: str) -> Iterator[str]:
    """A database of this test's own on the shared server, not migrated."""
    name = sql.Identifier(f"drill_{new_id().hex}")
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(name))
    yield conninfo.make_conninfo(postgres, dbname=name.as_string(None).strip('"'))
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))


def started(home: Path, like: Instance | None = None, **settings: str) -> Instance:
    home.mkdir(exist_ok=True)
    instance = Instance(home, tier="team", rate_limit="100000", search_deadline_ms="30000", **settings)
    if like is not None:
        instance.port, instance.url = like.port, like.url
    instance.settings["public_url"] = instance.url
    instance.start()
    return instance


def filled(instance: Instance) -> Known:
    """People in a team and outside of it, memories of every kind of audience, links, versions, a key."""
    owner = Person.signing_up(instance.url, first_owner(instance.settings | {"home": str(instance.home)}), "Olga")
    mate, colleague = owner.invite(), owner.invite(name="Cy")
    team = owner.team_of(mate, owner)
    memories = [
        mate.remember("Heron pool runs dry", "private", body="A leak of prepared statements.", tags=["kept"]),
        mate.remember("Why the heron is grey", "team", team_id=team, kind="decision", tags=["kept"]),
        mate.remember("Rollback procedure", "public", body="Revert a bad deployment.", tags=["kept"]),
        owner.remember("Heron of the owner", "private", kind="decision", tags=["kept"]),
    ]
    link = {"target_kind": "memory", "target": memories[2]["id"]}
    assert mate.post(f"/v1/memories/{memories[0]['id']}/links", json=link).status_code in (200, 201)
    edit = mate.patch(
        f"/v1/memories/{memories[2]['id']}",
        json={"body": "Revert a bad deployment, twice."},
        headers={"If-Match": '"1"'},
        params={"wait": "indexed"},
    )
    assert edit.status_code == 200, edit.text
    made = mate.post("/v1/keys", json={"name": "ci", "scopes": ["memories:read", "search:read"]})
    assert made.status_code == 201, made.text
    return Known({"owner": owner, "mate": mate, "colleague": colleague}, memories, made.json()["key"])


def answers(known: Known) -> dict[str, Any]:
    """Everything each person finds and reads of what was there before the noise."""
    kept = {memory["id"] for memory in known.memories}
    said: dict[str, Any] = {}
    for name, person in known.people.items():
        for query in QUERIES:
            found = person.get("/v1/search", params={"q": f"tag:kept {query}", "wait": "indexed"}).json()
            assert found["degraded"] == []
            said[f"{name} finds {query}"] = [hit["memory"]["id"] for hit in found["items"]]
        for memory in known.memories:
            read = person.get(f"/v1/memories/{memory['id']}")
            said[f"{name} reads {memory['id']}"] = (
                read.status_code,
                read.json().get("body"),
                read.json().get("version"),
            )
            history = person.get(f"/v1/memories/{memory['id']}/versions").json()
            said[f"{name} knows {memory['id']}"] = len(history.get("items", []))
        listed = person.get("/v1/memories", params={"tag": "kept"}).json()["items"]
        said[f"{name} lists"] = [memory["id"] for memory in listed]
        linked = person.get(f"/v1/memories/{known.memories[0]['id']}/links").json().get("items", [])
        said[f"{name} follows"] = [one["target"] for one in linked if one["target_kind"] == "memory"]
        assert any(kept.intersection(said[f"{name} finds {query}"]) for query in QUERIES)
    return said


def trail(owner: Person, before: datetime) -> dict[str, str]:
    """The hashes, by id, of the newest leaves before a moment."""
    asked = {"limit": 100, "before": before.isoformat()}
    return {leaf["id"]: leaf["hash"] for leaf in owner.get("/v1/audit", params=asked).json()["items"]}


def superuser(home: Path) -> str:
    return EmbeddedPostgres(home).start()


def rows(url: str, query: LiteralString) -> list[tuple[Any, ...]]:
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchall()


async def test_an_instance_that_was_lost_is_as_it_was(folder: Path, database: str) -> None:
    lost = started(folder / "first", database_url=database)
    try:
        known = filled(lost)
        before, at, schema = answers(known), utc_now(), await dump_schema(database)
        leaves = trail(known.people["owner"], at)
        noise = Noise(known.people["mate"])
        noise.start()
        while len(noise.written) < 5:
            threading.Event().wait(0.01)
        early = list(noise.written)
        path = command("backup", str(folder), **lost.settings | {"home": str(lost.home)}).strip()
        late = len(noise.written)
        while len(noise.written) < late + 5:
            threading.Event().wait(0.01)
        noise.stop()
        lost.stop()
    finally:
        lost.sweep()
    shutil.rmtree(lost.home)

    home = folder / "second"
    assert path in command("restore", str(folder), home=str(home))
    again = started(home, like=lost)
    try:
        assert await dump_schema(superuser(home)) == schema, "owners, rights and policies are the same"
        assert answers(known) == before
        owner, mate = known.people["owner"], known.people["mate"]
        assert trail(owner, at) == leaves != {}
        there = {one for one in noise.written if mate.get(f"/v1/memories/{one}").status_code == 200}
        assert set(early) <= there
        assert there.isdisjoint(noise.written[late + 1 :]), "what came after it is not in it"
        signs_in_as_before(known)
        goes_on(known)
        assert rows(superuser(home), VECTORS) == rows(superuser(home), MEMORIES) != []
        assert again.stop() == 0
    finally:
        again.sweep()


def signs_in_as_before(known: Known) -> None:
    """By password, refresh token and key; the access tokens of before have been used all along."""
    mate = known.people["mate"]
    assert mate.again().get("/v1/identity").json()["person"]["id"] == mate.id
    answer = httpx2.post(f"{mate.url}/v1/sessions/refresh", json={"refresh_token": mate.tokens["refresh_token"]})
    assert answer.status_code in (200, 201), answer.text
    with_key = {"Authorization": f"Bearer {known.key}"}
    found = httpx2.get(f"{mate.url}/v1/search", params={"q": "heron"}, headers=with_key).json()
    assert known.memories[0]["id"] in [hit["memory"]["id"] for hit in found["items"]]
    wrong = {"Authorization": f"Bearer {known.key[:-8]}abcdefgh"}
    assert httpx2.get(f"{mate.url}/v1/search", params={"q": "heron"}, headers=wrong).status_code == 401


def goes_on(known: Known) -> None:
    """New memories are written, and found by whom they are for."""
    fresh = known.people["mate"].remember("Written after the restore", "private")
    assert known.people["mate"].sees(fresh) == {"get": True, "list": True, "search": True}
    assert known.people["owner"].sees(fresh) == {"get": False, "list": False, "search": False}
