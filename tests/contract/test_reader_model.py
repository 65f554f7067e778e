"""A random walk over readers, schedules, digests and deliveries, compared with a model: one mail per reader and day."""

import asyncio
from collections import Counter
from collections.abc import Awaitable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, TypeVar
from uuid import UUID
from zoneinfo import ZoneInfo

import asyncpg
import uvloop
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from supabase import AsyncClient

from app.client.factory import open_supabase
from app.models.tasks import TaskKind
from app.persistence.deliveries import Deliveries, DeliveryLost, DeliveryStatus, Send
from app.persistence.outcomes import Completed, Failed
from app.persistence.readers import Readers
from app.persistence.schedule import Schedule
from embedded.stack import Ready
from tests.support.database_reset import database_reset
from tests.support.schedule import Clock, add_reader, write_digests
from tests.support.stack_process import settings_for
from tests.support.tasks import Claimer, expire_lease

T = TypeVar("T")
ZONES = ["Europe/Berlin", "Pacific/Auckland", "America/Los_Angeles", "Australia/Lord_Howe"]
BEGIN = {"spring": datetime(2026, 3, 27, 3, tzinfo=UTC), "autumn": datetime(2026, 10, 3, 3, tzinfo=UTC)}
"""Dates before the clocks change in Berlin, Auckland and on Lord Howe."""
TIMES = st.sampled_from([time(0, 0), time(2, 15), time(2, 30), time(8, 0), time(23, 59)])
WEEKDAYS = st.sampled_from([(1, 2, 3, 4, 5, 6, 7), (1,), (6, 7)])
ENDS = ["sent", "sent, reported twice", "refused", "dies before", "dies after", "in doubt"]
A_DAY = timedelta(days=1)


@dataclass
class Model:
    """The expected state of a reader."""

    timezone: str
    send_at: time
    weekdays: tuple[int, ...]
    active: bool = True
    next_due: datetime | None = None
    overdue: tuple[datetime, date] | None = None

    def moment(self, day: date) -> datetime:
        """When the day is due: the second of two equal local times; a skipped local time is shifted by the gap."""
        local = datetime.combine(day, self.send_at, ZoneInfo(self.timezone))
        return max(local.replace(fold=0).astimezone(UTC), local.replace(fold=1).astimezone(UTC))

    def occurrences(self, around: datetime) -> list[tuple[datetime, date]]:
        today = around.astimezone(ZoneInfo(self.timezone)).date()
        days = [today + timedelta(days=n) for n in range(-3, 10)]
        return sorted((self.moment(day), day) for day in days if day.isoweekday() in self.weekdays)

    def plan(self, now: datetime) -> None:
        self.next_due = min(at for at, _ in self.occurrences(now) if at > now) if self.active else None

    def missed(self, now: datetime) -> tuple[datetime, date] | None:
        """The last due day without a task."""
        if self.next_due is None or self.next_due > now:
            return None
        came = [(at, day) for at, day in self.occurrences(now) if now - A_DAY < at <= now and at >= self.next_due]
        return came[-1] if came else None

    def due(self, now: datetime) -> date | None:
        """The day whose digest is due now, if any."""
        missed, self.overdue = self.missed(now) or self.overdue, None
        if self.next_due is not None and self.next_due <= now:
            self.plan(now)
        return missed[1] if missed is not None and missed[0] > now - A_DAY else None

    def before_change(self, now: datetime) -> None:
        """Keep the due day, because the schedule is about to change."""
        if (missed := self.missed(now)) is not None:
            self.overdue = missed
            SEEN.overdue += 1


@dataclass
class World:
    """The objects that all runs of the state machine share."""

    loop: asyncio.AbstractEventLoop
    client: AsyncClient
    database: asyncpg.Connection
    clock: Clock


WORLD: list[World] = []


@dataclass
class Counts:
    """Counts what happened, so that the test cannot pass without actions."""

    sent: int = 0
    doubts: int = 0
    digests: int = 0
    overdue: int = 0
    kinds: Counter[str] = field(default_factory=Counter)


SEEN = Counts()


class ReadersLife(RuleBasedStateMachine):
    """Readers are created, changed and removed; the clock moves; mails are sent, refused or lost; workers die."""

    @initialize(season=st.sampled_from(sorted(BEGIN)))
    def begin(self, season: str) -> None:
        self.world = WORLD[0]
        self.do(database_reset(self.world.database))
        self.now = BEGIN[season]
        self.do(self.world.clock.set(self.now))
        self.readers: dict[UUID, Model] = {}
        self.days: set[tuple[UUID, date]] = set()
        self.mails: Counter[tuple[UUID, date]] = Counter()
        for timezone in ZONES:
            self.add(timezone, time(8, 0), (1, 2, 3, 4, 5, 6, 7))

    def do(self, awaitable: Awaitable[T]) -> T:
        return self.world.loop.run_until_complete(awaitable)

    @rule(timezone=st.sampled_from(ZONES), send_at=TIMES, weekdays=WEEKDAYS)
    def add(self, timezone: str, send_at: time, weekdays: tuple[int, ...]) -> None:
        model = Model(timezone, send_at, weekdays)
        columns = {"timezone": timezone, "send_at": f"{send_at:%H:%M}", "weekdays": list(weekdays)}
        made = self.do(add_reader(self.world.client, email="a@example.org", **columns))
        model.plan(self.now)
        self.readers[made.reader_id] = model

    @rule(hours=st.sampled_from([1, 3, 9, 23, 24, 25, 60]))
    def time_passes(self, hours: int) -> None:
        self.now += timedelta(hours=hours)
        self.do(self.world.clock.set(self.now))

    @rule(hours=st.sampled_from([5, 9, 23, 24]), ends=st.permutations(ENDS))
    def work_goes_on(self, hours: int, ends: list[str]) -> None:
        self.time_passes(hours)
        self.look_who_is_due(1)
        self.write()
        for how in ends:
            self.mail(how)

    @rule(times=st.integers(1, 3))
    def look_who_is_due(self, times: int) -> None:
        for reader_id, model in self.readers.items():
            if (day := model.due(self.now)) is not None:
                self.days.add((reader_id, day))
        schedules = [Schedule(self.world.client, batch=2).enqueue_due() for _ in range(times)]

        async def at_once() -> None:
            await asyncio.gather(*schedules)

        self.do(at_once())
        self.do(Schedule(self.world.client).enqueue_due())

    @rule(number=st.integers(0, 9), timezone=st.sampled_from(ZONES), send_at=TIMES)
    def move(self, number: int, timezone: str, send_at: time) -> None:
        if not self.readers:
            return
        reader_id = list(self.readers)[number % len(self.readers)]
        model = self.readers[reader_id]
        changed = (model.timezone, model.send_at) != (timezone, send_at)
        if changed:
            model.before_change(self.now)
        model.timezone, model.send_at = timezone, send_at
        self.do(Readers(self.world.client).change(reader_id, {"timezone": timezone, "send_at": f"{send_at:%H:%M}"}))
        if changed:
            model.plan(self.now)

    @rule(hours=st.sampled_from([9, 24]), number=st.integers(0, 9), timezone=st.sampled_from(ZONES), send_at=TIMES)
    def move_when_due(self, hours: int, number: int, timezone: str, send_at: time) -> None:
        self.time_passes(hours)
        self.move(number, timezone, send_at)

    @rule(number=st.integers(0, 9), active=st.booleans())
    def pause_or_resume(self, number: int, active: bool) -> None:
        if not self.readers:
            return
        reader_id = list(self.readers)[number % len(self.readers)]
        model = self.readers[reader_id]
        self.do(Readers(self.world.client).change(reader_id, {"status": "active" if active else "paused"}))
        if model.active != active:
            model.before_change(self.now)
            model.active = active
            model.plan(self.now)

    @rule(number=st.integers(0, 30))
    def remove(self, number: int) -> None:
        if number >= len(self.readers):
            return
        reader_id = list(self.readers)[number]
        self.do(Readers(self.world.client).remove(reader_id))
        del self.readers[reader_id]
        self.days = {(reader, day) for reader, day in self.days if reader != reader_id}

    @rule()
    def write(self) -> None:
        SEEN.digests += self.do(write_digests(self.world.client, "T"))

    @rule(how=st.sampled_from(ENDS))
    def mail(self, how: str) -> None:
        worker, deliveries = Claimer(self.world.client, kinds=[TaskKind.DELIVERY]), Deliveries(self.world.client)
        claimed = self.do(worker.claim(1))
        if not claimed:
            return
        lease, delivery_id = claimed[0].lease, UUID(claimed[0].payload["delivery_id"])
        answer: Any = self.do(deliveries.begin(delivery_id, lease, repeatable_within=None, sender_id="smtp:1"))
        if not isinstance(answer, Send):
            assert not isinstance(answer, DeliveryLost)
            self.do(worker.sync({lease: Completed({})}))
            return
        key = (answer.mail.reader_id, answer.mail.local_day)
        SEEN.kinds[how] += 1
        if how not in {"refused", "dies before"}:
            self.mails[key] += 1
            SEEN.sent += 1
        result = {"sent": "sent", "sent, reported twice": "sent", "refused": "pending", "in doubt": "in_doubt"}.get(how)
        if result is None:
            SEEN.doubts += 1
            self.do(expire_lease(self.world.database, lease.task_id))
            self.do(Claimer(self.world.client).sync())
            return
        for _ in range(2 if "twice" in how else 1):
            assert self.do(deliveries.end(delivery_id, lease, DeliveryStatus(result)))  # type: ignore[arg-type]  # (one of four)
        self.do(worker.sync({lease: Failed("451", timedelta(0)) if how == "refused" else Completed({})}))

    @invariant()
    def agrees(self) -> None:
        database = self.world.database
        readers = self.do(database.fetch("select reader_id, next_due_at from public.readers"))
        planned = {row["reader_id"]: row["next_due_at"] for row in readers}
        assert planned == {reader_id: model.next_due for reader_id, model in self.readers.items()}
        tasks = self.do(database.fetch("select reader_id, local_day from public.tasks where kind = 'digest'"))
        assert Counter((row["reader_id"], row["local_day"]) for row in tasks) == Counter(self.days)
        made = self.do(database.fetch("select reader_id, local_day, status from public.deliveries"))
        assert Counter((row["reader_id"], row["local_day"]) for row in made) <= Counter(self.days)
        assert all(count == 1 for count in self.mails.values()), "two mails for one day"
        recorded = {(row["reader_id"], row["local_day"]): row["status"] for row in made}
        for key in self.mails:
            assert recorded.get(key, "sent") in {"sent", "in_doubt", "sending"}


def test_no_reader_gets_two_mails_for_a_day(stack: Ready) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:

        async def opened() -> tuple[Any, AsyncClient, asyncpg.Connection]:
            manager = open_supabase(settings_for(stack))
            return manager, await manager.__aenter__(), await asyncpg.connect(stack.database_url)

        manager, client, database = runner.run(opened())
        clock = Clock(database)
        WORLD[:] = [World(runner.get_loop(), client, database, clock)]
        bounds = settings(
            max_examples=30,
            stateful_step_count=40,
            derandomize=True,
            phases=(Phase.generate,),
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        )
        try:
            run_state_machine_as_test(ReadersLife, settings=bounds)
        finally:
            runner.run(clock.remove())
            runner.run(database.close())
            runner.run(manager.__aexit__(None, None, None))
    assert SEEN.digests > 40
    assert SEEN.sent > 20
    assert SEEN.doubts > 5
    assert SEEN.overdue > 5
    assert len(SEEN.kinds) == 6
