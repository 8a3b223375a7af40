"""What every container of the project must be like, looked up in the engine and tried from inside."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.compose.engine import Failed, Project, run

ONE_SHOT = {"secrets", "migrate", "solo-secrets"}
OWNERS = {"secrets", "postgres", "migrate", "solo-secrets", "solo-postgres", "solo"}
"""Who may hold the password of PostgreSQL's owner."""
SHARED_FILES = ("secret", "redis_password", "redis_url", "app_database_url")
OWNED_FILES = ("postgres_password", "database_url")


def ensure_hardened(project: Project, published: dict[str, str]) -> None:
    """Raise Failed where a container could do more than it must; `published` are the ports others reach, by service."""
    for name, one in project.containers().items():
        host, config = one["HostConfig"], one["Config"]
        expect(config["User"] not in ("", "0", "root", "0:0"), f"{name} runs as {config['User'] or 'root'}")
        expect(host["ReadonlyRootfs"], f"{name} can write to its image")
        expect(host["CapDrop"] == ["ALL"] and not host["CapAdd"], f"{name} has capabilities")
        expect(any(option.startswith("no-new-privileges") for option in host["SecurityOpt"]), f"{name} may gain rights")
        expect(not host["Privileged"], f"{name} is privileged")
        mounts = {mount["Destination"]: mount for mount in one["Mounts"]}
        expect(name in OWNERS or "/run/devlore-owner" not in mounts, f"{name} can read the owner's password")
        writable = {"/run/devlore", "/run/devlore-owner"} if "secrets" in name else set()
        for place in {"/run/devlore", "/run/devlore-owner"} & mounts.keys() - writable:
            expect(not mounts[place]["RW"], f"{name} can write to {place}")
        ports = {key: bound for key, bound in (host["PortBindings"] or {}).items() if bound}
        found = [f"{b['HostIp']}:{b['HostPort']}->{key}" for key, bound in ports.items() for b in bound]
        expect(found == ([published[name]] if name in published else []), f"{name} publishes {found}")
        if name not in ONE_SHOT:
            _tried(name, one)
    _no_secret_to_be_seen(project)


def _tried(name: str, one: dict[str, Any]) -> None:
    id = one["Id"]
    expect(run("docker", "exec", id, "id", "-u").strip() != "0", f"{name}: id -u says 0")
    for path in ("/devlore-was-here", "/usr/bin/devlore-was-here", "/etc/devlore-was-here"):
        touched = subprocess.run(["docker", "exec", "--user", "0", id, "touch", path], capture_output=True, text=True)
        expect(touched.returncode != 0, f"{name}: {path} could be written")
        expect("Read-only file system" in touched.stderr, f"{name}: {touched.stderr}")


def _no_secret_to_be_seen(project: Project) -> None:
    """What the engine tells of containers and images, and what they have logged, holds no secret."""
    containers = project.containers()
    texts = []
    for readers, folder, files in (
        (("gateway", "solo"), "/run/devlore", SHARED_FILES),
        (("postgres", "solo-postgres"), "/run/devlore-owner", OWNED_FILES),
    ):
        reader = next(one for name, one in containers.items() if name in readers)
        texts += [run("docker", "exec", reader["Id"], "cat", f"{folder}/{file}").strip() for file in files]
    expect(all(len(text) >= 32 for text in texts), "a secret is missing or short")
    for name, one in containers.items():
        # A container's log reaches `docker logs` by both of its streams.
        logged = subprocess.run(
            ["docker", "logs", one["Id"]], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        history = run("docker", "history", "--no-trunc", one["Image"])
        for place, said in (("is described", json.dumps(one)), ("logs", logged.stdout), ("was built", history)):
            expect(not any(text in said for text in texts), f"{name}: a secret in how it {place}")


def expect(holds: object, otherwise: str) -> None:
    if not holds:
        raise Failed(otherwise)
