"""Structured logs: JSON in production, readable lines on a terminal."""

import logging
import sys

import structlog

from app.config import Settings


def configure_logs(settings: Settings) -> None:
    """Send structlog's and the standard library's records through one renderer to standard error."""
    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
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


def _rendering(settings: Settings) -> list[structlog.types.Processor]:
    if settings.environment == "production":
        return [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    # Never the rich traceback, which shows the local variables: keys among them, and a megabyte of everything else.
    plain = structlog.dev.plain_traceback
    return [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty(), exception_formatter=plain)]
