"""Opens listening ports before start-up, and serves the private port, which must not be routed to callers."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from app.errors import ConfigurationError

CLOSE_WITHIN = 2.0
"""Seconds for open scrapes to finish when the process stops."""

log = structlog.get_logger(__name__)


def open_listener(host: str, port: int, setting: str) -> socket.socket:
    """Open a listening socket. Raises `ConfigurationError`, which names `setting`, if that fails."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(
            f"{setting} is {port}: cannot listen on {host}: {error.strerror}. "
            "Stop the process that uses the port, or set another port."
        ) from None


def url_of(listener: socket.socket) -> str:
    """Return a listener's URL."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def serve_private_port(application: web.Application, listener: socket.socket) -> AsyncIterator[None]:
    """Serve `application` while the context is open. It needs no key, so do not route the port to callers."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSE_WITHIN)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        log.info(f"health and metrics on {url_of(listener)}")
        yield
    finally:
        await runner.cleanup()
