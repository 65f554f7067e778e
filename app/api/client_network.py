"""The network of a request's client: the unit of limits for requests without a key."""

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Final

from fastapi import Request

from app.config import ApiSettings

UNKNOWN_NETWORK: Final = "unknown"
"""The network of clients without an IP address, such as those of a Unix socket. They share one limit."""
_IPV4_PREFIX, _IPV6_PREFIX = 24, 56
"""The addresses that one customer of a provider usually controls."""
_MAX_ADDRESS: Final = 64


def client_network(request: Request) -> str:
    """Return the client's network: /24 of an IPv4 address, /56 of an IPv6 address.

    Only the header in CLIENT_ADDRESS_HEADER is trusted; of several addresses the last one, which the proxy appended.
    """
    settings: ApiSettings = request.app.state.settings
    connected = request.client.host if request.client is not None else ""
    named = None
    if settings.client_address_header is not None:
        values = request.headers.getlist(settings.client_address_header)
        named = _network(values[-1].rpartition(",")[2].strip()) if values else None
    return named or _network(connected) or UNKNOWN_NETWORK


def _network(address: str) -> str | None:
    try:
        parsed = ip_address(address.strip("[]") if len(address) <= _MAX_ADDRESS else "")
    except ValueError:
        return None
    if isinstance(parsed, IPv6Address):
        parsed = parsed.ipv4_mapped or IPv6Address(int(parsed))  # without the zone (%eth0)
    prefix = _IPV4_PREFIX if isinstance(parsed, IPv4Address) else _IPV6_PREFIX
    return str(ip_network((parsed, prefix), strict=False))
