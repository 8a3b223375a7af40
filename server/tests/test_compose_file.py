"""compose.yaml, as far as it can be judged without a Docker engine; `make compose-test` brings it up."""

from pathlib import Path
from typing import Any

import pytest
import yaml

COMPOSE: dict[str, Any] = yaml.safe_load((Path(__file__).parents[2] / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]


@pytest.mark.parametrize("profile", ["team", "solo"])
def test_one_service_of_a_profile_builds_the_image_and_comes_first(profile: str) -> None:
    of_it = {name: one for name, one in SERVICES.items() if profile in one["profiles"]}
    (builder,) = (name for name, one in of_it.items() if "build" in one)
    assert not of_it[builder].get("depends_on"), "what the others need is made before anything else"
    for name, one in of_it.items():
        if name != builder and one["image"] == of_it[builder]["image"]:
            assert builder in needed(name), f"{name} may start before its image is built"


@pytest.mark.parametrize("role", ["identity", "memory", "search", "integration"])
def test_the_gateway_finds_a_role_at_the_one_address_it_answers(role: str) -> None:
    """A name that two shared networks know is either's address, and roles refuse whoever is not of the internal one."""
    (shared,) = set(SERVICES["gateway"]["networks"]) & set(SERVICES[role]["networks"])
    subnet = COMPOSE["networks"][shared]["ipam"]["config"][0]["subnet"]
    assert SERVICES[role]["environment"]["DEVLORE_INTERNAL_NETWORKS"] == subnet
    assert COMPOSE["networks"][shared]["internal"] is True


@pytest.mark.parametrize("name", SERVICES)
def test_a_container_can_do_no_more_than_it_must(name: str) -> None:
    one = SERVICES[name]
    assert (one["read_only"], one["cap_drop"], one["security_opt"]) == (True, ["ALL"], ["no-new-privileges:true"])
    assert not {"privileged", "cap_add", "pid", "ipc", "devices"} & one.keys()


def needed(name: str) -> set[str]:
    """The services that must be there before this one, however indirectly."""
    found: set[str] = set()
    for other in SERVICES[name].get("depends_on", {}):
        found |= {other} | needed(other)
    return found
