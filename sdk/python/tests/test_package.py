"""The package: cheap to import, everything named can be had, addresses come from where they should."""

from __future__ import annotations

import subprocess
import sys

import pytest

import devlore
from devlore import problems
from devlore.transport import address, http_options, is_loopback


def test_importing_the_package_loads_nothing_heavy() -> None:
    program = "import sys, devlore; print([m for m in ('httpx2', 'pydantic', 'asyncio') if m in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


@pytest.mark.parametrize("name", devlore.__all__)
def test_every_name_can_be_had(name: str) -> None:
    assert getattr(devlore, name) is not None
    assert name in dir(devlore)


def test_other_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="nonsense"):
        _ = devlore.nonsense


def test_the_address_is_given_or_from_the_environment_or_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DEVLORE_URL", raising=False)
    monkeypatch.delenv("DEVLORE_PORT", raising=False)
    assert address(None) == "http://127.0.0.1:7700"
    monkeypatch.setenv("DEVLORE_PORT", "7801")
    assert address(None) == "http://127.0.0.1:7801"
    monkeypatch.setenv("DEVLORE_URL", "http://memory.example:80/")
    assert address(None) == "http://memory.example:80"
    assert address("http://10.0.0.1") == "http://10.0.0.1"


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://127.0.0.1:7700", True),
        ("http://[::1]:7700", True),
        ("http://localhost", True),
        ("https://devlore.example", False),
        ("http://10.0.0.1", False),
    ],
)
def test_proxies_are_for_other_machines(url: str, local: bool) -> None:
    assert is_loopback(url) is local
    assert http_options(url, 5.0, None)["trust_env"] is not local


def test_a_proxy_in_the_environment_does_not_hide_this_machine(
    scripted: object, monkeypatch: pytest.MonkeyPatch, closed_port: int
) -> None:
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{closed_port}")
    url = scripted.url  # type: ignore[attr-defined]
    with devlore.Client(url, retry=devlore.Retry(attempts=1)) as client, pytest.raises(devlore.Unreadable):
        client.instance()


def test_a_problem_travels_and_comes_back_as_itself() -> None:
    for cls in problems.PROBLEMS.values():
        sent = cls("why", pointer="/a").body()
        back = problems.from_body(cls.status, sent)
        assert type(back) is cls
        assert (back.detail, back.extra["pointer"]) == ("why", "/a")
