"""The external client's name resolution and connections, and the time limit of each step."""

from collections.abc import Iterable, Sequence
from typing import Any

import httpcore
import httpx
import pytest

from app.external.client import PUBLIC_ONLY, AddressNotPublic, PublicNetwork, open_external

FIRST, SECOND, FIFTH = "93.184.215.14", "93.184.215.15", "93.184.215.18"
FIVE = [FIRST, SECOND, "93.184.215.16", "93.184.215.17", FIFTH]
ANSWER = [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a=b\r\nX-Two: 1\r\nX-Two: 2\r\n\r\n", b"ok"]
Dead = type[Exception]


class Stream(httpcore.AsyncMockStream):
    """Records what is written, and the time limit of each read and write."""

    def __init__(self, network: "Network") -> None:
        super().__init__(list(network.answer))
        self._network = network

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  (httpcore's)
        self._network.limits.add(("read", timeout))
        return await super().read(max_bytes, timeout)

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  (httpcore's)
        self._network.limits.add(("write", timeout))
        self._network.written += buffer


class Network(httpcore.AsyncNetworkBackend):
    """Accepts connections at every address except `dead`; `attempts` has the arguments of each attempt."""

    def __init__(self, dead: Iterable[str] = (), error: Dead = httpcore.ConnectError) -> None:
        self._dead, self._error = frozenset(dead), error
        self.answer = list(ANSWER)
        self.attempts: list[tuple[Any, ...]] = []
        self.limits: set[tuple[str, float | None]] = set()
        self.written = b""

    async def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        self.attempts.append((host, port, *args, options))
        if host in self._dead:
            raise self._error("refused")
        return Stream(self)


class Resolver:
    """Knows these addresses and records the lookups."""

    def __init__(self, addresses: Sequence[str]) -> None:
        self._addresses = addresses
        self.attempts: list[tuple[str, int]] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.attempts.append((host, port))
        return self._addresses


@pytest.mark.parametrize(
    ("url", "port"), [("http://a.example/", 80), ("https://a.example/", 443), ("http://a.example:81/", 81)]
)
async def test_a_name_is_resolved_and_connected_with_its_port(url: str, port: int) -> None:
    network, resolver = Network(), Resolver([FIRST])
    async with open_external(resolve=resolver, network=network) as client:
        assert (await client.get(url, extensions=dict(PUBLIC_ONLY))).text == "ok"
    assert resolver.attempts == [("a.example", port)]
    assert [attempts[:2] for attempts in network.attempts] == [(FIRST, port)]


@pytest.mark.parametrize("extensions", [{}, PUBLIC_ONLY])
async def test_every_wait_has_a_limit(extensions: dict[str, Any]) -> None:
    network = Network()
    async with open_external(resolve=Resolver([FIRST]), network=network) as client:
        await client.post("http://a.example/", content=b"{}", extensions=dict(extensions))
        assert client.timeout == httpx.Timeout(connect=5.0, read=20.0, write=20.0, pool=20.0)
    assert [attempts[-1]["timeout"] for attempts in network.attempts] == [5.0]
    assert network.limits == {("read", 20.0), ("write", 20.0)}


async def test_a_request_can_set_its_own_limits() -> None:
    network = Network()
    async with open_external(network=network) as client:
        await client.get("http://a.example/", timeout=httpx.Timeout(3.0, connect=1.0))
    assert [attempts[-1]["timeout"] for attempts in network.attempts] == [1.0]
    assert ("read", 3.0) in network.limits


async def test_trusted_hosts_are_connected_by_name() -> None:
    network, resolver = Network(), Resolver(["127.0.0.1"])
    async with open_external(resolve=resolver, network=network) as client:
        await client.get("http://model.internal:8080/v1?x=%2F", headers={"x-own": "1"})
    assert (resolver.attempts, [attempts[:2] for attempts in network.attempts]) == ([], [("model.internal", 8080)])
    head, *lines = network.written.decode().split("\r\n")
    assert head == "GET /v1?x=%2F HTTP/1.1"
    assert {"Host: model.internal:8080", "x-own: 1"} <= set(lines)


async def test_a_response_is_complete_except_for_cookies() -> None:
    network = Network()
    async with open_external(network=network) as client:
        answer = await client.post("http://a.example/", content=b"body")
    assert (answer.status_code, answer.text) == (200, "ok")
    assert answer.headers.multi_items() == [("content-length", "2"), ("x-two", "1"), ("x-two", "2")]
    assert answer.extensions["http_version"] == b"HTTP/1.1"
    assert network.written.endswith(b"\r\n\r\nbody")


@pytest.mark.parametrize("error", [httpcore.ConnectError, httpcore.ConnectTimeout])
async def test_four_addresses_are_tried_in_order(error: Dead) -> None:
    network = Network(dead=FIVE, error=error)
    with pytest.raises(error):
        await PublicNetwork(network, Resolver(FIVE)).connect_tcp("a.example", 443, 5.0, local_address="::")
    assert network.attempts == [(address, 443, 5.0, {"local_address": "::"}) for address in FIVE[:4]]


async def test_no_address_is_tried_after_one_that_accepts() -> None:
    network = Network(dead=[FIRST])
    await PublicNetwork(network, Resolver(FIVE)).connect_tcp("a.example", 443, 5.0)
    assert network.attempts == [(address, 443, 5.0, {}) for address in (FIRST, SECOND)]


async def test_every_address_is_checked_though_only_four_are_tried() -> None:
    network = Network()
    with pytest.raises(AddressNotPublic):
        await PublicNetwork(network, Resolver([*FIVE, "10.0.0.1"])).connect_tcp("a.example", 443)
    assert network.attempts == []


async def test_a_long_name_is_quoted_in_part() -> None:
    host = "x" * 200
    with pytest.raises(AddressNotPublic) as refused:
        await PublicNetwork(Network(), Resolver(["10.0.0.1"])).connect_tcp(host, 443)
    assert (str(refused.value), refused.value.host) == (f"{'x' * 80} is not a public address", "x" * 80)
    with pytest.raises(httpcore.ConnectError) as nowhere:
        await PublicNetwork(Network(), Resolver([])).connect_tcp("a.example", 443)
    assert str(nowhere.value) == "a.example has no address"


async def test_a_resolver_failure_is_reported_with_its_reason() -> None:
    async def broken(_host: str, _port: int) -> Sequence[str]:
        raise OSError("no such host")

    with pytest.raises(httpcore.ConnectError) as failed:
        await PublicNetwork(Network(), broken).connect_tcp("x" * 200, 443)
    assert str(failed.value) == f"{'x' * 80} cannot be resolved: no such host"


@pytest.mark.parametrize("answer", [[b"220 smtp ready\r\n\r\n"], [ANSWER[0]]], ids=["no HTTP", "breaks off"])
async def test_a_broken_response_is_an_httpx_error(answer: list[bytes]) -> None:
    network = Network()
    network.answer = answer
    async with open_external(network=network) as client:
        with pytest.raises(httpx.RemoteProtocolError) as failed:
            await client.get("http://a.example/")
    assert isinstance(failed.value.__cause__, httpcore.RemoteProtocolError)
    assert str(failed.value) == str(failed.value.__cause__) != ""
