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
