"""Decides which IP addresses are public: URLs of feeds and callbacks come from untrusted parties."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Resolves a host and port to IP addresses; raises `OSError`."""

# Special addresses in IANA's registries (RFC 6890) that `is_global` of some Python versions does not know.
_SPECIAL_V4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "192.0.0.0/24",  # protocol assignments
            "192.88.99.0/24",  # 6to4 relays, deprecated (RFC 7526)
        ),
    )
)
_UNICAST_V6: Final = ipaddress.IPv6Network("2000::/3")
"""All allocated IPv6 unicast: excludes ::a.b.c.d, 64:ff9b:1::/48, fc00::/7, fe80::/10 and fec0::/10."""
_SPECIAL_V6: Final = tuple(
    map(
        ipaddress.IPv6Network,
        (
            "2001::/23",  # protocol assignments: Teredo, benchmarks, ORCHID
            "2001:db8::/32",  # documentation
            "3fff::/20",  # documentation
        ),
    )
)
_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""The well-known prefix of IPv4 addresses behind a NAT64 gateway (RFC 6052)."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """Resolve a host with the system's resolver. Raises `OSError`."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except ValueError as error:
        # The codec for host names refuses labels of more than 63 characters and zero bytes.
        raise OSError(f"{host[:80]!r} is not a valid host name: {error}") from error
    return [str(address[0]) for *_, address in found]


def is_public(address: str) -> bool:
    """Whether an IP address is public; an IPv4 address embedded in IPv6 is checked as IPv4.

    Sources: IANA's special-purpose address registries for IPv4 and IPv6.
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = _ipv4_inside(ip)
        return _is_public_v4(inner) if inner else _is_public_v6(ip)
    return _is_public_v4(ip)


def _ipv4_inside(ip: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    if ip in _NAT64:
        return ipaddress.IPv4Address(ip.packed[-4:])
    return ip.ipv4_mapped or ip.sixtofour


def _is_public_v4(ip: ipaddress.IPv4Address) -> bool:
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _SPECIAL_V4)


def _is_public_v6(ip: ipaddress.IPv6Address) -> bool:
    return ip.is_global and ip in _UNICAST_V6 and not any(ip in network for network in _SPECIAL_V6)
