"""The service's processes: real, on free ports, awaited by their log events, ended by pid."""

import asyncio
import json
import os
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from embedded.stack import Ready
from tests.support.forks import Fork, fork

_RUNNING: set[int] = set()


def kill_what_is_left() -> None:
    """Kill the processes that a failed test did not stop."""
    while _RUNNING:
        with suppress(ProcessLookupError):
            os.kill(_RUNNING.pop(), signal.SIGKILL)


def environment(url: str, key: str) -> dict[str, str]:
    """The settings that every process needs."""
    return {
        "SSL_CERT_FILE": os.environ["SSL_CERT_FILE"],
        "PATH": os.environ["PATH"],
        "ENVIRONMENT": "production",
        "SUPABASE_URL": url,
        "SUPABASE_KEY": key,
        "WEBHOOK_SECRET": WEBHOOK_SECRET,
        # The defaults would call the real arXiv and Zotero.
        "DAILY_FETCH_AT": "off",
        "ZOTERO_BASE_URL": "http://127.0.0.1:9",
    }


class ServiceProcess:
    """`python -m app` or `python -m worker`, with its settings and without this machine's environment."""

    def __init__(self, module: str, url: str, key: str, *arguments: str, **settings: str) -> None:
        self._module = module
        self._arguments = arguments
        self._environment = environment(url, key) | settings
        self.log: list[dict[str, Any]] = []
        self.text: list[str] = []
        self._news = asyncio.Condition()
        self._process: Fork | None = None
        self._reader: asyncio.Task[None] | None = None

    async def start(self, ready: str) -> dict[str, Any]:
        """Start and wait for the log event `ready`; returns its record."""
        self._process = await fork(self._module, *self._arguments, environment=self._environment)
        _RUNNING.add(self._process.pid)
        self._reader = asyncio.create_task(self._read())
        return await self.logged(ready)

    async def logged(self, event: str) -> dict[str, Any]:
        """Wait until a record's event contains `event`."""
        return await self._first(lambda record: event in record["event"], event)

    async def logged_where(self, **fields: object) -> dict[str, Any]:
        """Wait until a record has these fields."""
        return await self._first(lambda record: fields.items() <= record.items(), fields)

    async def _first(self, wanted: Callable[[dict[str, Any]], bool], name: object) -> dict[str, Any]:
        async with self._news:
            while True:
                for record in self.log:
                    if wanted(record):
                        return record
                assert self._reader is not None
                if self._reader.done():
                    raise AssertionError(f"{self._module} ended before {name!r}:\n" + "".join(self.text))
                await self._news.wait()

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, wait for the end, return the exit status."""
        assert self._process is not None
        assert self._reader is not None
        if self._process.returncode is None:
            self._process.send_signal(how)
        await self._reader
        status = await self._process.wait()
        _RUNNING.discard(self._process.pid)
        return status

    async def ended(self) -> int:
        """Wait until it ends without a signal; returns the exit status."""
        assert self._process is not None
        assert self._reader is not None
        await self._reader
        _RUNNING.discard(self._process.pid)
        return await self._process.wait()

    @property
    def clients_made(self) -> int:
        """How many Supabase clients the process created."""
        return self._counted("clients made: ")

    @property
    def objects_kept(self) -> int:
        """How many objects the process excluded from garbage collection."""
        return self._counted("objects kept: ")

    @property
    def threads_started(self) -> list[str]:
        """The Python threads that the process started; threads of C libraries do not count."""
        names = [line.removeprefix("thread: ").strip() for line in self.text if line.startswith("thread: ")]
        assert len(names) == self._counted("threads started: ")
        return names

    @property
    def sdk_modules(self) -> int:
        """How many modules of OpenTelemetry's SDK and exporter the process loaded."""
        return self._counted("modules of the tracing SDK: ")

    def _counted(self, what: str) -> int:
        (line,) = [line for line in self.text if line.startswith(what)]
        return int(line.removeprefix(what))

    async def _read(self) -> None:
        assert self._process is not None
        async for line in self._process.output:
            text = line.decode()
            async with self._news:
                self.text.append(text)
                if text.startswith("{"):
                    self.log.append(json.loads(text))
                self._news.notify_all()
        async with self._news:
            self._news.notify_all()


WEBHOOK_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
SHORT_LEASE = {"LEASE_SECONDS": "3", "SUPABASE_CALL_TIMEOUT": "1", "CALLBACKS_TO_PRIVATE_ADDRESSES": "true"}
"""For tests in which leases expire. A worker that needs a lease to stop exits with 1 (`worker/watchdog.py`)."""

LONG_LEASE = {"LEASE_SECONDS": "60", "SUPABASE_CALL_TIMEOUT": "20"}
"""For tests in which no lease may expire, also on a slow machine."""


def worker_process(ready: Ready, url: str | None = None, **settings: str) -> ServiceProcess:
    """A worker with short leases and all slots that can call back to this machine."""
    slots = {"CALLBACK_SLOTS": settings.get("CONCURRENCY", "10")}
    return ServiceProcess("worker", url or ready.url, ready.secret_key, **(SHORT_LEASE | slots | settings))


API_KEY = "test-key-0123456789"
API_SETTINGS = {"API_KEYS": API_KEY, "PORT": "0", "CALLBACKS_TO_PRIVATE_ADDRESSES": "true"}


def api_process(ready: Ready, url: str | None = None, **settings: str) -> ServiceProcess:
    """An API on a free port."""
    return ServiceProcess("app", url or ready.url, ready.secret_key, **(API_SETTINGS | settings))


def api_environment(ready: Ready) -> dict[str, str]:
    """The environment of an API on a free port."""
    return environment(ready.url, ready.secret_key) | API_SETTINGS


async def start_api(process: ServiceProcess) -> str:
    """Start the API and return its address."""
    record = await process.start("API running on")
    return "http://" + str(record["event"]).partition("http://")[2].split()[0]
