"""The watchdog of the claim loop: ten checks per lease, and a blocked process is ended from outside."""

import asyncio
import faulthandler
from datetime import timedelta

import pytest

from worker.watchdog import LoopHealth, LoopStopped, Watchdog, watch_loop

LEASE = timedelta(seconds=60)


@pytest.mark.parametrize(("turns", "looks"), [([7], 10), ([1, 2, 2, 2, 3, 4], 15)])
async def test_ten_checks_without_an_iteration_report_a_stopped_loop(
    turns: list[int], looks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    slept: list[float] = []
    armed: list[tuple[float, bool]] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    monkeypatch.setattr(faulthandler, "dump_traceback_later", lambda after, *, exit: armed.append((after, exit)))  # noqa: A006  (its name there)
    with pytest.raises(LoopStopped, match=r"^The claim loop has made no call for 60 s\.$"):
        await watch_loop(lambda: turns[min(len(slept), len(turns) - 1)], LEASE)
    assert slept == [6.0] * looks
    assert armed == [(60.0, True)] * looks


async def test_health_counts_only_answered_iterations(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: now)
    pulse = Watchdog()
    seen = [pulse.health(3)]
    for after, answered in ((2.0, False), (3.0, True), (4.0, False)):
        now += after
        pulse.record_call(answered=answered)
        now += 1.0
        seen.append(pulse.health(3))
    assert seen == [
        LoopHealth(3, 0.0, None),
        LoopHealth(3, 1.0, None),
        LoopHealth(3, 1.0, 1.0),
        LoopHealth(3, 1.0, 6.0),
    ]
    assert pulse.calls == 3
