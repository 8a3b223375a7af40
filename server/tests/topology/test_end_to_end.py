"""The main paths, end to end over HTTP, the same in every topology."""

from __future__ import annotations

import json
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.topology.conftest import Topology

pytestmark = pytest.mark.timeout(240)
ROOT = Path(__file__).parents[3]


def created(api: httpx2.Client, **draft: Any) -> dict[str, Any]:
    """A new memory that search already knows."""
    answer = api.post("/v1/memories", json=draft, params={"wait": "indexed"})
    assert answer.status_code == 201, answer.text
    if not answer.headers["devlore-indexed"].startswith("true"):
        found(api, "settle")  # on a busy machine it takes longer than a request waits
    return dict(answer.json())


def found(api: httpx2.Client, q: str, **parameters: Any) -> list[str]:
    """The ids a search finds, after everything written so far is searchable."""
    deadline = time.monotonic() + 60
    while True:
        answer = api.get("/v1/search", params={"q": q, "wait": "indexed", "limit": 50} | parameters)
        assert answer.status_code == 200, answer.text
        if answer.headers["devlore-indexed"] == "true":
            return [hit["memory"]["id"] for hit in answer.json()["items"]]
        assert time.monotonic() < deadline, answer.headers["devlore-indexed"]


def test_a_memory_is_written_found_changed_and_gone(api: httpx2.Client) -> None:
    memory = created(api, title="Why the heron pool runs dry", body="A leak of prepared statements.", kind="bug-fix")
    assert memory["id"] in found(api, "heron pool kind:bug-fix")
    read = api.get(f"/v1/memories/{memory['id']}")
    assert read.headers["etag"] == '"1"'

    stale = api.patch(f"/v1/memories/{memory['id']}", json={"body": "x"}, headers={"If-Match": '"7"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "version-mismatch")
    edited = api.patch(
        f"/v1/memories/{memory['id']}",
        json={"body": "It was the flamingo cache."},
        headers={"If-Match": read.headers["etag"]},
        params={"wait": "indexed"},
    )
    assert (edited.status_code, edited.json()["version"]) == (200, 2)
    assert memory["id"] in found(api, "flamingo")
    assert memory["id"] not in found(api, '"prepared statements"')

    gone = api.delete(f"/v1/memories/{memory['id']}", params={"wait": "indexed"})
    assert gone.status_code == 204
    assert memory["id"] not in found(api, "flamingo")
    assert api.get(f"/v1/memories/{memory['id']}").status_code == 404


def test_a_memory_is_found_by_its_meaning(api: httpx2.Client) -> None:
    memory = created(api, title="Rollback procedure", body="How to revert a bad deployment of the billing service.")
    created(api, title="Lunch", body="The canteen serves soup on Mondays.")
    answer = api.get("/v1/search", params={"q": "undo a failed release", "explain": "true"}).json()
    assert answer["degraded"] == []
    assert answer["items"][0]["memory"]["id"] == memory["id"]
    assert {leg["leg"] for leg in answer["items"][0]["explanation"]["legs"]} >= {"vector"}


def test_near_duplicates_are_linked_and_both_kept(api: httpx2.Client) -> None:
    text = "The nightly export job fails when the disk of the archive host is full, so we check free space first."
    first = created(api, title="Nightly export and disk space", body=text)
    second = created(api, title="Nightly export and disk space", body=text + " Always.")
    deadline = time.monotonic() + 60
    links: list[dict[str, Any]] = []
    while not links and time.monotonic() < deadline:
        listed = api.get(f"/v1/memories/{second['id']}/links").json()["items"]
        links = [link for link in listed if link["type"] == "near_duplicate"]
        time.sleep(0.1)
    assert {first["id"], second["id"]} & {links[0]["target"], links[0]["memory_id"]}
    assert links[0]["score"] > 0.9
    assert api.get(f"/v1/memories/{first['id']}").json()["status"] == "active"


def test_what_was_superseded_is_found_only_when_asked_for(api: httpx2.Client) -> None:
    old = created(api, title="Use pelican for queues", kind="decision")
    new = created(api, title="Use cormorant for queues instead of pelican", kind="decision")
    answer = api.post(f"/v1/memories/{old['id']}/supersede", json={"by": new["id"], "reason": "throughput"})
    assert (answer.status_code, answer.json()["superseded_by"]) == (200, new["id"])
    assert found(api, '"pelican"') == [new["id"]]
    assert set(found(api, '"pelican" status:any')) == {old["id"], new["id"]}


def test_history_and_diff(api: httpx2.Client) -> None:
    memory = created(api, title="Osprey", body="one\ntwo\n")
    api.patch(f"/v1/memories/{memory['id']}", json={"body": "one\nthree\n"}, headers={"If-Match": '"1"'})
    versions = api.get(f"/v1/memories/{memory['id']}/versions").json()["items"]
    assert [v["version"] for v in versions] == [2, 1]
    diff = api.get(f"/v1/memories/{memory['id']}/diff").json()
    assert "-two" in diff["body"]
    assert "+three" in diff["body"]


def test_a_git_history_is_remembered_and_kept_up(api: httpx2.Client, tmp_path: Path) -> None:
    repository = tmp_path / "aviary"
    commit(repository, "Add the kestrel scheduler", "scheduler.py")
    commit(repository, "Fix the merlin race\n\nFixes #12", "race.py")
    connection = api.post("/v1/connections", json={"connector": "git", "config": {"path": str(repository)}})
    assert connection.status_code == 201, connection.text
    first = synced(api, connection.json()["id"])
    assert (first["created"], first["failed"]) == (2, 0)
    assert len(found(api, "merlin race")) >= 1
    hits = api.get("/v1/search", params={"q": "merlin race"}).json()["items"]
    assert (hits[0]["memory"]["kind"], hits[0]["memory"]["source"]["connector"]) == ("change", "git")

    commit(repository, "Teach the kestrel to sleep", "scheduler.py")
    again = synced(api, connection.json()["id"])
    assert (again["created"], again["updated"]) == (1, 0)
    assert len(found(api, '"kestrel"')) == 2


def synced(api: httpx2.Client, connection: str) -> dict[str, Any]:
    started = api.post(f"/v1/connections/{connection}/sync", json={})
    assert started.status_code == 202, started.text
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        sync = dict(api.get(f"/v1/syncs/{started.json()['id']}").json())
        if sync["state"] not in ("queued", "running"):
            assert sync["state"] == "done", sync
            return sync
        time.sleep(0.05)
    raise AssertionError("the sync did not end")


def commit(repository: Path, message: str, file: str) -> None:
    if not repository.exists():
        subprocess.run(["git", "init", "--quiet", "--initial-branch=main", repository], check=True)
    (repository / file).write_text(message)
    me = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", repository, "add", "."], check=True)
    subprocess.run(["git", "-C", repository, *me, "commit", "--quiet", "-m", message], check=True)


def test_an_export_is_imported_with_nothing_lost(api: httpx2.Client) -> None:
    memory = created(api, title="Avocet", body="wades", tags=["bird"], project="aviary")
    api.patch(f"/v1/memories/{memory['id']}", json={"body": "wades slowly"}, headers={"If-Match": '"1"'})
    with api.stream("GET", "/v1/memories/export") as answer:
        records = [json.loads(line) for line in answer.iter_lines() if line]
    record = next(r for r in records if r["memory"]["id"] == memory["id"])
    assert [v["version"] for v in record["versions"]]

    assert api.delete(f"/v1/memories/{memory['id']}", params={"purge": "true"}).status_code == 204
    assert found(api, '"avocet"') == []
    imported = api.post("/v1/memories/import", json={"items": [record]}, params={"wait": "indexed"})
    assert imported.json()["created"] == 1, imported.text
    # Only the version goes on from where the erased one ended, or readers of the log would take it for older.
    again = api.get(f"/v1/memories/{memory['id']}").json()
    assert again == record["memory"] | {"version": again["version"]}
    assert found(api, '"avocet"') == [memory["id"]]


def test_a_full_bulk_is_stored_and_searchable(api: httpx2.Client) -> None:
    drafts = [{"title": f"Starling {n}", "project": "murmuration"} for n in range(300)]
    answer = api.post("/v1/memories/bulk", json={"items": [*drafts, {"title": 7}]})
    assert answer.status_code == 200
    assert (answer.json()["created"], answer.json()["refused"]) == (300, 1)
    assert answer.json()["items"][300]["problem"]["errors"][0]["pointer"].endswith("/title")
    assert len(found(api, "starling 299 project:murmuration")) == 50
    assert {c["value"]: c["count"] for c in api.get("/v1/projects").json()["items"]}["murmuration"] == 300


def test_the_same_request_sent_twice_is_carried_out_once(api: httpx2.Client) -> None:
    headers = {"Idempotency-Key": "topology-1"}
    draft = {"title": "Wagtail"}
    first, second = (api.post("/v1/memories", json=draft, headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (201, 201)
    assert first.json() == second.json()


def test_bad_input_is_a_problem_that_says_where(api: httpx2.Client) -> None:
    answer = api.post("/v1/memories", json={"title": "x" * 501, "nonsense": 1})
    assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
    assert {e["pointer"] for e in answer.json()["errors"]} == {"/title", "/nonsense"}
    query = api.get("/v1/search", params={"q": 'kind:"unclosed'})
    assert (query.status_code, query.json()["code"]) == (422, "invalid-query")
    missing = api.get("/v1/memories/00000000-0000-7000-8000-000000000000")
    assert (missing.status_code, missing.json()["code"]) == (404, "not-found")


def test_internal_paths_are_nobodys(api: httpx2.Client, topology: Topology) -> None:
    for path in ("/internal/memories/count", "/internal/search/wait", "/v1/../internal/memories/count"):
        assert api.post(path, json={}).status_code == 404
    for service in topology.services.values():
        for path in ("/v1/memories", "/v1/search", "/v1/connections", "/internal/memories/count"):
            for headers in ({"Devlore-Principal": "e30.e30"}, {}):
                answer = httpx2.post(service.url + path, json={}, headers=headers, timeout=30)
                assert answer.status_code in (401, 404)


def test_the_search_check_is_clean_and_everybody_is_ready(api: httpx2.Client, topology: Topology) -> None:
    found(api, "settle")
    check = api.get("/v1/search/check").json()
    assert check["clean"], check
    for process in topology.processes:
        process.wait_until_ready()
        assert "devlore_" in httpx2.get(process.url + "/metrics", timeout=30).text


def test_the_api_describes_itself_the_same_way(api: httpx2.Client) -> None:
    assert api.get("/openapi.json").json() == json.loads((ROOT / "docs/api/openapi.json").read_text())
