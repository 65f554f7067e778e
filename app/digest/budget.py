"""The budget and the usage of the language model for one digest."""

import asyncio
from dataclasses import dataclass, field

from app.digest.chat_model import Tokens, estimated_tokens
from app.models.digests import ModelUsage


@dataclass(frozen=True, slots=True)
class Reservation:
    """The most tokens that a call can cost."""

    input: int
    output: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.input + self.output


@dataclass(slots=True)
class Budget:
    """Limits calls and tokens, also for concurrent calls.

    Each call reserves its worst case before it starts, so that concurrent calls together cannot exceed the limit.
    """

    max_calls: int
    max_tokens: int
    model: str
    calls: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    failures: int = 0
    estimated_calls: int = 0
    _reserved: int = 0
    """For running calls, and for ended calls of unknown cost."""
    _running: int = 0
    _released: asyncio.Event = field(default_factory=asyncio.Event)

    async def reserve(self, prompt: str, max_output_tokens: int) -> Reservation | None:
        """Reserve the maximum tokens of a call and return them; None if the call would exceed a limit.

        Waits while only the reservations of running calls are in the way, because most calls cost less.
        """
        worst = Reservation(estimated_tokens(prompt), max_output_tokens)
        while self.calls < self.max_calls:
            if self.input_tokens + self.output_tokens + self._reserved + worst.total <= self.max_tokens:
                self.calls += 1
                self._running += 1
                self._reserved += worst.total
                return worst
            if not self._running:
                return None
            self._released.clear()
            await self._released.wait()
        return None

    def charge(self, reserved: Reservation, tokens: Tokens | None) -> None:
        """End a call: replace its reservation by its cost.

        None: unknown. Then the request counts as usage, and the response's reservation stays.
        """
        self._end()
        if tokens is None:
            self._reserved -= reserved.input
            self.input_tokens += reserved.input
            self.estimated_calls += 1
        else:
            self._reserved -= reserved.total
            self.input_tokens += tokens.input
            self.output_tokens += tokens.output
            self.estimated_calls += tokens.estimated

    def refund(self, reserved: Reservation) -> None:
        """End a call that was not sent."""
        self._end()
        self.calls -= 1
        self._reserved -= reserved.total

    def usage(self) -> ModelUsage:
        """Return the usage."""
        return ModelUsage(
            model=self.model,
            calls=self.calls,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            failures=self.failures,
            estimated_calls=self.estimated_calls,
        )

    def _end(self) -> None:
        self._running -= 1
        self._released.set()
