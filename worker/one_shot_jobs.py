"""What one run of the worker does before and after its tasks. None of it fails the run: a later one can do it too."""

import asyncio
from collections.abc import Awaitable
from random import Random
from typing import Final

import structlog

from app.config import WorkerSettings
from app.errors import CircuitOpen, SourceBusy, SourceError, SupabaseError
from app.services import Services
from worker.periodic.erasures import Erasures
from worker.periodic.library_syncs import LibrarySyncer
from worker.periodic.paper_vectors import PaperVectors
from worker.wiring import Components, build_look_ups, build_retention

log = structlog.get_logger(__name__)

JOB_TIMEOUT: Final = 30.0
"""Seconds for each job."""
LIBRARIES_TIMEOUT: Final = 300.0
"""Seconds for the syncs of libraries: the first one of a large library takes minutes. The next run continues it."""


async def look_up_papers(services: Services, components: Components, random: Random, stop: asyncio.Event) -> None:
    """Do what affects the ranking of this run's digests: sync libraries, look up papers, and update their vectors.

    If `stop` is set, the rest is left to the next run.
    """
    look_ups = build_look_ups(services, components, random)
    libraries = LibrarySyncer(components.library_sync, random=random).run_once()
    await _attempt("library syncs", libraries, stop, seconds=LIBRARIES_TIMEOUT)
    await _attempt("look-ups", look_ups.run_once(), stop)
    await _attempt("look-ups of DOIs", look_ups.run_once_for_dois(), stop)
    await _attempt("vectors", PaperVectors(services.reader_papers, random=random).run_once(), stop)


async def remove_old_rows(services: Services, settings: WorkerSettings, random: Random, stop: asyncio.Event) -> None:
    """Delete the data of deleted readers, and rows that are older than their retention.

    If `stop` is set, the rest is left to the next run.
    """
    await _attempt("erasures", Erasures(services.own_data, random=random).run_once(), stop)
    await _attempt("retention", build_retention(services, settings, random).run_once(), stop)


async def _attempt(name: str, job: Awaitable[None], stop: asyncio.Event, *, seconds: float = JOB_TIMEOUT) -> None:
    """Do a job until `stop` is set or the time is over, and log what prevents it."""
    limit = asyncio.timeout(seconds)
    watch = asyncio.create_task(_end_at(stop, limit), name=f"end of {name}")
    try:
        async with limit:
            await job
    except (SourceError, SourceBusy, CircuitOpen, SupabaseError, TimeoutError) as error:
        reason = "the run is stopped" if stop.is_set() else str(error) or type(error).__name__
        log.warning("job postponed to the next run", job=name, error=reason)
    finally:
        watch.cancel()


async def _end_at(stop: asyncio.Event, limit: asyncio.Timeout) -> None:
    """End the block of `limit` when `stop` is set."""
    await stop.wait()
    limit.reschedule(asyncio.get_running_loop().time())
