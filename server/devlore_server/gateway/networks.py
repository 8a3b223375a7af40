"""Where a request comes from: the address behind the proxies we trust, and the network it is in."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from starlette.types import Scope

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_FORWARDED = b"x-forwarded-for"
_MOST_HOPS = 20


class Networks:
    """A list of networks; empty holds nobody."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ip_network(text) for text in networks]

    def hold(self, address: Address | None) -> bool:
        """Whether ``address`` is in one of them."""
        return address is not None and any(address in network for network in self._networks)


def peer_of(scope: Scope) -> Address | None:
    """The address the connection came from; None for one that is no address (a Unix socket)."""
    client = scope.get("client")
    return _address(client[0]) if client else None


def address_of(scope: Scope, proxies: Networks) -> Address | None:
    """The address a request came from: the last in X-Forwarded-For that is none of our ``proxies``.

    The header counts only when the connection itself comes from one of them: anybody can write it.
    """
    peer = peer_of(scope)
    if not proxies.hold(peer):
        return peer
    hops = b",".join(value for name, value in scope["headers"] if name == _FORWARDED).split(b",")
    for hop in reversed(hops[-_MOST_HOPS:]):
        address = _address(hop.strip().decode("latin-1"))
        if address is None:
            return peer
        if not proxies.hold(address):
            return address
        peer = address
    return peer


@lru_cache(maxsize=4096)
def network_of(address: Address | None) -> str | None:
    """The /24 or /48 of an address: what one household, office or attacker has."""
    if address is None:
        return None
    bits = 24 if isinstance(address, IPv4Address) else 48
    return str(ip_network((address, bits), strict=False))


@lru_cache(maxsize=4096)
def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
