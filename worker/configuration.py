"""Lists a worker's missing settings and their consequences, for the log at start, for operators, and for `/healthz`."""

import asyncio
from collections.abc import Sequence
from uuid import UUID

import structlog

from app.config import WorkerSettings
from app.errors import SupabaseError
from app.persistence.worker_configuration import WorkerConfiguration

log = structlog.get_logger(__name__)

RETRY_AFTER = 60.0
"""Seconds until a failed report is sent again."""


def not_configured(settings: WorkerSettings) -> dict[str, str]:
    """Return this worker's missing settings, each with its consequence."""
    effects = {
        "MAIL_URL": (settings.mail_url is None, "this worker sends no mails"),
        "WEBHOOK_SECRET": (not settings.webhook_secret, "this worker sends no callbacks"),
        "DAILY_FETCH_AT": (not settings.daily_fetch_at.times, "this worker starts no daily fetch"),
    }
    return {name: effect for name, (missing, effect) in effects.items() if missing}


def log_not_configured(missing: dict[str, str]) -> None:
    """Log the missing settings at start: a forgotten one causes no error, only tasks that wait."""
    for name, effect in missing.items():
        log.warning("not configured", setting=name, effect=effect)


async def report_configuration(
    configuration: WorkerConfiguration, worker_id: UUID, missing: dict[str, str], services: Sequence[str]
) -> None:
    """Report the missing settings and the services to the database; retry until it succeeds."""
    while True:
        try:
            await configuration.report(worker_id, missing, services)
        except SupabaseError as error:
            log.warning("configuration not reported yet", error=str(error))
            await asyncio.sleep(RETRY_AFTER)
        else:
            return
