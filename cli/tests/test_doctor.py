"""`devlore doctor`, `devlore status` and `devlore rebuild` when things are not well."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cli.tests.terminal import Terminal
from sdk.python.tests import samples
from sdk.python.tests.scripted import Reply, Scripted

INSTANCE = {"version": "0.1.0", "tier": "individual", "roles": ["gateway"]}
READY = {"status": "ready", "degraded": [], "resources": [{"name": "postgres", "up": True, "critical": True}]}
CLEAN = {"clean": True, "memories": 3, "indexes": [], "problems": []}


def index(**changes: Any) -> dict[str, Any]:
    plain = {"name": "search.lexical", "state": "ready", "documents": 3, "lag": 0, "parked": 0}
    return plain | {"rate": None, "eta_seconds": None, "model": None, "detail": None} | changes


def searching(*indexes: dict[str, Any], rebuild: dict[str, Any] | None = None) -> dict[str, Any]:
    return {"indexes": list(indexes) or [index()], "embedder": "minilm", "rebuild": rebuild}


def well(scripted: Scripted, **changes: Any) -> None:
    answers = {"instance": INSTANCE, "ready": READY, "check": CLEAN, "search": searching()} | changes
    scripted.play(*(Reply(body=answer) for answer in answers.values()), Reply(body=samples.page()))


def test_all_is_well(scripted: Scripted, devlore: Terminal) -> None:
    well(scripted)
    shown = devlore("doctor")
    assert "All is well." in shown.err
    assert "✗" not in shown.out


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"search": searching(index(parked=4))}, "4 events could not be applied"),
        ({"search": searching(index(state="unavailable", detail="another model"))}, "another model"),
        ({"instance": INSTANCE | {"version": "9.0.0"}}, "version 9.0.0"),
    ],
)
def test_trouble_is_found_with_advice(
    scripted: Scripted, devlore: Terminal, changes: dict[str, Any], words: str
) -> None:
    well(scripted, **changes)
    shown = devlore("doctor", code=1)
    assert words in shown.out
    assert "✗" in shown.out
    assert "found trouble." in shown.err


def test_parked_events_are_named_with_what_mends_them(scripted: Scripted, devlore: Terminal) -> None:
    aside = {"clean": False, "memories": 3, "indexes": [{"name": "search.lexical", "clean": True}]}
    parked = searching(index(parked=4))
    answers = [INSTANCE, READY, aside | {"problems": ["4 events are set aside."]}, parked, parked, samples.page()]
    scripted.play(*(Reply(body=answer) for answer in answers))
    shown = devlore("doctor", code=1).out
    assert "✗ search.lexical: 4 events could not be applied" in shown
    assert shown.count("tried again at every start: devlore down, then devlore up") == 2
    assert "rebuild" not in shown, "which would leave them set aside"


BEHIND = {
    "clean": False,
    "memories": 3,
    "indexes": [{"name": "search.lexical", "clean": False}],
    "problems": ["2 missing"],
}


def test_an_index_that_differs_is_trouble(scripted: Scripted, devlore: Terminal) -> None:
    answers = [INSTANCE, READY, BEHIND, searching(), BEHIND, searching(), searching(), samples.page()]
    scripted.play(*(Reply(body=answer) for answer in answers))
    shown = devlore("doctor", code=1).out
    assert "✗ indexes: 2 missing" in shown
    assert "devlore rebuild search" in shown


def test_an_index_that_caught_up_while_it_was_looked_at_is_no_trouble(scripted: Scripted, devlore: Terminal) -> None:
    answers = [INSTANCE, READY, BEHIND, searching(), CLEAN, searching(), samples.page()]
    scripted.play(*(Reply(body=answer) for answer in answers))
    assert "✓ indexes: 3 memories, every index agrees" in devlore("doctor").out


def test_the_last_to_catch_up_is_no_trouble_either(scripted: Scripted, devlore: Terminal) -> None:
    both = [{"name": name, "clean": False} for name in ("search.lexical", "search.vector")]
    later = searching(index(), index(name="search.vector", lag=2))
    answers = [INSTANCE, READY, BEHIND | {"indexes": both}, later, BEHIND | {"indexes": both[1:]}, searching()]
    scripted.play(*(Reply(body=answer) for answer in [*answers, searching(), samples.page()]))
    assert "search.vector is 2 events behind and still catching up" in devlore("doctor").out


def test_what_only_the_operator_of_a_team_can_mend_is_said_so(scripted: Scripted, devlore: Terminal) -> None:
    down = READY | {"resources": [{"name": "redis", "up": False, "critical": False}]}
    broken = searching(index(parked=4), index(name="search.vector", state="unavailable"))
    forbidden = Reply(403, {"code": "not-allowed", "title": "No.", "status": 403, "scope": "search:admin"})
    team = Reply(body=INSTANCE | {"tier": "team"})
    scripted.play(team, Reply(body=down), forbidden, Reply(body=broken), Reply(body=samples.page()))
    shown = devlore("doctor", code=1).out
    assert "✓ indexes: not looked at: that is for whoever runs the server" in shown
    assert "Whoever runs the server builds them anew: devlore-server rebuild search" in shown
    assert shown.count("hoever runs the server") == 4
    assert "devlore up" not in shown
    assert "devlore rebuild" not in shown


def test_rebuilding_is_not_for_members_of_a_team(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(403, {"code": "not-allowed", "title": "No.", "status": 403, "scope": "search:admin"}))
    said = devlore("rebuild", "search", code=4).err
    assert "devlore-server rebuild search" in said
    assert "org members" not in said, "nobody there can give it"


def test_an_index_that_is_being_built_is_no_trouble(scripted: Scripted, devlore: Terminal) -> None:
    busy = searching(index(lag=755, state="catching-up"))
    answers = [INSTANCE, READY, BEHIND, busy, busy, samples.page()]
    scripted.play(*(Reply(body=answer) for answer in answers))
    assert "search.lexical is 755 events behind and still catching up" in devlore("doctor").out


def test_findings_as_json(scripted: Scripted, devlore: Terminal) -> None:
    well(scripted)
    found = devlore("doctor", "--json").lines
    assert {"check": "indexes", "well": True, "detail": "3 memories, every index agrees", "advice": None} in found


def test_a_server_that_does_not_run_is_the_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = Terminal(monkeypatch, "http://127.0.0.1:9")("doctor", code=1)
    assert "Start it: devlore up" in shown.out


def test_another_program_is_the_finding(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(body=b"<html>"))
    assert "another program" in devlore("doctor", code=1).out


def test_an_open_home_and_a_killed_server_are_found(scripted: Scripted, devlore: Terminal, home: Path) -> None:
    home.mkdir(mode=0o755)
    (home / "server.json").write_text('{"pid": 1, "url": "x"}')
    well(scripted)
    shown = devlore("doctor", code=1).out
    assert f"chmod 700 {home}" in shown
    assert "killed" in shown


def test_a_failed_sync_is_found(scripted: Scripted, devlore: Terminal) -> None:
    connection = {"id": samples.ID, "connector": "git", "name": "app", "project": None, "config": {"path": "/x"}}
    connection |= {"watch": False, "created_at": samples.MOMENT, "last_synced_at": None, "checkpoint": None}
    counts = dict.fromkeys(["done", "created", "updated", "unchanged", "deleted", "failed"], 0)
    run = counts | {"id": samples.OTHER, "connection_id": samples.ID, "state": "failed", "total": None, "failures": []}
    run |= {"error": "It is gone.", "started_at": None, "finished_at": None}
    answers = [INSTANCE, READY, CLEAN, searching(), samples.page(connection), samples.page(run)]
    scripted.play(*(Reply(body=answer) for answer in answers))
    shown = devlore("doctor", code=1).out
    assert "It is gone." in shown
    assert "devlore sync git /x" in shown


def test_status_shows_every_index(scripted: Scripted, devlore: Terminal) -> None:
    busy = index(name="search.vector", state="catching-up", lag=500, rate=50.0, eta_seconds=10.0, model="minilm")
    counted = samples.hits() | {"facets": {"kind": [{"value": "note", "count": 2}, {"value": "change", "count": 40}]}}
    rebuild = {"state": "running", "done": 5, "total": 10}
    scripted.play(
        Reply(body=INSTANCE),
        Reply(body=counted),
        Reply(body=searching(index(), busy, rebuild=rebuild)),
        Reply(body=samples.page()),
    )
    shown = devlore("status").out
    assert "memories  42" in shown
    assert "catching-up · 3 documents · 500 behind · 50/s · 10 s left · minilm" in shown
    assert "5 of 10" in shown


def test_rebuild_can_be_followed(scripted: Scripted, devlore: Terminal) -> None:
    running = searching(rebuild={"state": "running", "done": 1, "total": 3})
    scripted.play(Reply(202, running), Reply(body=running), Reply(body=searching()))
    assert "Rebuilt with the embedder minilm" in devlore("rebuild", "search", "--embedder", "bundled", "--wait").out
    assert scripted.seen[0].json == {"embedder": "bundled"}


def test_a_rebuild_that_failed_says_why(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(202, searching(rebuild={"state": "failed", "error": "The embedder is away."})))
    assert "The embedder is away." in devlore("rebuild", "search", "--wait", code=1).err


def test_a_rebuild_can_be_started_and_cancelled(scripted: Scripted, devlore: Terminal) -> None:
    scripted.play(Reply(202, searching(rebuild={"state": "running"})))
    assert "Started" in devlore("rebuild", "search").out
    scripted.play(Reply(204))
    assert "stopped" in devlore("rebuild", "search", "--cancel").out
