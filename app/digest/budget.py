"""The budget and the usage of the language model for one digest."""

from dataclasses import dataclass
from typing import Final

from app.digest.chat_model import Completion
from app.models import ModelUsage

# An overestimate: an English token has about four bytes; a Chinese character has three and is about one token.
_BYTES_PER_TOKEN: Final = 3


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
    _reserved: int = 0

    def reserve(self, prompt: str, max_output_tokens: int) -> int | None:
        """Reserve the maximum tokens of a call and return them; None if the call would exceed a limit."""
        worst = len(prompt.encode()) // _BYTES_PER_TOKEN + max_output_tokens
        spent = self.input_tokens + self.output_tokens
        if self.calls >= self.max_calls or spent + self._reserved + worst > self.max_tokens:
            return None
        self.calls += 1
        self._reserved += worst
        return worst

    def charge(self, reserved: int, completion: Completion) -> None:
        """Replace a reservation by the actual cost.

        If the server reports no usage, the reservation stays. It also stays for a failed call, whose cost is unknown.
        """
        if completion.input_tokens + completion.output_tokens:
            self._reserved -= reserved
            self.input_tokens += completion.input_tokens
            self.output_tokens += completion.output_tokens

    def refund(self, reserved: int) -> None:
        """Cancel the reservation of a call that was not sent."""
        self.calls -= 1
        self._reserved -= reserved

    def usage(self) -> ModelUsage:
        """Return the usage."""
        return ModelUsage(
            model=self.model,
            calls=self.calls,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            failures=self.failures,
        )
