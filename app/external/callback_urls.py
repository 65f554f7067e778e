"""Which address a callback may have: one rule for the API, which takes it, and for the worker, which calls it."""

import ipaddress
import re

import httpx
from pydantic import HttpUrl, TypeAdapter, ValidationError

from app.external.addresses import is_public

MAX_HOST = 253
IPAddress = ipaddress.IPv4Address | ipaddress.IPv6Address
_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
_BROWSERS = TypeAdapter(HttpUrl)


def checked_callback_url(url: str, *, private: bool) -> httpx.URL:
    """`url` as the sender reads it; raises `ValueError`, with the reason, for what it could never call.

    With `private`, http and private addresses are allowed: for development. What a *name* resolves to is only known,
    and looked at, when it is called.
    """
    parsed, host = _parsed(url)
    if parsed.scheme != "https" and not (private and parsed.scheme == "http"):
        raise ValueError("it is not https; CALLBACKS_TO_PRIVATE_ADDRESSES allows http")
    if parsed.userinfo:
        raise ValueError("it has a user name or a password in it")
    if parsed.port == 0:
        raise ValueError("nothing listens on port 0")
    if not private and not _may_be_public(host):
        raise ValueError("it is not public; CALLBACKS_TO_PRIVATE_ADDRESSES allows that")
    return parsed


def _parsed(url: str) -> tuple[httpx.URL, str]:
    """The address, and its host in ASCII. What others would read as another host is refused, whoever is right."""
    try:
        parsed = httpx.URL(url)
        host = parsed.raw_host.decode("ascii").lower()
        elsewhere = _BROWSERS.validate_python(url).host
    except (httpx.InvalidURL, ValidationError, UnicodeError):
        raise ValueError("it is no address that can be called: https://host/path, of printable characters") from None
    if _address(host) != _address((elsewhere or "").strip("[]")):
        raise ValueError("its host can be read in more than one way")
    if not isinstance(_address(host), IPAddress) and not _is_name(host):
        raise ValueError("its host is no name that can be looked up")
    return parsed, host


def _is_name(host: str) -> bool:
    return len(host) <= MAX_HOST and all(map(_LABEL.fullmatch, host.removesuffix(".").split(".")))


def _address(host: str) -> IPAddress | str:
    """The IP address that `host` writes, or the name that it is."""
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return host


def _may_be_public(host: str) -> bool:
    if isinstance(_address(host), IPAddress):
        return is_public(host)
    return host.removesuffix(".").rpartition(".")[2] != "localhost"
