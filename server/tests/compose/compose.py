"""Bring the containers up for real: `make compose-test`. Needs a Docker engine; about ten minutes the first time.

The team profile: sign up, invite, remember, search, restart every container, search again, back up, lose everything
but the backup, restore, search again. Then the solo profile, likewise without sign-in. Only the image is left behind.
"""

from __future__ import annotations

import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

from tests.compose.engine import IMAGE, ROOT, Failed, Project, project, run
from tests.compose.hardening import ensure_hardened, expect
from tests.integration.repositories import Repo
from tests.people import Person, secret_of

TEAM = {"secrets", "postgres", "redis", "migrate", "identity", "memory", "search", "integration", "worker", "gateway"}
SOLO = {"solo-secrets", "solo-postgres", "solo-redis", "solo"}
ALL, NONE = {"get": True, "list": True, "search": True}, {"get": False, "list": False, "search": False}
QUESTION = "undo a failed release"


@contextmanager
def step(what: str) -> Iterator[None]:
    began = time.monotonic()
    print(f"{what} … ", end="", flush=True)
    try:
        yield
    except BaseException:
        print("FAILED", flush=True)
        raise
    print(f"{time.monotonic() - began:.0f} s", flush=True)


def build() -> None:
    with step("The images Compose builds on"):
        run(str(ROOT / "deploy/docker/bases/make"), quiet=False)
    with step("The image of Devlore"):
        Project("team").compose("build", "--quiet")
        size = int(run("docker", "image", "inspect", "--format", "{{.Size}}", IMAGE))
        print(f"{size / 1e6:.0f} MB, ", end="")


class Team:
    """Two people of a team and a third of the same organisation, and what they remember."""

    def __init__(self, project: Project, link: str) -> None:
        self.owner = Person.signing_up(project.url, secret_of(link), "Olga")
        self.mate, self.colleague = self.owner.invite("member", "Mia"), self.owner.invite("viewer", "Cy")
        team = self.owner.team_of(self.owner, self.mate)
        self.public = self.mate.remember("Rollback procedure", "public", body="How to revert a bad deployment.")
        self.shared = self.mate.remember("Heron of the team", "team", team_id=team)
        self.private = self.mate.remember("Heron of mine", "private")

    def check(self) -> None:
        """Everybody finds what is theirs by words and by meaning, and nothing else."""
        for person, finds in (
            (self.mate, (self.public, self.shared, self.private)),
            (self.owner, (self.public, self.shared)),
            (self.colleague, (self.public,)),
        ):
            for memory in (self.public, self.shared, self.private):
                seen = person.sees(memory)
                expect(seen == (ALL if memory in finds else NONE), f"{person.email}, {memory['title']}: {seen}")
            expect(person.get("/v1/connections").is_success, "the integration service is not reached")
            answer = person.get("/v1/search", params={"q": QUESTION}).json()
            expect(answer["degraded"] == [], f"a leg is missing: {answer['degraded']}")
            expect(answer["items"][0]["memory"]["id"] == self.public["id"], "not found by meaning")

    def renew(self) -> None:
        """Go on with the refresh tokens of before."""
        for person in (self.owner, self.mate, self.colleague):
            token = {"refresh_token": person.tokens["refresh_token"]}
            answer = httpx2.post(f"{person.url}/v1/sessions/refresh", json=token, timeout=30)
            expect(answer.is_success, f"refresh: {answer.text}")
            person.use(answer.json())


def team(made: Project) -> None:
    with step("team: up"):
        made.compose("up", "--detach")
        made.wait_until_ready()
        made.wait_until_healthy()
        expect(set(made.containers()) == TEAM, f"these run: {sorted(made.containers())}")
    with step("team: containers can do no more than they must"):
        ensure_hardened(made, {"gateway": f"127.0.0.1:{made.port}->7700/tcp"})
    with step("team: sign up, invite, remember, search"):
        link = made.execute("gateway", "devlore-server", "first-owner", "--organisation", "Acme").strip()
        expect(link.startswith(f"{made.url}/invitation#"), f"the link of the first owner: {link}")
        expect(httpx2.get(link).is_success, "the link leads nowhere")
        people = Team(made, link)
        people.check()
        expect(httpx2.get(made.url + "/v1/memories").status_code == 401, "it answers whoever asks")
    with step("team: restart every container, search again"):
        restarted(made)
        people.check()
        people.renew()
        people.check()
    with step("team: back up, lose everything but the backup, restore, search again"):
        said = made.compose("run", "--rm", "maintenance")
        expect("/backups/devlore-" in said, said)
        made.compose("down", "--remove-orphans")
        for volume in ("postgres", "redis", "search", "secrets", "owner"):
            run("docker", "volume", "rm", f"{made.name}_{volume}")
        made.compose("run", "--rm", "maintenance", "restore", "/backups")
        made.compose("up", "--detach")
        made.wait_until_ready()
        people.check()
        people.renew()
        people.owner.remember("Written after the restore", "public")


def solo(made: Project) -> None:
    with repository() as path:
        made.environment["DEVLORE_PROJECTS"] = str(path)
        _solo(made)


def _solo(made: Project) -> None:
    with step("solo: up"):
        made.compose("up", "--detach")
        made.wait_until_ready()
        made.wait_until_healthy()
        expect(set(made.containers()) == SOLO, f"these run: {sorted(made.containers())}")
    with step("solo: containers can do no more than they must"):
        ports = {"solo-postgres": ("POSTGRES", "5432"), "solo-redis": ("REDIS", "6379")}
        published = {
            name: f"127.0.0.1:{made.environment[f'DEVLORE_{which}_PORT']}->{inner}/tcp"
            for name, (which, inner) in ports.items()
        }
        ensure_hardened(made, published)
    with step("solo: remember, read a repository, search"), client(made) as api:
        draft = {"title": "Rollback procedure", "body": "How to revert a bad deployment."}
        answer = api.post("/v1/memories", json=draft, params={"wait": "indexed"})
        expect(answer.status_code == 201, answer.text)
        id = answer.json()["id"]
        expect(found(api, QUESTION) == [id], "not found by meaning")
        made.execute("solo", "devlore", "sync", "git", "/projects")
        expect(found(api, "pelican queue"), "what the repository says is not found")
    with step("solo: restart every container, search again"):
        restarted(made)
        with client(made) as api:
            expect(found(api, QUESTION)[0] == id, "not found after the restart")
            expect(found(api, "pelican queue"), "not found after the restart")
    with step("solo: back up, forget, restore, search again"):
        expect("/backups/devlore-" in made.compose("run", "--rm", "solo-maintenance"), "no backup")
        with client(made) as api:
            api.delete(f"/v1/memories/{id}").raise_for_status()
            api.post("/v1/memories", json={"title": "Written after the backup"}).raise_for_status()
        made.compose("stop", "solo")
        made.compose("run", "--rm", "solo-maintenance", "restore", "--force", "/backups")
        made.compose("start", "solo")
        made.wait_until_ready()
        with client(made) as api:
            expect(found(api, QUESTION)[0] == id, "not found after the restore")
            expect(not found(api, '"Written after the backup"'), "what came after it is there")


def client(made: Project) -> httpx2.Client:
    return httpx2.Client(base_url=made.url, timeout=60, trust_env=False)


def found(api: httpx2.Client, question: str) -> list[str]:
    answer = api.get("/v1/search", params={"q": question, "wait": "indexed"}).json()
    expect(answer["degraded"] == [], f"a leg is missing: {answer['degraded']}")
    return [hit["memory"]["id"] for hit in answer["items"]]


@contextmanager
def repository() -> Iterator[Path]:
    """A repository with one commit that says something, which every user of this machine may read."""
    with tempfile.TemporaryDirectory(prefix="devlore-compose-") as name:
        Path(name).chmod(0o755)
        Repo(Path(name)).commit("Use pelican for the queue\n\nIt never loses a job.")
        yield Path(name)


def restarted(made: Project) -> None:
    """Every container has ended and started again, PostgreSQL and Redis among them."""
    before = {name: one["State"]["StartedAt"] for name, one in made.containers().items()}
    made.compose("restart")
    made.wait_until_ready()
    made.wait_until_healthy()
    after = {name: one["State"]["StartedAt"] for name, one in made.containers().items()}
    same = [
        name for name, at in before.items() if after[name] == at and name not in ("secrets", "migrate", "solo-secrets")
    ]
    expect(not same, f"not restarted: {same}")


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    profiles: dict[str, Callable[[Project], None]] = {"team": team, "solo": solo}
    wanted = sys.argv[1:] or list(profiles)
    try:
        build()
        for name in wanted:
            with project(name) as made:
                profiles[name](made)
    except (Failed, AssertionError, httpx2.HTTPError) as error:
        print(f"compose-test failed: {type(error).__name__}: {error}")
        return 1
    print("Every container does what it should, and nothing is left of them.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
