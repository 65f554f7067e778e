"""Circuit breakers whose state all processes share: a failing service is left alone by the whole list_worker_rows.

After Michael Nygard, "Release It!": closed lets calls through, open refuses them at once, half-open lets one trial
through, which decides.
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


class _Shared(BaseModel):
    name: str | None
    state: State | None
    failures: int | None
    retry_after: float | None
    reason: str | None = None
    failed_at: datetime | None = None
    allowed: bool = False


_STATES = TypeAdapter(list[_Shared])
_REPORTED: Final[Mapping[str, TypeAdapter[Any]]] = {
    "breaker_try": TypeAdapter(_Shared),
    "breaker_failure": TypeAdapter(_Shared),
    # Null: no process has reported a failure of this service.
    "breaker_success": TypeAdapter(_Shared | None),
}


@dataclass(frozen=True)
class BreakerSettings:
    """When a breaker opens, for how long, how long its trial may take, and how often the shared state is read."""

    threshold: int = 5
    open_for: timedelta = timedelta(seconds=60)
    trial_for: timedelta = timedelta(seconds=60)
    refresh: timedelta = timedelta(seconds=5)


@dataclass(frozen=True)
class BreakerState:
    """What this process knows of a breaker; `retry_at` is in the event loop's time, `cause` its last failure."""

    name: str
    state: State = "closed"
    failures: int = 0
    retry_at: float = 0.0
    cause: str | None = None


class CircuitBreakers:
    """Guards calls to outside services by name. If the shared state cannot be reached, each process guards itself."""

    def __init__(self, client: AsyncClient, settings: BreakerSettings | None = None) -> None:
        self._client = client
        self._settings = settings or BreakerSettings()
        self._known: dict[str, BreakerState] = {}
        self._fresh_until = 0.0
        self._refreshing = asyncio.Lock()

    @asynccontextmanager
    async def guard(
        self, name: str, failures: type[Exception] | tuple[type[Exception], ...] = Exception
    ) -> AsyncIterator[None]:
        """Run one call to the service `name`; exceptions of the types `failures` count against it.

        Raises `CircuitOpen` at once while the breaker is open; whatever the call raises goes through.
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
        """All breakers as all processes share them. Raises `SupabaseError`."""
        with supabase_errors("read the circuit breakers"):
            answer = await self._client.rpc("breaker_states").execute()
        return [found for shared in parsed(_STATES, answer.data) if (found := _breaker(shared)) is not None]

    async def _enter(self, name: str, event: UUID) -> None:
        await self._refresh()
        known = self._known.get(name, BreakerState(name))
        now = asyncio.get_running_loop().time()
        if known.state == "closed":
            return
        if now < known.retry_at:
            raise _open(known, known.retry_at - now)
        await self._ask_for_trial(name, event)

    async def _ask_for_trial(self, name: str, event: UUID) -> None:
        seconds = self._settings.trial_for.total_seconds()
        shared = await self._report("breaker_try", name, event, p_trial_seconds=seconds)
        if shared is None:
            # Supabase is away: this process tries by itself, one call at a time.
            self._known[name] = replace(self._known[name], state="half_open", retry_at=_in(seconds))
        elif not shared.allowed:
            raise _open(self._known[name], shared.retry_after or 0.0)

    async def _failed(self, name: str, event: UUID, reason: str) -> None:
        seconds, threshold = self._settings.open_for.total_seconds(), self._settings.threshold
        limits = {"p_threshold": threshold, "p_open_seconds": seconds}
        shared = await self._report("breaker_failure", name, event, **limits, p_reason=reason)
        if shared is None:
            known = self._known.get(name, BreakerState(name))
            opens = known.state != "closed" or known.failures + 1 >= threshold
            state: State = "open" if opens else "closed"
            retry_at, cause = _in(seconds) if opens else 0.0, failure_at(reason, datetime.now(UTC))
            self._known[name] = BreakerState(name, state, known.failures + 1, retry_at, cause)

    async def _succeeded(self, name: str, event: UUID) -> None:
        known = self._known.get(name)
        if known is None or (known.state == "closed" and known.failures == 0):
            return  # closed costs no round trip
        if await self._report("breaker_success", name, event) is None:
            self._known[name] = BreakerState(name)

    async def _report(self, function: str, name: str, event: UUID, **parameters: Any) -> _Shared | None:
        """Tell the shared state what happened and learn it; None if it cannot be reached."""
        try:
            with supabase_errors(f"{function} of {name}"):
                arguments = {"p_name": name, "p_event": str(event), **parameters}
                answer = await self._client.rpc(function, arguments).execute()
            shared: _Shared | None = parsed(_REPORTED[function], answer.data)
        except SupabaseError as error:
            log.warning("breaker works locally", breaker=name, error=str(error))
            return None
        if shared is not None and (known := _breaker(shared)) is not None:
            self._known[name] = known
        return shared

    async def _refresh(self) -> None:
        """Read the shared state if what is known is older than the refresh time; nobody waits for another's reading."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._fresh_until or self._refreshing.locked():
            return
        async with self._refreshing:
            self._fresh_until = loop.time() + self._settings.refresh.total_seconds()
            try:
                self._known |= {found.name: found for found in await self.states()}
            except SupabaseError as error:
                log.warning("breakers work locally", error=str(error))


def _breaker(shared: _Shared) -> BreakerState | None:
    if shared.name is None or shared.state is None:
        return None
    retry_at = 0.0 if shared.state == "closed" else _in(shared.retry_after or 0.0)
    cause = failure_at(shared.reason, shared.failed_at) if shared.reason and shared.failed_at else None
    return BreakerState(shared.name, shared.state, shared.failures or 0, retry_at, cause)


def _in(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


def _open(known: BreakerState, seconds: float) -> CircuitOpen:
    cause = known.cause or f"{known.name} failed too often"
    return CircuitOpen(f"{cause}, will be retried in {seconds:.0f} s", retry_after=seconds, cause=cause)


def _reason(error: Exception) -> str:
    """What is stored of a failure: the words of our own errors, the type of others, which may say too much."""
    return str(error)[:_MAX_REASON] if isinstance(error, BroadsheetError) else type(error).__name__


def failure_at(reason: str, at: datetime) -> str:
    """Say what happened and when: `HTTP 503 from export.arxiv.org at 07:12 UTC`."""
    return f"{reason} at {at.astimezone(UTC):%H:%M} UTC"
