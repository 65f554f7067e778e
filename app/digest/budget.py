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
    _running_input: int = 0
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
                self._running_input += worst.input
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
        self._end(reserved)
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
        self._end(reserved)
        self.calls -= 1
        self._reserved -= reserved.total

    def usage(self) -> ModelUsage:
        """Return the usage. A call that has not ended counts as one of unknown cost.

        The end of a digest's time cuts calls off, and the digest is stored before the last of them has ended.
        """
        return ModelUsage(
            model=self.model,
            calls=self.calls,
            input_tokens=self.input_tokens + self._running_input,
            output_tokens=self.output_tokens,
            failures=self.failures,
            estimated_calls=self.estimated_calls + self._running,
        )

    def _end(self, reserved: Reservation) -> None:
        self._running -= 1
        self._running_input -= reserved.input
        self._released.set()
