"""Which redirects are followed, and which only to public addresses."""

import httpx
import pytest

from app.errors import SourceError
from app.external.client import PUBLIC_ONLY
from app.sources.redirects import Target

FEED = Target(httpx.URL("https://feed.example/rss"))


def followed(target: Target, *locations: str, private: bool = False) -> Target:
    for location in locations:
        target = target.redirected(location, private=private)
    return target


def test_the_configured_host_is_trusted() -> None:
    assert FEED.extensions == {}


@pytest.mark.parametrize(
    ("locations", "url"),
    [
        (["https://other.example:8443/a?b=1"], "https://other.example:8443/a?b=1"),
        (["https://other.example/", "/next"], "https://other.example/next"),
        # After a redirect to an untrusted host nothing is trusted, also not the way back.
        (["https://other.example/", "https://feed.example/rss"], "https://feed.example/rss"),
        (["https://feed.example:8443/"], "https://feed.example:8443/"),
    ],
)
def test_another_host_must_be_public(locations: list[str], url: str) -> None:
    target = followed(FEED, *locations)
    assert (str(target.url), target.extensions) == (url, PUBLIC_ONLY)


def test_the_trusted_host_may_redirect_to_https() -> None:
    assert followed(Target(httpx.URL("http://intranet/rss")), "https://intranet/rss", "/new").trusted


def test_with_private_redirects_every_host_is_trusted() -> None:
    assert followed(FEED, "http://intranet/", private=True).trusted


@pytest.mark.parametrize("location", ["https://other.example/" + "../" * 1_000_000, "x" * 5_000_000])
def test_a_location_is_shortened_before_it_is_parsed(location: str) -> None:
    with pytest.raises(SourceError, match="more than 4000 characters"):
        followed(FEED, location)


def test_an_unfetchable_url_is_named_without_its_query() -> None:
    with pytest.raises(SourceError) as refused:
        followed(FEED, "ftp://other.example/x?token=s3cret")
    assert "other.example" in str(refused.value)
    assert "s3cret" not in str(refused.value)
