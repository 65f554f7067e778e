"""Fixtures of the mail tests: an SMTP server on loopback and TLS certificates."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable

import pytest
import trustme
import uvloop

from tests.support.smtp_server import Certificates, Postbox


def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
    """The worker runs on uvloop, other tests on asyncio's loop: sending must behave the same on both."""
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def certificates() -> Certificates:
    authority, stranger = trustme.CA(), trustme.CA()
    trusted = ssl.create_default_context()
    authority.configure_trust(trusted)
    contexts = []
    for issuer in (authority, stranger):
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        issuer.issue_cert("127.0.0.1").configure_cert(context)
        contexts.append(context)
    return Certificates(trusted, *contexts)


@pytest.fixture
async def postbox() -> AsyncIterator[Postbox]:
    async with Postbox().serve() as box:
        yield box
