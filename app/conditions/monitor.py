"""Watches the conditions, and sends the operator a signed callback when one begins and when it ends."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any, Final
from uuid import uuid4

import structlog
from standardwebhooks import Webhook

from app.conditions.catalog import CONDITIONS
from app.conditions.condition import HealthProblem
from app.conditions.report import observe, report_of
from app.config import Settings
from app.errors import BroadsheetError, ConfigurationError, SupabaseError
from app.external.callback_sender import CallbackSender
from app.external.callback_urls import checked_callback_url
from app.external.client import ExternalClient
from app.persistence.condition_states import ConditionCallback, ConditionStates
from app.persistence.health import Health

log = structlog.get_logger(__name__)

INTERVAL: Final = 60.0
"""Seconds."""

_TEXTS: Final = 3
"""Number of problems of one condition that a callback names."""


class OperatorCallbacks:
    """Sends callbacks to OPERATOR_CALLBACK_URL."""

    def __init__(self, sender: CallbackSender, url: str) -> None:
        self._sender = sender
        self._url = url

    async def send(self, callback: ConditionCallback) -> None:
        """Send one callback. Raises `BroadsheetError` if it was not delivered."""
        await self._sender.send(self._url, f"msg_{callback.callback_id}", callback_body(callback))


def open_callbacks(http: ExternalClient, settings: Settings) -> OperatorCallbacks | None:
    """Return the sender for OPERATOR_CALLBACK_URL; None if it is not set. Raises `ConfigurationError`."""
    if settings.operator_callback_url is None:
        return None
    if not settings.webhook_secret:
        raise ConfigurationError("OPERATOR_CALLBACK_URL is set without WEBHOOK_SECRET, which signs its callbacks.")
    url, private = settings.operator_callback_url.get_secret_value(), settings.callbacks_to_private_addresses
    try:
        checked_callback_url(url, private=private)
    except ValueError as error:
        # Without the URL, which may contain a secret.
        raise ConfigurationError(f"OPERATOR_CALLBACK_URL cannot be called: {error}.") from None
    webhooks = [Webhook(secret.get_secret_value()) for secret in settings.webhook_secret]
    return OperatorCallbacks(CallbackSender(http, webhooks, private=private), url)


class ConditionMonitor:
    """Computes the delivery rate, records the conditions and sends callbacks, once a minute. Any process may run it."""

    def __init__(
        self,
        health: Health,
        states: ConditionStates,
        callbacks: OperatorCallbacks | None,
        *,
        random: Random,
        interval: float = INTERVAL,
    ) -> None:
        self._health = health
        self._states = states
        self._callbacks = callbacks
        self._random = random
        self._interval = interval

    async def run(self) -> None:
        """Run until cancelled. The first wait is a random part of the interval, so that processes alternate."""
        await asyncio.sleep(self._interval * self._random.random())
        while True:
            try:
                await self.run_once()
            except SupabaseError as error:
                log.warning("conditions not recorded", error=str(error))
            await asyncio.sleep(self._interval)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run while the context is open. An unexpected error is logged and ends only the watch."""

        def ended(task: asyncio.Task[None]) -> None:
            if not task.cancelled() and (error := task.exception()) is not None:
                log.error("the watch of conditions failed", exc_info=error)

        task = asyncio.create_task(self.run(), name="conditions")
        task.add_done_callback(ended)
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def run_once(self) -> None:
        """Record the conditions and send the callbacks that are due. Raises `SupabaseError`."""
        await self._health.refresh_delivery_rate()
        if self._callbacks is None:
            return
        observation = await observe(self._health.facts)
        if isinstance(observation.facts, SupabaseError):
            raise observation.facts
        for callback in await self._states.update(uuid4(), _events(report_of(observation).problems)):
            await self._send(self._callbacks, callback)

    async def _send(self, callbacks: OperatorCallbacks, callback: ConditionCallback) -> None:
        try:
            await callbacks.send(callback)
        except SupabaseError:
            raise
        except BroadsheetError as error:
            log.warning("operator callback not delivered yet", condition=callback.name, error=str(error))
        else:
            await self._states.confirm(callback)


def callback_body(callback: ConditionCallback) -> dict[str, Any]:
    """Return the event. Chat programs show `text` (Slack, Teams, Mattermost) or `content` (Discord)."""
    event = callback.event
    meaning = next((each.meaning for each in CONDITIONS if each.name == callback.name), callback.name)
    line = f"[{event['severity']}] {event['text']} {event['action']}" if callback.active else f"Ended: {meaning}."
    return {
        "type": f"condition.{'began' if callback.active else 'ended'}",
        "timestamp": callback.changed_at.isoformat(),
        "data": {"condition": callback.name, **{name: event[name] for name in ("severity", "text", "action")}},
        "text": f"Broadsheet: {line}",
        "content": f"Broadsheet: {line}",
    }


def _events(problems: tuple[HealthProblem, ...]) -> list[dict[str, str]]:
    by_condition: dict[str, list[HealthProblem]] = defaultdict(list)
    for problem in problems:
        by_condition[problem.condition].append(problem)
    return [
        {
            "name": name,
            "severity": found[0].severity.value,
            "text": " ".join(each.text for each in found[:_TEXTS]),
            "action": found[0].action,
        }
        for name, found in by_condition.items()
    ]
