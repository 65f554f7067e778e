"""The end of a process: remaining tasks are cancelled, and tasks that ignore it are named and abandoned."""

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest
from structlog.testing import capture_logs

import worker.forced_exit
from worker.forced_exit import run_and_stop_tasks


class Exited(Exception):
    """Replaces the exit of the process."""


class UncancellableWork:
    """Work that ignores its cancellation until the process would exit."""

    def __init__(self, on_cancel: Callable[[], object] = lambda: None) -> None:
        self.on_cancel = on_cancel
        self.ended = False
        self.running: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        while not self.ended:
            with suppress(asyncio.CancelledError):
                await asyncio.Event().wait()
            self.on_cancel()

    def start(self, name: str) -> None:
        """Run it in an asyncio task. Without the reference, the garbage collector could end it."""
        self.running = asyncio.create_task(self(), name=name)

    def exit(self) -> None:
        self.ended = True
        raise Exited


@pytest.fixture
def deaf(monkeypatch: pytest.MonkeyPatch) -> UncancellableWork:
    work = UncancellableWork()
    monkeypatch.setattr(worker.forced_exit, "_exit", work.exit)
    return work


def test_a_cancellable_task_ends_without_a_log_line() -> None:
    left: list[asyncio.Task[None]] = []

    async def main() -> None:
        left.append(asyncio.create_task(asyncio.sleep(3600)))

    with capture_logs() as log:
        asyncio.run(run_and_stop_tasks(main))
    assert (left[0].cancelled(), log) == (True, [])


@pytest.mark.parametrize("error", [LookupError("the reason for the stop"), None])
def test_a_task_that_ignores_cancellation_is_named(
    error: Exception | None, deaf: UncancellableWork, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.forced_exit, "CANCEL_TIMEOUT", 0.05)

    async def main() -> None:
        deaf.start("fetch 1")
        await asyncio.sleep(0)
        if error is not None:
            raise error

    with capture_logs() as log, pytest.raises(Exited):
        asyncio.run(run_and_stop_tasks(main))
    (record,) = log
    assert (record["tasks"], record["exc_info"]) == (["fetch 1"], error)


def test_a_second_signal_ends_the_wait(deaf: UncancellableWork, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.forced_exit, "CANCEL_TIMEOUT", 3600)

    async def main() -> None:
        ending = asyncio.current_task()
        assert ending is not None
        deaf.on_cancel = ending.cancel
        deaf.start("fetch 1")
        await asyncio.sleep(0)

    with capture_logs() as log, pytest.raises(Exited):
        asyncio.run(run_and_stop_tasks(main))
    assert log[0]["tasks"] == ["fetch 1"]
