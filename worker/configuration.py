"""Says which settings a worker lacks and what does not work without them: at its start, to operators, in its health."""

import asyncio
from uuid import UUID

import structlog

from app.config import WorkerSettings
from app.errors import SupabaseError
from app.persistence.worker_configuration import WorkerConfiguration

log = structlog.get_logger(__name__)

RETRY_AFTER = 60.0
"""Seconds until a report is sent again that was not recorded."""


def not_configured(settings: WorkerSettings) -> dict[str, str]:
    """The settings that this worker lacks, each with what does not work without it."""
    lacking = {
        "MAIL_URL": (settings.mail_url is None, "this worker sends no mails"),
        "WEBHOOK_SECRET": (not settings.webhook_secret, "this worker sends no callbacks"),
        "DAILY_FETCH_AT": (not settings.daily_fetch_at.times, "this worker fetches no day by itself"),
    }
    return {name: effect for name, (is_lacking, effect) in lacking.items() if is_lacking}


def log_not_configured(lacking: dict[str, str]) -> None:
    """Say it at the start: a setting that was forgotten stops nothing, and would show only as work that waits."""
    for name, effect in lacking.items():
        log.warning("not configured", setting=name, effect=effect)


async def report_configuration(configuration: WorkerConfiguration, worker_id: UUID, lacking: dict[str, str]) -> None:
    """Tell the database, again until it is recorded."""
    while True:
        try:
            await configuration.report(worker_id, lacking)
        except SupabaseError as error:
            log.warning("configuration not reported yet", error=str(error))
            await asyncio.sleep(RETRY_AFTER)
        else:
            return
