"""Circuit breakers whose state all processes share: no worker calls a service whose breaker is open.

States follow Michael Nygard, "Release It!": closed lets calls pass, open rejects them at once, half-open lets one
trial call pass, whose outcome closes or opens the breaker.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal
from uuid import UUID, uuid4

import structlog
from pydantic import BaseModel, TypeAdapter
from supabase import AsyncClient

from app.errors import BroadsheetError, CircuitOpen, SupabaseError
from app.persistence.errors import parsed, supabase_errors

log = structlog.get_logger(__name__)

State = Literal["closed", "open", "half_open"]

_MAX_REASON = 500


class _SharedState(BaseModel):
    name: str | None
    state: State | None
    failures: int | None
    retry_after: float | None
    reason: str | None = None
    failed_at: datetime | None = None
    allowed: bool = False


_STATES = TypeAdapter(list[_SharedState])
_REPORTED: Final[Mapping[str, TypeAdapter[Any]]] = {
    "breaker_try": TypeAdapter(_SharedState),
    "breaker_failure": TypeAdapter(_SharedState),
    # Null: no process has reported a failure of this service.
    "breaker_success": TypeAdapter(_SharedState | None),
}


@dataclass(frozen=True)
class BreakerSettings:
    """How many failures open a breaker, how long it stays open, how long a trial may take, how old a state may get."""

    threshold: int = 5
    open_for: timedelta = timedelta(seconds=60)
    trial_for: timedelta = timedelta(seconds=60)
    refresh: timedelta = timedelta(seconds=5)


@dataclass(frozen=True)
class BreakerState:
    """A breaker as this process last read it. `retry_at` is in event loop time; `cause` is the last failure."""

    name: str
    state: State = "closed"
    failures: int = 0
    retry_at: float = 0.0
    cause: str | None = None


class CircuitBreakers:
    """Guards calls to external services by name. Without the shared state, each process uses its own."""

    def __init__(self, client: AsyncClient, settings: BreakerSettings | None = None) -> None:
        self._client = client
        self._settings = settings or BreakerSettings()
        self._states: dict[str, BreakerState] = {}
        self._fresh_until = 0.0
        self._refreshing = asyncio.Lock()

    @asynccontextmanager
    async def guard(
        self, name: str, failures: type[Exception] | tuple[type[Exception], ...] = Exception
    ) -> AsyncIterator[None]:
        """Run one call to the service `name`. Exceptions of the types `failures` count as failures.

        Raises `CircuitOpen` at once while the breaker is open, and otherwise what the call raises.
        """
        event = uuid4()
        await self._enter(name, event)
        try:
            yield
        except failures as error:
            await self._failed(name, event, _reason(error))
            raise
        await self._succeeded(name, event)

    async def states(self) -> list[BreakerState]:
        """Read the shared state of all breakers. Raises `SupabaseError`."""
        with supabase_errors("read the circuit breakers"):
            response = await self._client.rpc("breaker_states").execute()
        return [found for shared in parsed(_STATES, response.data) if (found := _breaker(shared)) is not None]

    async def _enter(self, name: str, event: UUID) -> None:
        await self._refresh()
        breaker = self._states.get(name, BreakerState(name))
        now = asyncio.get_running_loop().time()
        if breaker.state == "closed":
            return
        if now < breaker.retry_at:
            raise _circuit_open(breaker, breaker.retry_at - now)
        await self._begin_trial(name, event)

    async def _begin_trial(self, name: str, event: UUID) -> None:
        seconds = self._settings.trial_for.total_seconds()
        shared = await self._report("breaker_try", name, event, p_trial_seconds=seconds)
        if shared is None:
            # Supabase is unavailable: this process makes its own trial, one call at a time.
            self._states[name] = replace(self._states[name], state="half_open", retry_at=_loop_time_in(seconds))
        elif not shared.allowed:
            raise _circuit_open(self._states[name], shared.retry_after or 0.0)

    async def _failed(self, name: str, event: UUID, reason: str) -> None:
        seconds, threshold = self._settings.open_for.total_seconds(), self._settings.threshold
        limits = {"p_threshold": threshold, "p_open_seconds": seconds}
        shared = await self._report("breaker_failure", name, event, **limits, p_reason=reason)
        if shared is None:
            breaker = self._states.get(name, BreakerState(name))
            opens = breaker.state != "closed" or breaker.failures + 1 >= threshold
            state: State = "open" if opens else "closed"
            retry_at, cause = _loop_time_in(seconds) if opens else 0.0, describe_failure(reason, datetime.now(UTC))
            self._states[name] = BreakerState(name, state, breaker.failures + 1, retry_at, cause)

    async def _succeeded(self, name: str, event: UUID) -> None:
        breaker = self._states.get(name)
        if breaker is None or (breaker.state == "closed" and breaker.failures == 0):
            return  # a success on a closed breaker needs no round trip
        if await self._report("breaker_success", name, event) is None:
            self._states[name] = BreakerState(name)

    async def _report(self, function: str, name: str, event: UUID, **parameters: Any) -> _SharedState | None:
        """Report an event and return the shared state; None if Supabase is unavailable."""
        try:
            with supabase_errors(f"{function} of {name}"):
                arguments = {"p_name": name, "p_event": str(event), **parameters}
                response = await self._client.rpc(function, arguments).execute()
            shared: _SharedState | None = parsed(_REPORTED[function], response.data)
        except SupabaseError as error:
            log.warning("circuit breaker works locally", breaker=name, error=str(error))
            return None
        if shared is not None and (breaker := _breaker(shared)) is not None:
            self._states[name] = breaker
        return shared

    async def _refresh(self) -> None:
        """Read the shared state if the last read is older than `refresh`; do not wait for a read in progress."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._fresh_until or self._refreshing.locked():
            return
        async with self._refreshing:
            self._fresh_until = loop.time() + self._settings.refresh.total_seconds()
            try:
                self._states |= {found.name: found for found in await self.states()}
            except SupabaseError as error:
                log.warning("circuit breakers work locally", error=str(error))


def _breaker(shared: _SharedState) -> BreakerState | None:
    if shared.name is None or shared.state is None:
        return None
    retry_at = 0.0 if shared.state == "closed" else _loop_time_in(shared.retry_after or 0.0)
    cause = describe_failure(shared.reason, shared.failed_at) if shared.reason and shared.failed_at else None
    return BreakerState(shared.name, shared.state, shared.failures or 0, retry_at, cause)


def _loop_time_in(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


def _circuit_open(breaker: BreakerState, seconds: float) -> CircuitOpen:
    cause = breaker.cause or f"{breaker.name} failed too often"
    return CircuitOpen(f"{cause}, will be retried in {seconds:.0f} s", retry_after=seconds, cause=cause)


def _reason(error: Exception) -> str:
    """Return the stored reason: the message of our errors, but only the type of others, which may contain secrets."""
    return str(error)[:_MAX_REASON] if isinstance(error, BroadsheetError) else type(error).__name__


def describe_failure(reason: str, at: datetime) -> str:
    """Return the reason with its time: `HTTP 503 from export.arxiv.org at 07:12 UTC`."""
    return f"{reason} at {at.astimezone(UTC):%H:%M} UTC"
