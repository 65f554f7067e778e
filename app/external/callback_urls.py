"""The rule for callback URLs, which both the API and the worker apply."""

import ipaddress
import re

import httpx
from pydantic import HttpUrl, TypeAdapter, ValidationError

from app.external.addresses import is_public

MAX_HOST = 253
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_HTTP_URL = TypeAdapter(HttpUrl)


def checked_callback_url(url: str, *, private: bool) -> httpx.URL:
    """Parse `url` as the sender does. Raises `ValueError`, with the reason, for URLs that it never calls.

    `private` allows http and private addresses (for development). The address of a host *name* is checked only when
    the callback is sent.
    """
    parsed, host = _parsed(url)
    if parsed.scheme != "https" and not (private and parsed.scheme == "http"):
        raise ValueError("it is not https; CALLBACKS_TO_PRIVATE_ADDRESSES allows http")
    if parsed.userinfo:
        raise ValueError("it contains a user name or password")
    if parsed.port == 0:
        raise ValueError("port 0 cannot be used")
    if not private and not _may_be_public(host):
        raise ValueError("its host is not public; CALLBACKS_TO_PRIVATE_ADDRESSES allows that")
    return parsed


def _parsed(url: str) -> tuple[httpx.URL, str]:
    """Return the URL and its host in ASCII. Refuses URLs whose host other parsers read differently."""
    try:
        parsed = httpx.URL(url)
        host = parsed.raw_host.decode("ascii").lower()
        other = _HTTP_URL.validate_python(url).host
    except (httpx.InvalidURL, ValidationError, UnicodeError):
        raise ValueError("it is not a valid URL such as https://host/path") from None
    if _address(host) != _address((other or "").strip("[]")):
        raise ValueError("its host can be read in two ways")
    if not isinstance(_address(host), IPAddress) and not _is_name(host):
        raise ValueError("its host is not a valid host name")
    return parsed, host


def _is_name(host: str) -> bool:
    return len(host) <= MAX_HOST and all(map(_LABEL.fullmatch, host.removesuffix(".").split(".")))


def _address(host: str) -> IPAddress | str:
    """Return `host` as an IP address if it is one, else unchanged."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return host


def _may_be_public(host: str) -> bool:
    if isinstance(_address(host), IPAddress):
        return is_public(host)
    return host.removesuffix(".").rpartition(".")[2] != "localhost"
