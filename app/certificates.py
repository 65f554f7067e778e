"""The certificate authorities that this process trusts, for all its connections."""

import ssl
from functools import cache

import httpx


@cache
def trusted_certificates() -> ssl.SSLContext:
    """Return httpx's certificates. Reading them takes 15 to 50 ms, so all clients of a process share them."""
    return httpx.create_ssl_context()
