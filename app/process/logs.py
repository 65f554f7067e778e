"""Structured logs: JSON in production, readable lines on a terminal."""

import logging
import sys
from collections.abc import Callable, Mapping, MutableMapping
from contextvars import ContextVar
from typing import Any

import structlog

from app.config import Settings
from app.tracing.current import active_spans

_describe: ContextVar[Callable[[], Mapping[str, Any]] | None] = ContextVar("log_context", default=None)


def bind_log_context(describe: Callable[[], Mapping[str, Any]]) -> None:
    """Add the result of `describe` to every log line of this coroutine and of the tasks it starts.

    `describe` runs only when a line is logged. structlog's own way sets a context variable for each value at once,
    which costs five times as much for a task that logs nothing.
    """
    _describe.set(describe)


def _merge_log_context(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    describe = _describe.get()
    return event if describe is None else {**describe(), **event}


def configure_logs(settings: Settings) -> None:
    """Send structlog's and the standard library's records through one renderer to standard error."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        _merge_log_context,
        *_trace_ids(),
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
    # A line per request would be too much, and openai's debug lines contain the prompt with the reader's interests.
    for library in ("httpx", "httpcore", "openai"):
        logging.getLogger(library).setLevel(max(logging.WARNING, logging.getLevelName(settings.log_level)))


def _trace_ids() -> list[structlog.types.Processor]:
    """Return what adds the ids of the current span to a line; nothing in a process without traces."""
    if active_spans() is None:
        return []
    from app.tracing.spans import log_fields  # noqa: PLC0415  (only with traces)

    return [lambda _logger, _method, event: {**log_fields(), **event}]


def _rendering(settings: Settings) -> list[structlog.types.Processor]:
    if settings.environment == "production":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # Never the rich traceback, which prints local variables: they may contain keys, and are up to a megabyte.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
