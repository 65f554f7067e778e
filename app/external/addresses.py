"""Which IP addresses a request to the outside world may go to: what is fetched or called back comes from strangers."""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""Host and port to its IP addresses; raises OSError."""

# What IANA's registries of special addresses (RFC 6890) name and Python's `is_global`, whose list grows with its
# versions, may not know; and what is public in name only.
_SPECIAL_V4: Final = tuple(
    map(
        ipaddress.IPv4Network,
        (
            "192.0.0.0/24",  # protocol assignments
            "192.88.99.0/24",  # relays of 6to4, given up (RFC 7526)
        ),
    )
)
_UNICAST_V6: Final = ipaddress.IPv6Network("2000::/3")
"""All that is given out of IPv6: ::a.b.c.d, 64:ff9b:1::/48, fc00::/7, fe80::/10 and fec0::/10 lie outside."""
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
"""The well-known prefix before an IPv4 address, which a gateway goes on to (RFC 6052)."""


async def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, as the system's resolver knows them. Raises `OSError`."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except ValueError as error:
        # A label of more than 63 characters, a zero byte: the codec for names complains before the resolver can.
        raise OSError(f"{host[:80]!r} is no name that can be looked up: {error}") from error
    return [str(address[0]) for *_, address in found]


def is_public(address: str) -> bool:
    """Whether an IP address can be reached from the internet; IPv4 inside IPv6 is looked at as IPv4.

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
