"""The worker's program: works until a signal, or once with `--once`."""

import asyncio
import sys
from collections.abc import Coroutine, Sequence
from datetime import UTC, datetime
from functools import partial
from random import Random

import structlog
import uvloop

from app.conditions.monitor import ConditionMonitor
from app.config import WorkerSettings, load_settings
from app.errors import ConfigurationError, SchemaOutdated, SupabaseError, SupabaseUnavailable
from app.installation.versions import project_version, require_locked_versions
from app.persistence.schema import Schema
from app.process.logs import configure_logs
from app.services import Services
from app.tracing.export import exporting
from worker.configuration import report_configuration
from worker.forced_exit import run_and_stop_tasks
from worker.one_shot import run_one_shot
from worker.opening import open_worker, run_supervised, stop_on_signals
from worker.options import OneShotOptions, parse_options
from worker.periodic.daily_fetch import DailyFetch
from worker.periodic.erasures import Erasures
from worker.periodic.library_syncs import LibrarySyncer
from worker.periodic.paper_vectors import PaperVectors
from worker.periodic.schedule import DueReaderEnqueuer
from worker.run_summary import RunSummary
from worker.supervisor import PeriodicJobFailed
from worker.wiring import Components, build_look_ups, build_retention

log = structlog.get_logger(__name__)

SCHEMA_CHECK_SECONDS = 5.0
"""The timeout of the first schema check, and the pause before the next one."""


async def run_worker(settings: WorkerSettings) -> None:
    """Work until SIGTERM or Ctrl-C, then for the grace period. A second signal ends it at once.

    Raises `ConfigurationError` and `SchemaOutdated` if it cannot start, and `PeriodicJobFailed`, after a stop as on
    SIGTERM, or at once if the claim loop itself has stopped.
    """
    random, stop = Random(), asyncio.Event()  # noqa: S311  (jitter)
    stop_on_signals(stop)
    async with open_worker(settings, random) as opened:
        services, worker = opened.services, opened.worker
        # After the port is opened: a port in use is reported at once, even while Supabase is unavailable.
        checked = await _schema_checked(services.schema)
        periodic_jobs = _periodic_jobs(services, opened.components, settings, random) | opened.own_jobs()
        periodic_jobs["configuration"] = report_configuration(
            services.worker_configuration, opened.worker_id, opened.missing, opened.components.services
        )
        periodic_jobs["conditions"] = ConditionMonitor(
            services.health, services.condition_states, opened.components.operator_callbacks, random=random
        ).run()
        if not checked:
            periodic_jobs["schema check"] = _wait_for_schema(services.schema)
        opened.log_start()
        await run_supervised(worker, periodic_jobs, stop)
    log.info("worker stopped")


async def _schema_checked(schema: Schema) -> bool:
    """Check the schema. Return False if Supabase is unavailable. Raises `SchemaOutdated`."""
    try:
        async with asyncio.timeout(SCHEMA_CHECK_SECONDS):
            await schema.require()
    except (SupabaseUnavailable, TimeoutError) as error:
        log.warning("schema not checked yet", error=str(error))
        return False
    return True


async def _wait_for_schema(schema: Schema) -> None:
    """Check the schema until Supabase responds. Raises `SchemaOutdated`."""
    checked = False
    while not checked:
        await asyncio.sleep(SCHEMA_CHECK_SECONDS)
        checked = await _schema_checked(schema)


def main(arguments: Sequence[str] = ()) -> int:
    """Run the worker until SIGTERM, or once with `--once`. Return the exit status: 1 if it cannot start or fails.

    The reason of a failed start is printed on stderr.
    """
    options = parse_options(arguments)
    try:
        require_locked_versions()
        settings = load_settings(WorkerSettings)
        with exporting("broadsheet-worker", project_version()):
            configure_logs(settings)
            if options is not None:
                return _run_once(settings, options)
            uvloop.run(run_and_stop_tasks(partial(run_worker, settings)))
    except (ConfigurationError, SchemaOutdated, PeriodicJobFailed) as error:
        print(error, file=sys.stderr)
        return 1
    except (KeyboardInterrupt, asyncio.CancelledError):
        log.warning("stopped at once, leases will expire")
    except Exception:
        log.exception("worker failed")
        return 1
    return 0


def _run_once(settings: WorkerSettings, options: OneShotOptions) -> int:
    """Run once and print the summary. Return 0, or 1 if something failed or the run was interrupted."""
    summaries: list[RunSummary] = []

    async def run() -> None:
        summaries.append(await run_one_shot(settings, options))

    try:
        uvloop.run(run_and_stop_tasks(run))
    except SupabaseError as error:
        print(f"Stopped: {error}", file=sys.stderr)
    except (KeyboardInterrupt, asyncio.CancelledError):
        log.warning("stopped at once, leases will expire")
    for summary in summaries:
        print("\n".join(summary.lines()))
    return summaries[0].status if summaries else 1


def _periodic_jobs(
    services: Services, components: Components, settings: WorkerSettings, random: Random
) -> dict[str, Coroutine[None, None, None]]:
    """Return the periodic jobs by the names that logs use."""
    periodic_jobs = {
        "retention": build_retention(services, settings, random).run(),
        "schedule": DueReaderEnqueuer(services.schedule, random=random).run(),
        "erasures": Erasures(services.own_data, random=random).run(),
        "look-ups": build_look_ups(services, components, random).run(),
        "library syncs": LibrarySyncer(components.library_sync, random=random).run(),
        "vectors": PaperVectors(services.reader_papers, random=random).run(),
    }
    if settings.daily_fetch_at.times:
        clock = partial(datetime.now, UTC)
        daily = DailyFetch(services.tasks, settings.daily_fetch_at, now=clock, sleep=asyncio.sleep)
        periodic_jobs["daily fetch"] = daily.run()
    return periodic_jobs
