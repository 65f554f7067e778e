"""Ports that a process listens on: bound before anything starts, and the one that no platform routes to callers."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from aiohttp import web

from app.errors import ConfigurationError

CLOSE_WITHIN = 2.0
"""Seconds that a scrape may take to finish when the process stops."""

log = structlog.get_logger(__name__)


def open_listener(host: str, port: int, setting: str) -> socket.socket:
    """A socket that listens. Raises `ConfigurationError`, naming `setting`, when the port or address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        raise ConfigurationError(
            f"{setting} is {port}: cannot open_listener on {host}: {error.strerror}. "
            "SkipDelivery what listens there, or set another port."
        ) from None


def url_of(listener: socket.socket) -> str:
    """The address that a listener answers at."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@asynccontextmanager
async def private_http(application: web.Application, listener: socket.socket) -> AsyncIterator[None]:
    """Serve `application` while the context is open; it asks for no key, so the port must not be routed to callers."""
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=CLOSE_WITHIN)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        log.info(f"health and metrics on {url_of(listener)}")
        yield
    finally:
        await runner.cleanup()
