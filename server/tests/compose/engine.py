"""Compose as a test drives it: a project of its own name, ports and network, gone afterwards whatever happened."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from tests.instance import free_port

ROOT = Path(__file__).parents[3]
IMAGE = "devlore:compose-test"


class Failed(Exception):
    """Something in the containers is not as it should be."""


class Project:
    """One Compose project with `profile`; `environment` is what its compose.yaml is read with."""

    def __init__(self, profile: str) -> None:
        self.name = f"devlore-test-{secrets.token_hex(3)}"
        self.profile = profile
        self.port = free_port()
        self.url = f"http://localhost:{self.port}"
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("DEVLORE_")} | {
            "COMPOSE_PROJECT_NAME": self.name,
            "DEVLORE_IMAGE": IMAGE,
            "DEVLORE_PORT": str(self.port),
            "DEVLORE_PUBLIC_URL": self.url,
            "DEVLORE_POSTGRES_PORT": str(free_port()),
            "DEVLORE_REDIS_PORT": str(free_port()),
            "DEVLORE_SUBNET": f"10.{200 + secrets.randbelow(25)}.{secrets.randbelow(256)}.0/24",
            "DEVLORE_OUTSIDE_SUBNET": f"10.{225 + secrets.randbelow(25)}.{secrets.randbelow(256)}.0/24",
        }

    def compose(self, *arguments: str) -> str:
        """Run Compose; what it prints to stdout. Raises Failed with the end of what it said."""
        # The team profile is what comes without being asked for.
        profile = [] if self.profile == "team" else ["--profile", self.profile]
        return run(*command(), *profile, *arguments, environment=self.environment)

    def execute(self, service: str, *command: str) -> str:
        """Run a command in a container that runs, as the documents say; what it prints to stdout."""
        return self.compose("exec", "-T", service, *command)

    def containers(self) -> dict[str, dict[str, Any]]:
        """What the engine knows of each container, by service; those of `run` are not among them."""
        mine = f"label=com.docker.compose.project={self.name}"
        ids = run("docker", "ps", "--all", "--quiet", "--filter", mine).split()
        described = json.loads(run("docker", "inspect", *ids)) if ids else []
        return {
            one["Config"]["Labels"]["com.docker.compose.service"]: one
            for one in described
            if one["Config"]["Labels"].get("com.docker.compose.oneoff", "False") != "True"
        }

    def wait_until_ready(self, patience: float = 240) -> None:
        """Wait until the instance answers that it is ready, with nothing away that it can do without either."""
        until(lambda: ready(self.url), patience, f"{self.url}/readyz does not say ready")

    def wait_until_healthy(self, patience: float = 240) -> None:
        """Wait until every container with a health check is healthy, and none has anything else to do."""
        until(lambda: not self.ill(), patience, "these are not healthy")

    def ill(self) -> list[str]:
        """The services that run and are not healthy, or that ended and should not have."""
        states = {name: one["State"] for name, one in self.containers().items()}
        return [
            name
            for name, state in states.items()
            if (state.get("Health") and state["Health"]["Status"] != "healthy")
            or (not state["Running"] and state["ExitCode"] != 0)
        ]

    def logs(self) -> str:
        """The last lines of every container, and the last answers of health checks."""
        said = []
        for name, one in self.containers().items():
            state = one["State"]
            done = subprocess.run(["docker", "logs", "--tail", "15", one["Id"]], capture_output=True, text=True)
            checks = [check["Output"].strip() for check in (state.get("Health") or {}).get("Log", [])[-1:]]
            said.append(f"--- {name}: {state['Status']}, exit code {state['ExitCode']} {checks}\n")
            said.append(done.stdout + done.stderr)
        return "".join(said)

    def remove(self) -> None:
        """Take everything of it away: containers, networks, volumes."""
        mine = f"label=com.docker.compose.project={self.name}"
        for kind, forced in (("container", ["--force", "--volumes"]), ("volume", ["--force"]), ("network", [])):
            found = subprocess.run(
                ["docker", kind, "ls", "--quiet", "--filter", mine, *(["--all"] if kind == "container" else [])],
                capture_output=True,
                text=True,
            ).stdout.split()
            if found:
                subprocess.run(["docker", kind, "rm", *forced, *found], capture_output=True)


@contextmanager
def project(profile: str) -> Iterator[Project]:
    """A project that is gone afterwards; when something failed, its logs are shown first."""
    made = Project(profile)
    try:
        yield made
    except BaseException:
        print(made.logs(), flush=True)
        raise
    finally:
        made.remove()


def command() -> list[str]:
    """Compose: the plugin where there is one, else the program of before."""
    plugin = subprocess.run(["docker", "compose", "version"], capture_output=True)
    if plugin.returncode == 0:
        return ["docker", "compose"]
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    raise Failed("There is neither `docker compose` nor `docker-compose` here.")


def run(*arguments: str, environment: dict[str, str] | None = None, quiet: bool = True) -> str:
    """What a program prints to stdout; with `quiet` off its stderr is shown. Raises Failed when it fails."""
    done = subprocess.run(
        arguments,
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE if quiet else None,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    if done.returncode != 0:
        raise Failed(f"{' '.join(arguments[:8])} ended with {done.returncode}:\n{(done.stderr or '')[-3000:]}")
    return done.stdout


def until(condition: Callable[[], bool], patience: float, otherwise: str) -> None:
    deadline = time.monotonic() + patience
    while not condition():
        if time.monotonic() > deadline:
            raise Failed(f"after {patience:g} s: {otherwise}")
        time.sleep(0.5)


def ready(url: str) -> bool:
    try:
        return bool(httpx2.get(url + "/readyz", timeout=5).json()["status"] == "ready")
    except (httpx2.TransportError, ValueError, KeyError):
        return False
