"""Structured logs: JSON in production, readable lines on a terminal."""

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any

import structlog

from app.config import Settings

_about: ContextVar[Callable[[], Mapping[str, Any]] | None] = ContextVar("about", default=None)


def bind_log_context(describe: Callable[[], Mapping[str, Any]]) -> None:
    """From here on, in this coroutine and what it starts, every line carries what `describe` says when it is written.

    structlog's own way puts each value into a context variable at once: five times as dear for whoever logs nothing.
    """
    _about.set(describe)


def _merge_about(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    describe = _about.get()
    return event if describe is None else {**describe(), **event}


def configure_logs(settings: Settings) -> None:
    """Send structlog's and the standard library's records through one renderer to standard error."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        _merge_about,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_rendering(settings)],
        )
    )
    logging.basicConfig(handlers=[handler], level=settings.log_level, force=True)
    # One line per request to Supabase would drown everything else.
    logging.getLogger("httpx").setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))
    # They log whatever strangers sent them; whoever called them says what was wrong with it.
    for reader in ("bibtexparser", "pylatexenc"):
        logging.getLogger(reader).setLevel(logging.CRITICAL + 1)


def _rendering(settings: Settings) -> list[structlog.types.Processor]:
    if settings.environment == "production":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # Never the rich traceback, which shows the local variables: keys among them, and a megabyte of everything else.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
