"""`python -m tests.support.injected_faults FAULT`: the worker with an injected fault that only a process can show."""

import asyncio
import sys
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import structlog

import worker.periodic.retention
import worker.runner
import worker.supervisor
from worker.handlers.callback import CallbackHandler
from worker.job import Job
from worker.main import main
from worker.periodic.retention import Retention
from worker.runner import Worker


async def forever(*_arguments: Any) -> Any:
    await asyncio.Event().wait()


async def hold_the_loop(*_arguments: Any) -> Any:
    time.sleep(60)  # noqa: ASYNC251  (the fault)


async def die(*_arguments: Any) -> Any:
    raise LookupError("injected fault")


async def ignore_cancellation(*_arguments: Any) -> Any:
    structlog.get_logger("tests.support.injected_faults").info("handler began")
    while True:
        with suppress(asyncio.CancelledError):
            await forever()


begun = asyncio.Event()
deliver = CallbackHandler.__call__


async def deliver_and_say_so(handler: CallbackHandler, job: Job) -> dict[str, Any]:
    begun.set()
    return await deliver(handler, job)


async def die_later(*_arguments: Any) -> Any:
    await begun.wait()
    await die()


FAULTS: dict[str, list[tuple[Any, str, Any]]] = {
    "retention without a wait": [(worker.periodic.retention, "RETENTION_INTERVAL", timedelta(seconds=0.05))],
    "the claim loop stops": [(Worker, "_pause", forever)],
    "the claim loop dies": [(Worker, "_pause", die)],
    "a handler holds the event loop": [(CallbackHandler, "__call__", hold_the_loop)],
    "a handler ignores its cancellation": [
        (CallbackHandler, "__call__", ignore_cancellation),
        (worker.runner, "RELEASE_TIMEOUT", 0.2),
    ],
    "a periodic job ignores its cancellation": [
        (Retention, "run", ignore_cancellation),
        (worker.supervisor, "STOP_WITHIN", 0.2),
    ],
    "a periodic job fails": [(Retention, "run", die)],
    "a periodic job fails once a delivery has begun": [
        (CallbackHandler, "__call__", deliver_and_say_so),
        (Retention, "run", die_later),
    ],
    "the stopper dies": [(Worker, "_stop_when", die)],
}

if __name__ == "__main__":
    for owner, name, fault in FAULTS[sys.argv[1]]:
        setattr(owner, name, fault)
    sys.exit(main())
