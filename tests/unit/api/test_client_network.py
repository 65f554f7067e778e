"""The network of a client: from the connection, or from the one header that a proxy sets."""

import pytest
from fastapi import FastAPI, Request

from app.api.client_network import UNKNOWN_NETWORK, client_network
from app.config import ApiSettings

HEADER = "X-Forwarded-For"


def network_of(connected: str | None, *named: str, header: str | None = HEADER) -> str:
    app = FastAPI()
    values = {"supabase_url": "http://127.0.0.1:9", "supabase_key": "sb_secret_x", "api_keys": "k" * 16}
    app.state.settings = ApiSettings.model_validate(values | {"client_address_header": header})
    scope = {
        "type": "http",
        "app": app,
        "client": (connected, 1) if connected is not None else None,
        "headers": [(HEADER.lower().encode(), each.encode("latin-1")) for each in named],
    }
    return client_network(Request(scope))


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.200", "192.0.2.0/24"),
        ("2001:db8:1:22ff::1", "2001:db8:1:2200::/56"),
        ("::ffff:192.0.2.7", "192.0.2.0/24"),
        ("fe80::1%eth0", "fe80::/56"),
        ("[2001:db8::1]", "2001:db8::/56"),
        ("/run/socket", UNKNOWN_NETWORK),
        ("1" * 5_000, UNKNOWN_NETWORK),
        (None, UNKNOWN_NETWORK),
    ],
)
def test_the_connections_network_counts_without_a_header(address: str | None, network: str) -> None:
    assert network_of(address, "203.0.113.1", header=None) == network
    assert network_of(address) == network


@pytest.mark.parametrize(
    ("named", "network"),
    [
        (["203.0.113.5"], "203.0.113.0/24"),
        (["198.51.100.1, 203.0.113.5"], "203.0.113.0/24"),
        (["198.51.100.1", "203.0.113.5"], "203.0.113.0/24"),
        (["203.0.113.5, "], "192.0.2.0/24"),
        (["rubbish"], "192.0.2.0/24"),
        (["\xff" * 100], "192.0.2.0/24"),
    ],
)
def test_the_last_address_of_the_trusted_header_counts(named: list[str], network: str) -> None:
    assert network_of("192.0.2.1", *named) == network
