"""How long whoever lost their rights is still let in: they hammer both gateways while it is taken from them."""

from __future__ import annotations

import http.client
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx2

import table
from split import Team
from tests.people import PASSWORD, Person

NEW_PASSWORD = "amber kettle walks on thursday"
PATH = "/v1/tags?limit=1"
AT_ONCE = 5
CALM = 2.5
"""Seconds that nobody may be let in before a try counts as over."""

Revoke = Callable[[], httpx2.Response]
Step = Callable[[Team], None]


@dataclass(slots=True)
class Hammer:
    """Requests with one credential, to one gateway after the other; ``accepted`` when each answer had come."""

    team: Team
    token: str
    accepted: list[float] = field(default_factory=list)
    odd: Counter[int] = field(default_factory=Counter)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def _run(self) -> None:
        urls = (self.team.limited.url, self.team.unlimited.url)
        connections = [http.client.HTTPConnection(url.removeprefix("http://"), timeout=30) for url in urls]
        headers = {"Authorization": f"Bearer {self.token}", "Host": self.team.host}
        while not self._stop.is_set():
            for connection in connections:
                try:
                    connection.request("GET", PATH, headers=headers)
                    answer = connection.getresponse()
                    answer.read()
                except (http.client.HTTPException, OSError):
                    connection.close()
                    continue
                if answer.status == 200:
                    self.accepted.append(time.perf_counter())
                elif answer.status != 401:
                    self.odd[answer.status] += 1


def session_ended(team: Team) -> tuple[str, Revoke]:
    """Another session of the same person ends the one that hammers."""
    victim = team.owner.invite()
    other = victim.again()
    return _token(victim), lambda: other.delete(f"/v1/sessions/{victim.tokens['session_id']}")


def member_removed(team: Team) -> tuple[str, Revoke]:
    """The owner removes the member who hammers."""
    victim = team.owner.invite()
    path = f"/v1/organisations/{victim.organisation}/members/{victim.id}"
    return _token(victim), lambda: team.owner.delete(path)


def key_revoked(team: Team) -> tuple[str, Revoke]:
    """A person revokes the API key that hammers."""
    person = team.owner.invite()
    made = person.post("/v1/keys", json={"name": "hammer"}).raise_for_status().json()
    return str(made["key"]), lambda: person.delete(f"/v1/keys/{made['id']}")


def password_changed(team: Team) -> tuple[str, Revoke]:
    """A person changes the password; their other session hammers."""
    victim = team.owner.invite()
    other = victim.again()
    change = {"old": PASSWORD, "new": NEW_PASSWORD}
    return _token(victim), lambda: other.post("/v1/identity/password", json=change)


WAYS: Mapping[str, Callable[[Team], tuple[str, Revoke]]] = {
    "session ended": session_ended,
    "member removed": member_removed,
    "key revoked": key_revoked,
    "password changed": password_changed,
}


def as_it_is(team: Team) -> None:
    """Redis runs."""
    if not team.redis.runs:
        team.redis.start()
        time.sleep(1.5)


def gone(team: Team) -> None:
    """Redis has been away for a while."""
    if team.redis.runs:
        team.redis.kill()
        time.sleep(1.5)


def dies(team: Team) -> None:
    """Redis dies: the mark of the revocation is lost."""
    team.redis.kill()


def comes_back(team: Team) -> None:
    """Redis is back, and knows nothing."""
    team.redis.start()


CIRCUMSTANCES: Mapping[str, tuple[Step, Step, Step]] = {
    "with Redis": (as_it_is, as_it_is, as_it_is),
    "Redis killed before": (gone, gone, gone),
    "Redis dies before it": (as_it_is, dies, gone),
    "Redis away during it": (as_it_is, dies, comes_back),
}
"""What is so before the hammering, what happens right before the revocation, and what right after it."""


def measure(team: Team, tries: int) -> list[dict[str, Any]]:
    """A row for each way to lose one's rights in each circumstance."""
    rows = []
    for circumstance, (before, then, after) in CIRCUMSTANCES.items():
        for way, prepare in WAYS.items():
            found: list[_Try] = []
            while len(found) < tries:
                team.owner.use(team.owner.again().tokens)  # a token lasts ten minutes, this may last longer
                before(team)
                found += _several(team, prepare, then, after)
            rows.append(_row(f"{way}, {circumstance}", found))
            print(rows[-1], file=sys.stderr, flush=True)
    as_it_is(team)
    return rows


@dataclass(frozen=True, slots=True)
class _Try:
    """Seconds from the revocation's request and from its answer to the last accepted answer, and the answers."""

    sent: float
    answered: float
    accepted: int
    odd: Counter[int]


def _several(team: Team, prepare: Callable[[Team], tuple[str, Revoke]], then: Step, after: Step) -> list[_Try]:
    """Some people hammer, and lose their rights one after the other."""
    prepared = [prepare(team) for _ in range(AT_ONCE)]
    hammers = [Hammer(team, token) for token, _ in prepared]
    for hammer in hammers:
        hammer.start()
    try:
        while not all(len(hammer.accepted) > 1 for hammer in hammers):
            time.sleep(0.01)
        time.sleep(0.3)
        then(team)
        moments = [_revoked(revoke) for _, revoke in prepared]
        after(team)
        while time.perf_counter() - max(moments[-1][1], *(hammer.accepted[-1] for hammer in hammers)) < CALM:
            time.sleep(0.05)
    finally:
        for hammer in hammers:
            hammer.stop()
    return [
        _Try(max(0.0, h.accepted[-1] - sent), max(0.0, h.accepted[-1] - answered), len(h.accepted), h.odd)
        for h, (sent, answered) in zip(hammers, moments, strict=True)
    ]


def _revoked(revoke: Revoke) -> tuple[float, float]:
    sent = time.perf_counter()
    answer = revoke()
    answered = time.perf_counter()
    if answer.status_code not in (200, 204):
        raise RuntimeError(f"{answer.request.url}: {answer.status_code} {answer.text}")
    return sent, answered


def _row(what: str, tries: list[_Try]) -> dict[str, Any]:
    after = [one.answered for one in tries]
    return {
        "what": what,
        "tries": len(tries),
        "requests_accepted": sum(one.accepted for one in tries),
        "p50_s": round(table.percentile(after, 0.5), 3),
        "max_s": round(max(after), 3),
        "max_from_sending_s": round(max(one.sent for one in tries), 3),
        "other_answers": dict(sum((one.odd for one in tries), Counter[int]())),
    }


def _token(person: Person) -> str:
    return str(person.tokens["access_token"])
