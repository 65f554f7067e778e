"""One run of the worker: fetches, writes and sends what is due before the next run, and ends (`--once`).

It is the worker that runs permanently, with three differences: digests that are due until the next run are due now,
digests wait for sources until a deadline of the run, and the run ends when nothing is left that it can do.
"""

import asyncio
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Final

import structlog

from app.config import WorkerSettings
from app.errors import SupabaseError
from app.models.tasks import TaskKind, TaskStatus
from app.persistence.maintenance import Maintenance
from app.persistence.readers import ReaderStatus
from app.services import Services
from worker.file_libraries import FileLibraries
from worker.one_shot_jobs import look_up_papers, remove_old_rows
from worker.opening import open_worker, run_supervised, stop_on_signals
from worker.options import OneShotOptions
from worker.periodic.daily_fetch import enqueue_days
from worker.readers import apply_readers_file
from worker.run_summary import RunSummary
from worker.runner import Worker, WorkState

log = structlog.get_logger(__name__)

SLACK: Final = 2.0
"""Seconds for which a task that becomes ready soon is awaited, also after the deadline."""
OTHERS_CHECK: Final = 1.0
"""The least seconds between two looks at the tasks of other workers."""
PROGRESS_INTERVAL: Final = 1.0
"""The least seconds between two lines about the progress."""
OUTAGE_LIMIT = 180.0
"""Seconds without a response of Supabase after which a run ends."""
OUTAGE_CHECK: Final = 1.0
"""Seconds between two checks whether Supabase responds."""
BACKGROUND: Final = frozenset({TaskKind.FETCH, TaskKind.CALLBACK})
"""Kinds that do not keep a run from ending after its deadline: their tasks return to the queue."""


class RunWaits:
    """The waits of digests in one run: until its deadline, whenever their first attempts were."""

    writes_unread = False

    def __init__(self, wait: timedelta) -> None:
        self._wait = wait.total_seconds()
        self.begin()

    def begin(self) -> None:
        """Let the whole wait begin now: what the run did before has read no source."""
        self._deadline = asyncio.get_running_loop().time() + self._wait

    @property
    def seconds_left(self) -> float:
        """The seconds until the deadline, negative after it."""
        return self._deadline - asyncio.get_running_loop().time()

    def for_any_source(self, _waited: timedelta) -> timedelta:
        """Return how much longer a digest waits while no source has been read for its day."""
        return timedelta(seconds=self.seconds_left)

    def for_running_fetch(self, _waited: timedelta) -> timedelta:
        """Return how much longer a digest waits for a fetch that runs."""
        return timedelta(seconds=self.seconds_left)


class EndOfRun:
    """Decides after each sync call whether the run is over; then sets `stop`."""

    def __init__(self, waits: RunWaits, stop: asyncio.Event) -> None:
        self._waits = waits
        self._stop = stop
        self._maintenance: Maintenance | None = None
        self._looked_at = 0.0
        self.reached = False
        """Whether the run ended because nothing was left, not by a signal."""

    def watch_others(self, maintenance: Maintenance) -> None:
        """Also wait for tasks of other workers: if one was killed, its tasks return to the queue."""
        self._maintenance = maintenance

    async def after_call(self, state: WorkState) -> None:
        """Set `stop` if nothing is left that can be done now."""
        if self._stop.is_set() or not self._is_idle(state) or await self._others_work(state):
            return
        self.reached = True
        self._stop.set()

    def _is_idle(self, state: WorkState) -> bool:
        """Whether this worker has nothing to do, and nothing to wait for."""
        left = self._waits.seconds_left
        if state.busy or state.running - BACKGROUND or (state.running and left > 0):
            return False
        return state.next_task_seconds is None or state.next_task_seconds > max(left, 0) + SLACK

    async def _others_work(self, state: WorkState) -> bool:
        """Whether other workers have tasks of readers that this run may have to finish, until the deadline."""
        if state.running or self._waits.seconds_left <= 0 or self._maintenance is None:
            return False
        now = asyncio.get_running_loop().time()
        if now < self._looked_at + OTHERS_CHECK:
            return True
        self._looked_at = now
        try:
            stats = await self._maintenance.queue_stats()
        except SupabaseError as error:
            log.warning("queue not read yet", error=str(error))
            return True
        return any(each.status is TaskStatus.RUNNING and each.kind is not TaskKind.CALLBACK for each in stats.depth)


class ProgressLog:
    """Logs at most once a second how many digests were written and mails sent, if that has changed."""

    def __init__(self, summary: RunSummary) -> None:
        self._summary = summary
        self._logged = (0, 0)
        self._logged_at = 0.0

    def log(self) -> None:
        """Log the progress if it is due."""
        now, counts = asyncio.get_running_loop().time(), (self._summary.written, self._summary.sent)
        if counts != self._logged and now >= self._logged_at + PROGRESS_INTERVAL:
            self._logged, self._logged_at = counts, now
            log.info("run continues", digests_written=counts[0], mails_sent=counts[1])


async def run_one_shot(settings: WorkerSettings, options: OneShotOptions) -> RunSummary:
    """Do what is due, and return the summary.

    Raises `ConfigurationError`, `SupabaseError` and `PeriodicJobFailed`.
    """
    random, summary = Random(), RunSummary()  # noqa: S311  (jitter)
    signalled, stop = asyncio.Event(), asyncio.Event()  # the end of the tasks also sets `stop`
    stop_on_signals(signalled, stop)
    waits = RunWaits(options.wait)
    end, progress = EndOfRun(waits, stop), ProgressLog(summary)

    async def after_call(state: WorkState) -> None:
        progress.log()
        await end.after_call(state)

    async with open_worker(settings, random, waits=waits, on_outcome=summary.record, after_call=after_call) as opened:
        services = opened.services
        await services.schema.require()
        end.watch_others(services.maintenance)
        if options.readers is not None:
            libraries = FileLibraries(services.libraries, opened.components.library_connections)
            summary.file = await apply_readers_file(
                services.readers_file,
                libraries,
                options.readers,
                owner=options.owner,
                prune=options.prune,
                can_confirm=settings.has_links,
            )
        await look_up_papers(opened.services, opened.components, random, stop)
        waits.begin()
        if not stop.is_set():
            await _enqueue(services, settings, options, summary)
        opened.log_start()
        outage = {"outage": _stop_at_outage(opened.worker, stop, summary)}
        await run_supervised(opened.worker, opened.own_jobs() | outage, stop)
        if end.reached:
            await remove_old_rows(services, settings, random, signalled)
    summary.interrupted = not end.reached
    summary.sends_mails = settings.mail_url is not None
    return summary


async def _enqueue(services: Services, settings: WorkerSettings, options: OneShotOptions, summary: RunSummary) -> None:
    """Enqueue the fetches and digests that are due. Raises `SupabaseError`."""
    now = datetime.now(UTC)
    due = settings.daily_fetch_at.last(now)
    if due is not None:
        await enqueue_days(services.tasks, now.date(), due)
    summary.due_readers = await services.schedule.enqueue_due(options.ahead)
    summary.has_readers = bool(await services.readers.page(None, limit=1, status=ReaderStatus.ACTIVE))
    log.info("run begins", due_readers=summary.due_readers, ahead=str(options.ahead), wait=str(options.wait))


async def _stop_at_outage(worker: Worker, stop: asyncio.Event, summary: RunSummary) -> None:
    """Set `stop` if Supabase does not respond for `OUTAGE_LIMIT` seconds. A permanent worker would wait for it."""
    loop = asyncio.get_running_loop()
    began, silent = loop.time(), 0.0
    while silent < OUTAGE_LIMIT:
        await asyncio.sleep(OUTAGE_CHECK)
        since_response = worker.health().since_last_response
        silent = loop.time() - began if since_response is None else since_response
    summary.outage = f"Supabase did not respond for {OUTAGE_LIMIT:g} s"
    log.error("run ends", reason=summary.outage)
    stop.set()
