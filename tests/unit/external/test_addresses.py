"""Which addresses are public, by IANA's registries of special addresses."""

import asyncio
import socket

import pytest

from app.external.addresses import is_public, resolve

PUBLIC = [
    "93.184.215.14", "1.1.1.1", "2606:2800:21f:cb07::1", "2a00:1450:4001::1", "64:ff9b::93.184.215.14",
    "::ffff:93.184.215.14",
]  # fmt: skip
NOT_PUBLIC = [
    "0.0.0.1", "0.1.2.3", "10.1.2.3", "100.64.0.1", "127.0.0.1", "127.255.0.1", "169.254.169.254", "172.16.0.1",
    "192.0.0.1", "192.0.0.170", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1", "198.51.100.7", "203.0.113.9",
    "224.0.0.1", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::93.184.215.14", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:10.0.0.1",
    "64:ff9b::127.0.0.1", "64:ff9b::10.0.0.1", "64:ff9b::a9fe:a9fe", "64:ff9b:1::1", "64:ff9b:1::93.184.215.14",
    "100::1", "100:0:0:1::1", "2001::1", "2001:0:53aa:64c:0:0:0:1", "2001:2::1", "2001:10::1", "2001:20::1",
    "2001:db8::1", "2002:7f00:1::", "2002:a00:1::1", "3fff::1", "5f00::1", "fc00::1", "fdaa::3", "fe80::1%eth0",
    "fec0::1", "feff::1", "ff02::1", "ff0e::1", "4000::1",
]  # fmt: skip


@pytest.mark.parametrize(("address", "public"), [*((a, True) for a in PUBLIC), *((a, False) for a in NOT_PUBLIC)])
def test_public_addresses(address: str, public: bool) -> None:
    assert is_public(address) is public


@pytest.mark.parametrize("host", ["x" * 64 + ".example", "a\0b", "\u00e4" * 70, "." * 300])
async def test_a_name_that_cannot_be_encoded_is_not_resolved(host: str) -> None:
    with pytest.raises(OSError):  # noqa: PT011  (the promise is the type)
        await resolve(host, 443)


async def test_unusual_spellings_of_addresses_are_recognized() -> None:
    for host in ("2130706433", "0x7f.1", "127.1"):
        assert set(await resolve(host, 443)) == {"127.0.0.1"}


async def test_one_lookup_serves_all_addresses_of_a_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[tuple[tuple[object, ...], dict[str, object]]] = []
    found = [(2, 1, 6, "", ("93.184.215.14", 443)), (10, 1, 6, "", ("fe80::1%eth0", 443, 0, 2))]

    async def getaddrinfo(*arguments: object, **options: object) -> list[tuple[object, ...]]:
        calls.append((arguments, options))
        return list(found)

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    assert await resolve("a.example", 443) == ["93.184.215.14", "fe80::1%eth0"]
    assert calls == [(("a.example", 443), {"type": socket.SOCK_STREAM})]


async def test_a_name_that_cannot_be_encoded_is_quoted_in_part() -> None:
    with pytest.raises(OSError) as refused:  # noqa: PT011  (the text is looked at below)
        await resolve("x" * 100 + ".example", 443)
    assert str(refused.value).startswith(f"'{'x' * 80}' is not a valid host name: ")
