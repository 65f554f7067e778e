"""The external client with real TLS servers that share an address: certificates, cookies, addresses."""

import asyncio
import ssl
import tracemalloc
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpcore
import httpx
import pytest
import trustme

from app.external.client import MAX_RESPONSE, PUBLIC_ONLY, AddressNotPublic, ExternalClient, open_external
from tests.support.fixture_types import Serve
from tests.support.scripted_server import answer, compressed

ADDRESS = "93.184.215.14"
"""Public, and used only by `Network`."""


class Network(httpcore.AsyncNetworkBackend):
    """The real network, except that public addresses lead to this machine's `port`; addresses in `dead` refuse."""

    def __init__(self, port: int, dead: Iterable[str] = ()) -> None:
        self._inner = httpcore.AnyIOBackend()
        self._port = port
        self._dead = frozenset(dead)
        self.lookups: list[str] = []

    async def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> httpcore.AsyncNetworkStream:
        assert port == 443
        self.lookups.append(host)
        if host in self._dead:
            raise httpcore.ConnectError("refused")
        return await self._inner.connect_tcp("127.0.0.1", self._port, *args, **options)


class TlsServer:
    """Returns 200 to every request, with the certificate of the requested name or else the first."""

    def __init__(self, authority: trustme.CA, *names: str) -> None:
        self._contexts = {name: _context(authority, name) for name in names}
        self._first = self._contexts[names[0]]
        self.connections = 0
        self.hosts: list[str] = []
        self.port = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["TlsServer"]:
        self._first.sni_callback = self._chosen
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, ssl=self._first)
        self.port = server.sockets[0].getsockname()[1]
        yield self
        server.close()

    def _chosen(self, connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        connection.context = self._contexts.get(name or "", self._first)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                self.hosts += [line.partition(": ")[2] for line in head.splitlines() if line.startswith("host:")]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: seen=1\r\n\r\nok")
                await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            writer.close()


def _context(authority: trustme.CA, name: str) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(name).configure_cert(context)
    return context


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture
def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


async def always(_host: str, _port: int) -> Sequence[str]:
    return [ADDRESS]


@asynccontextmanager
async def outside(server: TlsServer, trusting: ssl.SSLContext) -> AsyncIterator[ExternalClient]:
    async with open_external(resolve=always, network=Network(server.port), certificates=trusting) as client:
        yield client


async def post(client: httpx.AsyncClient, url: str) -> str:
    return (await client.post(url, content=b"{}", extensions=dict(PUBLIC_ONLY))).text


async def test_each_name_on_an_address_needs_its_own_certificate(
    authority: trustme.CA, trusting: ssl.SSLContext
) -> None:
    async with TlsServer(authority, "a.example").running() as server, outside(server, trusting) as client:
        assert await post(client, "https://a.example/hook") == "ok"
        with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
            await post(client, "https://b.example/hook")
        assert server.hosts == ["a.example"], "the second receiver's message went to the first"
        assert await post(client, "https://a.example/hook") == "ok"
        assert server.connections == 1, "the connection of the first is no longer used"


async def test_each_name_on_an_address_has_its_own_connection(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    async with TlsServer(authority, "a.example", "b.example").running() as server, outside(server, trusting) as client:
        for name in ("a.example", "b.example", "a.example", "b.example"):
            assert await post(client, f"https://{name}/") == "ok"
        assert server.hosts == ["a.example", "b.example", "a.example", "b.example"]
        assert server.connections == 2


async def test_untrusted_and_trusted_hosts_share_no_connection(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    async with TlsServer(authority, "a.example").running() as server, outside(server, trusting) as client:
        await client.get("https://a.example/")
        await post(client, "https://a.example/")
        assert server.connections == 2


async def test_no_cookie_is_sent_back(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    async with TlsServer(authority, "a.example").running() as server, outside(server, trusting) as client:
        for _ in range(2):
            answered = await client.get("https://a.example/")
            assert "set-cookie" not in answered.headers
            assert "cookie" not in answered.request.headers
        assert not client.cookies


async def test_receivers_on_one_address_share_no_cookies(serve: Serve) -> None:
    one = await serve(answer(204, "", headers=f"Set-Cookie: big={'x' * 48_000}; Path=/\r\n"))
    other = await serve(answer(204, ""))
    async with open_external() as client:
        for server in (one, one, other):
            await client.post(f"{server.url}/hook")
    assert not any("cookie" in head.lower() for head in (*one.heads, *other.heads))


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
async def test_no_compressed_response_is_inflated(serve: Serve, coding: str) -> None:
    bomb = compressed(200, " " * 50_000_000, coding)
    server = await serve(bomb, bomb)
    async with open_external() as client:
        tracemalloc.start()
        with pytest.raises(httpx.RemoteProtocolError, match="does not accept"):
            await client.get(server.url)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        async with client.stream("GET", server.url, headers={"Accept-Encoding": coding}) as answered:
            assert answered.headers["content-encoding"] == coding
    assert peak < 5_000_000
    assert "accept-encoding: identity\r\n" in server.heads[0].lower()


async def test_an_endless_response_ends_at_the_limit(serve: Serve) -> None:
    server = await serve(answer(200, "x" * (MAX_RESPONSE + 1)), answer(200, "x" * MAX_RESPONSE))
    async with open_external() as client:
        with pytest.raises(httpx.ReadError, match="more than 32,000,000 bytes"):
            await client.get(server.url)
        assert len((await client.get(server.url)).content) == MAX_RESPONSE


@pytest.mark.parametrize(
    "found", [["127.0.0.1"], ["10.0.0.5"], [ADDRESS, "169.254.169.254"], ["::1"], ["64:ff9b::7f00:1"], ["fec0::1"]]
)
async def test_private_addresses_are_refused_before_anything_is_sent(found: list[str]) -> None:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        return found

    network = Network(9)
    async with open_external(resolve=resolve, network=network) as client:
        with pytest.raises(AddressNotPublic, match=r"receiver\.example is not a public address"):
            await post(client, "https://receiver.example/hook?token=1")
    assert network.lookups == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "2130706433", "0x7f.1", "localhost"])
async def test_an_address_literal_is_checked_too(serve: Serve, host: str) -> None:
    server = await serve(answer(204, ""))
    async with open_external() as client:
        with pytest.raises(AddressNotPublic):
            await post(client, f"http://{host}:{server.url.rpartition(':')[2]}/")
    assert server.connections == 0


async def test_dns_rebinding_gains_nothing(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    answers = iter([[ADDRESS], ["127.0.0.1"]])

    async def rebinding(_host: str, _port: int) -> Sequence[str]:
        return next(answers)

    async with TlsServer(authority, "a.example").running() as server:
        network = Network(server.port)
        async with open_external(resolve=rebinding, network=network, certificates=trusting) as client:
            assert await post(client, "https://a.example/") == "ok"
            assert await post(client, "https://a.example/") == "ok"
    assert network.lookups == [ADDRESS], "the address was looked up again between the check and the connection"


async def test_the_next_address_is_tried_after_a_refusal(authority: trustme.CA, trusting: ssl.SSLContext) -> None:
    async def two(_host: str, _port: int) -> Sequence[str]:
        return ["2606:2800:21f:cb07::1", ADDRESS]

    async with TlsServer(authority, "a.example").running() as server:
        network = Network(server.port, dead=["2606:2800:21f:cb07::1"])
        async with open_external(resolve=two, network=network, certificates=trusting) as client:
            assert await post(client, "https://a.example/") == "ok"
    assert network.lookups == ["2606:2800:21f:cb07::1", ADDRESS]


async def test_a_name_without_an_address_is_a_connection_error() -> None:
    async def nobody(_host: str, _port: int) -> Sequence[str]:
        raise OSError("no such host")

    async with open_external(resolve=nobody) as client:
        with pytest.raises(httpx.ConnectError, match=r"a\.example cannot be resolved"):
            await post(client, "https://a.example/")
