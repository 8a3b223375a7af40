"""Kills a real instance with -9 at random moments while clients write; nothing acknowledged may be lost.

    make crash CRASH_ARGS="--rounds 20 --writers 6 --seed 7"

Each writer creates memories (with an external id, so that an unanswered request can be sent again), and edits and
deletes some of its own. What was answered with success must be there afterwards, exactly once, in its last acknowledged
state; the indexes must converge; the check of `devlore doctor` must be clean.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.instance import Instance

WRITES = {"create": 6, "edit": 3, "delete": 1}


@dataclass
class Written:
    """The last acknowledged state of one memory; `doubt` while a change was sent and not answered."""

    token: str
    id: str
    version: int
    body: str
    deleted: bool = False
    doubt: bool = False


@dataclass
class Writer:
    """One client: writes until told to stop, and notes what was acknowledged."""

    url: str
    number: int
    seed: int
    done: threading.Event
    written: list[Written] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    retried: int = 0

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.seed}/{self.number}")

    def work(self) -> None:
        with httpx2.Client(base_url=self.url, timeout=15, trust_env=False) as client:
            serial = 0
            while not self.done.is_set():
                serial += 1
                alive = [w for w in self.written if not w.deleted and not w.doubt]
                what = self.random.choices(list(WRITES), list(WRITES.values()))[0] if alive else "create"
                if what == "create":
                    self._create(client, serial)
                elif what == "edit":
                    self._edit(client, self.random.choice(alive), serial)
                else:
                    self._delete(client, self.random.choice(alive))
                time.sleep(self.random.uniform(0.01, 0.08))

    def _create(self, client: httpx2.Client, serial: int) -> None:
        token = f"crash{self.number}w{serial}n{self.random.randrange(10**6)}"
        source = {"connector": "crash", "external_id": token}
        draft = {"title": f"About {token}", "body": f"body of {token}", "project": "crash", "source": source}
        answer = self._sent(client, "POST", "/v1/memories", {}, draft)
        if answer is not None and answer.status_code in (200, 201):
            memory = answer.json()
            self.written.append(Written(token, memory["id"], memory["version"], memory["body"]))
        elif answer is not None:
            self.unexpected.append(f"create {token}: {answer.status_code} {answer.text[:200]}")

    def _edit(self, client: httpx2.Client, one: Written, serial: int) -> None:
        body = f"edit {serial} of {one.token}"
        headers = {"If-Match": f'"{one.version}"'}
        one.doubt = True
        answer = self._sent(client, "PATCH", f"/v1/memories/{one.id}", headers, {"body": body}, again=False)
        if answer is not None and answer.status_code == 200:
            one.body, one.version, one.doubt = body, answer.json()["version"], False
        elif answer is not None and answer.status_code not in (500, 503):
            self.unexpected.append(f"edit {one.token}: {answer.status_code} {answer.text[:200]}")

    def _delete(self, client: httpx2.Client, one: Written) -> None:
        one.doubt = True
        answer = self._sent(client, "DELETE", f"/v1/memories/{one.id}", {}, None, again=False)
        if answer is not None and answer.status_code == 204:
            one.deleted, one.doubt = True, False
        elif answer is not None and answer.status_code not in (500, 503):
            self.unexpected.append(f"delete {one.token}: {answer.status_code} {answer.text[:200]}")

    def _sent(
        self, client: httpx2.Client, method: str, path: str, headers: dict[str, str], body: Any, *, again: bool = True
    ) -> httpx2.Response | None:
        """The answer; a request that may be repeated is, until it is answered (or the test gives up waiting)."""
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = client.request(method, path, headers=headers, json=body)
                if not again or answer.status_code not in (500, 503):
                    return answer
            except httpx2.TransportError:
                if not again:
                    return None
            if time.monotonic() > deadline:
                self.unexpected.append(f"{method} {path}: not answered within 60 s")
                return None
            self.retried += 1
            time.sleep(0.1)


def disturb(instance: Instance, dice: random.Random, rounds: int) -> dict[str, int]:
    """Kill one thing, or everything, at a random moment, `rounds` times; returns how often each was killed."""
    kills = dict.fromkeys(("server", "postgres", "backend", "everything"), 0)
    for _ in range(rounds):
        time.sleep(dice.uniform(0.5, 2.5))
        victim = dice.choice(list(kills))
        kills[victim] += 1
        if victim in ("postgres", "everything"):
            instance.kill_postgres()
        if victim == "backend":
            instance.kill_postgres(backend=True)
        if victim in ("server", "everything"):
            instance.kill_server()
            time.sleep(dice.uniform(0, 0.5))
            instance.start()
        else:
            instance.wait_until_ready()
    return kills


def lost(url: str, writers: list[Writer]) -> list[str]:
    """What is not as it was acknowledged; empty when all is well."""
    faults = [fault for writer in writers for fault in writer.unexpected]
    with httpx2.Client(base_url=url, timeout=30, trust_env=False) as client:
        for one in (w for writer in writers for w in writer.written):
            answer = client.get(f"/v1/memories/{one.id}")
            if one.doubt:
                continue
            if one.deleted:
                if answer.status_code != 404 and answer.json()["deleted_at"] is None:
                    faults.append(f"{one.token}: deletion was acknowledged, and it is there")
            elif answer.status_code != 200:
                faults.append(f"{one.token}: acknowledged, and now {answer.status_code}")
            elif (answer.json()["version"], answer.json()["body"]) != (one.version, one.body):
                faults.append(f"{one.token}: acknowledged {one.version} {one.body!r}, found {answer.text[:300]}")
        faults += _doubled(client)
    return faults


def _doubled(client: httpx2.Client) -> list[str]:
    """Titles that are there twice: a retried request that was carried out twice."""
    seen: dict[str, int] = {}
    cursor: str | None = None
    while True:
        page = client.get("/v1/memories", params={"limit": 200} | ({"cursor": cursor} if cursor else {})).json()
        for memory in page["items"]:
            seen[memory["title"]] = seen.get(memory["title"], 0) + 1
        cursor = page["next"]
        if cursor is None:
            return [f"{title}: there {count} times" for title, count in seen.items() if count > 1]


def unconverged(url: str, writers: list[Writer], patience: float) -> list[str]:
    """What the indexes still get wrong after `patience` seconds; empty when they converged."""
    deadline = time.monotonic() + patience
    with httpx2.Client(base_url=url, timeout=60, trust_env=False) as client:
        check = client.get("/v1/search/check").json()
        while not check["clean"] and time.monotonic() < deadline:
            time.sleep(0.5)
            check = client.get("/v1/search/check").json()
        if not check["clean"]:
            return [f"not clean after {patience:.0f} s: {check}"]
        alive = [w for writer in writers for w in writer.written if not w.deleted and not w.doubt]
        sample = random.Random(1).sample(alive, min(50, len(alive)))
        found = {one.token: client.get("/v1/search", params={"q": f'"{one.token}"'}).json()["items"] for one in sample}
    return [
        f"{one.token}: not found by search"
        for one in sample
        if one.id not in [hit["memory"]["id"] for hit in found[one.token]]
    ]


def run(home: Path, *, rounds: int, writers: int, seed: int, patience: float = 120) -> tuple[list[str], str]:
    """One whole test in `home`; returns the faults found and a line that says what was done."""
    instance = Instance(home)
    done = threading.Event()
    started = time.monotonic()
    try:
        cold = instance.start()
        crew = [Writer(instance.url, number, seed, done) for number in range(writers)]
        threads = [threading.Thread(target=writer.work, daemon=True) for writer in crew]
        for thread in threads:
            thread.start()
        kills = disturb(instance, random.Random(seed), rounds)
        done.set()
        for thread in threads:
            thread.join(90)
        faults = lost(instance.url, crew) + unconverged(instance.url, crew, patience)
        if instance.stop() not in (0, None):
            faults.append(f"the server did not end well:\n{instance.log_tail()}")
        written = [one for writer in crew for one in writer.written]
        said = (
            f"{len(written)} acknowledged, {sum(w.doubt for w in written)} in doubt, {sum(w.retried for w in crew)} "
            f"retried; killed {kills}; first start {cold:.1f} s; {time.monotonic() - started:.0f} s in all; seed {seed}"
        )
        return faults, said
    finally:
        done.set()
        instance.sweep()


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10, help="how many times something is killed")
    parser.add_argument("--writers", type=int, default=4)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="devlore-crash-", ignore_cleanup_errors=True) as folder:
        faults, said = run(Path(folder), rounds=chosen.rounds, writers=chosen.writers, seed=chosen.seed)
    print(said)
    print("\n".join(faults) or "Nothing acknowledged was lost; the indexes agree with the rows.")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
