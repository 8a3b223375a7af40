"""Where a request comes from: nobody can claim another address unless a proxy of ours says so."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import pytest

from devlore_server.gateway.networks import Networks, address_of, network_of, peer_of

PROXIES = Networks(["10.0.0.0/8", "fd00::/8"])


def request(peer: str | None, *forwarded: str) -> dict[str, Any]:
    headers = [(b"x-forwarded-for", value.encode()) for value in forwarded]
    return {"type": "http", "client": (peer, 5000) if peer else None, "headers": headers}


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.7", (), "203.0.113.7"),
        ("203.0.113.7", ("198.51.100.1",), "203.0.113.7"),  # whoever is no proxy may write what they like
        ("10.1.2.3", ("198.51.100.1",), "198.51.100.1"),
        ("10.1.2.3", ("192.0.2.1, 198.51.100.1",), "198.51.100.1"),  # what stands before it the client wrote
        ("10.1.2.3", ("192.0.2.1", "198.51.100.1"), "198.51.100.1"),
        ("10.1.2.3", ("198.51.100.1, 10.9.9.9, fd00::7",), "198.51.100.1"),
        ("10.1.2.3", (), "10.1.2.3"),
        ("10.1.2.3", ("10.4.4.4",), "10.4.4.4"),
        ("10.1.2.3", ("198.51.100.1, nonsense, 10.9.9.9",), "10.9.9.9"),
        ("::ffff:10.1.2.3", ("2001:db8::1",), "2001:db8::1"),
        ("fd00::1", ("::ffff:198.51.100.1",), "198.51.100.1"),
    ],
)
def test_the_last_that_is_no_proxy_of_ours_counts(peer: str, forwarded: tuple[str, ...], address: str) -> None:
    assert address_of(request(peer, *forwarded), PROXIES) == ip_address(address)


def test_without_trusted_proxies_the_header_means_nothing() -> None:
    assert address_of(request("10.1.2.3", "198.51.100.1"), Networks([])) == ip_address("10.1.2.3")


def test_a_very_long_list_is_read_from_its_end() -> None:
    hops = ", ".join(["192.0.2.1"] * 5_000 + ["10.0.0.1"] * 100)
    assert address_of(request("10.1.2.3", hops), PROXIES) == ip_address("10.0.0.1")


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.0/24"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("127.0.0.1", "127.0.0.0/24"),
    ],
)
def test_a_network_is_what_one_household_has(address: str, network: str) -> None:
    assert network_of(ip_address(address)) == network


def test_a_socket_of_this_machine_has_no_address() -> None:
    assert peer_of(request(None)) is None
    assert network_of(peer_of(request(None))) is None
    assert not PROXIES.hold(None)
