"""A whole worker in the tests' own process: built from its settings by `run_worker`, ended by a signal.

Also one response of each source, a profile that matches both, and the settings for mails.
"""

import asyncio
import faulthandler
import signal
from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager, suppress
from random import Random
from typing import Any, Final

import aiohttp
import pytest
from structlog.testing import capture_logs

import worker.main
import worker.periodic.task_stats
import worker.supervisor
from app.config import WorkerSettings
from embedded.stack import Ready
from tests.support.processes import WEBHOOK_SECRET
from tests.support.running_worker import PATIENCE
from tests.support.source_responses import ATOM_HEAD
from worker.main import run_worker

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
NOWHERE: Final = "http://127.0.0.1:9"
LINK_SECRET: Final = "0123456789abcdef"
MAIL: Final = {
    "mail_from": "Broadsheet <digest@example.org>",
    "public_url": "https://digest.example",
    "link_secret": LINK_SECRET,
}
PROFILE: Final = {"name": "Ada", "interests": ["radar"]}
PAPER: Final = "<id>http://arxiv.org/abs/2611.00001v1</id><title>Ice</title><summary>Radar reads it.</summary>"
PAPERS: Final = f"{ATOM_HEAD}<entry>{PAPER}</entry></feed>"
NEWS: Final = "<rss><channel><item><title>Radar news</title><link>http://n.test/1</link></item></channel></rss>"


class Earliest(Random):
    """Draws the lowest number, so that nothing waits for a random time."""

    def random(self) -> float:
        return 0.0


def settings_of(stack: Ready, **changes: object) -> WorkerSettings:
    """Settings of a worker that connects only to this machine."""
    here = {"supabase_url": stack.url, "supabase_key": stack.secret_key, "worker_port": "0", "grace_period": "0.1"}
    nobody = {"arxiv_base_url": NOWHERE, "feeds": f"none={NOWHERE}/rss", "callbacks_to_private_addresses": "true"}
    nobody |= {"daily_fetch_at": "off", "crossref_base_url": NOWHERE, "biorxiv_base_url": NOWHERE}
    return WorkerSettings.model_validate({**here, **nobody, "webhook_secret": WEBHOOK_SECRET, **changes})


class WholeWorker:
    """A worker that runs in this event loop as it does in a separate process; `log` has its log records."""

    def __init__(self, running: "asyncio.Task[None]", log: list[MutableMapping[str, Any]]) -> None:
        self.running = running
        self.log = log

    async def logged(self, event: str) -> MutableMapping[str, Any]:
        """Wait until a record's event begins with `event`."""
        async with asyncio.timeout(PATIENCE):
            while True:
                for record in self.log:
                    if record["event"].startswith(event):
                        return record
                if self.running.done():
                    await self.running
                await asyncio.sleep(0.01)

    def signalled(self, number: signal.Signals = signal.SIGTERM) -> None:
        """Send this process the signal, for which the worker must have installed a handler."""
        assert signal.getsignal(number) not in {signal.SIG_DFL, signal.default_int_handler}
        signal.raise_signal(number)

    async def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it by a signal; raises what the worker raised."""
        self.signalled(number)
        await self.ended()

    async def ended(self) -> None:
        """Wait until it ends; raises what the worker raised."""
        # `wait_for` would cancel it after the timeout, which would look like an ordinary end.
        await asyncio.wait({self.running}, timeout=PATIENCE)
        assert self.running.done()
        await self.running

    async def page(self, path: str) -> str:
        """Return the response of the port that it serves."""
        address = (await self.logged("health and metrics on"))["event"].split()[-1]
        async with aiohttp.ClientSession(address) as http, http.get(path) as answer:
            return await answer.text()


@asynccontextmanager
async def whole_worker(settings: WorkerSettings, *, ready: str = "worker started") -> AsyncIterator[WholeWorker]:
    """Run a worker with these settings until the end of the block; yields it when it is ready.

    Its periodic jobs run at once, and the watchdog of the event loop does not end the tests' own process.
    """
    loop = asyncio.get_running_loop()
    with pytest.MonkeyPatch.context() as patched, capture_logs() as log:
        patched.setattr(worker.main, "Random", Earliest)
        patched.setattr(worker.periodic.task_stats, "LAST_REPORT", PATIENCE)
        patched.setattr(worker.supervisor, "STOP_WITHIN", 2 * PATIENCE)
        patched.setattr(faulthandler, "dump_traceback_later", lambda *_, **__: None)
        started = WholeWorker(asyncio.create_task(run_worker(settings)), log)
        try:
            await started.logged(ready)
            yield started
        finally:
            started.running.cancel()
            with suppress(BaseException):
                await started.running
            for number in SIGNALS:
                loop.remove_signal_handler(number)
