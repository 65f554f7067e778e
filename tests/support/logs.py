"""Log lines that a test can read."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import structlog

from app.config import ApiSettings
from app.process.logs import configure_logs


@contextmanager
def restored_logs() -> Iterator[None]:
    """Restore the test run's logging afterwards."""
    root = logging.getLogger()
    before, structlogs = (root.handlers[:], root.level), structlog.get_config()
    try:
        yield
    finally:
        root.handlers[:], root.level = before
        structlog.configure(**structlogs)


@contextmanager
def development_logs(settings: ApiSettings) -> Iterator[None]:
    """Log as a process in development does, and restore the test run's logging afterwards."""
    with restored_logs():
        configure_logs(settings)
        yield


def log_plain_tracebacks() -> None:
    """Write exceptions as Python does.

    structlog's default draws them with all local variables, which takes seconds of CPU time for one exception in a
    request.
    """
    renderer = structlog.dev.ConsoleRenderer(colors=False, exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], renderer])
