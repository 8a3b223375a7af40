"""The same instance in every shape: one process, a process per role, and those with Redis between them."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import psycopg
import pytest
from psycopg import conninfo, sql

from devlore_server.kit.ids import new_id
from tests.instance import Instance

SECRET = "a secret that all processes of a split instance share"
SERVICES = ("identity", "memory", "search", "integration", "worker")


@dataclass
class Topology:
    """A running instance: its gateway, and the processes behind it when it is split."""

    gateway: Instance
    services: dict[str, Instance] = field(default_factory=dict)

    @property
    def processes(self) -> list[Instance]:
        return [*self.services.values(), self.gateway]


@pytest.fixture(scope="session", params=["one process", "split", "split with Redis"])
def topology(request: pytest.FixtureRequest, postgres: str, redis_server: str) -> Iterator[Topology]:
    chosen = {"redis_url": redis_server} if "Redis" in request.param else {}
    with running(postgres, split="split" in request.param, **chosen) as found:
        yield found


@contextmanager
def running(postgres: str, *, split: bool, **settings: str) -> Iterator[Topology]:
    """An instance with a database of its own, ready; all its processes must end as they are asked to."""
    home = Path(tempfile.mkdtemp(prefix="dvl-topology-"))
    name = f"topology_{new_id().hex}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    shared = {"database_url": conninfo.make_conninfo(postgres, dbname=name), "secret": SECRET} | settings
    shared |= {"search_deadline_ms": "30000"}  # what a search finds must not depend on how busy the machine is
    found = several(home, shared) if split else one_process(home, shared)
    try:
        for process in found.processes:
            process.spawn()
        for process in found.processes:
            process.wait_until_ready(120)
        yield found
        assert [process.stop() for process in reversed(found.processes)] == [0] * len(found.processes)
    finally:
        for process in found.processes:
            process.sweep()
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        shutil.rmtree(home, ignore_errors=True)


def one_process(home: Path, shared: dict[str, str]) -> Topology:
    instance = Instance(folder(home, "all"), **shared)
    instance.settings["public_url"] = instance.url
    return Topology(instance)


def several(home: Path, shared: dict[str, str]) -> Topology:
    services = {role: Instance(folder(home, role), roles=role) for role in SERVICES}
    gateway = Instance(folder(home, "gateway"), roles="gateway")
    addresses = {f"{role}_url": instance.url for role, instance in services.items()} | {"public_url": gateway.url}
    for instance in (gateway, *services.values()):
        instance.settings |= shared | addresses
    return Topology(gateway, services)


def folder(home: Path, role: str) -> Path:
    made = home / role
    made.mkdir()
    return made


@pytest.fixture
def api(topology: Topology) -> Iterator[httpx2.Client]:
    """A client of the gateway."""
    with httpx2.Client(base_url=topology.gateway.url, timeout=30, trust_env=False) as client:
        yield client
