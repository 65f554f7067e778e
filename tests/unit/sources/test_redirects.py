"""Which redirects are followed, and to which address."""

from collections.abc import Sequence

import httpx
import pytest

from app.errors import SourceError
from app.sources.redirects import RedirectPolicy, Target

FEED = Target(httpx.URL("https://feed.example/rss"))


def policy(*addresses: str) -> RedirectPolicy:
    async def resolve(_host: str, _port: int) -> Sequence[str]:
        if not addresses:
            raise OSError("no such host")
        return addresses

    return RedirectPolicy(resolve=resolve)


async def test_another_public_host_is_reached_at_the_address_that_was_checked() -> None:
    target = await policy("93.184.216.34").next(FEED, "https://other.example:8443/a?b=1")
    assert str(target.address) == "https://93.184.216.34:8443/a?b=1"
    assert target.headers == {"Host": "other.example:8443"}
    assert target.extensions == {"sni_hostname": "other.example"}
    assert str(target.url) == "https://other.example:8443/a?b=1"


async def test_an_ipv6_address_is_written_in_brackets() -> None:
    target = await policy("2606:2800:220:1::1").next(FEED, "https://other.example/")
    assert str(target.address) == "https://[2606:2800:220:1::1]/"


async def test_a_pinned_host_stays_pinned_through_its_own_redirects() -> None:
    resolver = policy("93.184.216.34")
    target = await resolver.next(await resolver.next(FEED, "https://other.example/"), "/next")
    assert str(target.address) == "https://93.184.216.34/next"


async def test_the_trusted_host_may_move_to_https() -> None:
    target = await policy().next(Target(httpx.URL("http://intranet/rss")), "https://intranet/rss")
    assert target.pinned is None


async def test_another_port_of_the_trusted_host_is_another_place() -> None:
    with pytest.raises(SourceError, match="not a public address"):
        await policy("10.0.0.1").next(Target(httpx.URL("http://intranet/rss")), "http://intranet:5432/")


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "192.168.0.1", "169.254.169.254", "100.64.0.1", "0.0.0.1", "224.0.0.1",
        "::1", "::", "fe80::1%eth0", "fc00::1", "::ffff:127.0.0.1", "2002:7f00:1::", "ff02::1",
    ],
)  # fmt: skip
async def test_no_private_address_is_reached(address: str) -> None:
    for addresses in [(address,), ("93.184.216.34", address)]:
        with pytest.raises(SourceError, match="not a public address"):
            await policy(*addresses).next(FEED, "https://other.example/")


async def test_an_unknown_host_is_an_error_of_the_source() -> None:
    with pytest.raises(SourceError, match=r"other\.example, which cannot be resolved"):
        await policy().next(FEED, "https://other.example/")
