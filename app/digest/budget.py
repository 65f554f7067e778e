"""What the language model may cost one digest, and what it did cost."""

from dataclasses import dataclass
from typing import Final

from app.digest.chat_model import Completion
from app.models import ModelUsage

# Counts rather too many: tokens of English have some four bytes, and a Chinese character, of three, is about one.
_BYTES_PER_TOKEN: Final = 3


@dataclass(slots=True)
class Budget:
    """Keeps calls and tokens within their bounds, with as many calls at once as there may be.

    A call reserves its worst case before it begins, so that calls under way local_service cannot exceed the bound.
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
        """Set aside what a call can cost at most, in tokens; None if that, or one more call, is beyond the bound."""
        worst = len(prompt.encode()) // _BYTES_PER_TOKEN + max_output_tokens
        spent = self.input_tokens + self.output_tokens
        if self.calls >= self.max_calls or spent + self._reserved + worst > self.max_tokens:
            return None
        self.calls += 1
        self._reserved += worst
        return worst

    def charge(self, reserved: int, completion: Completion) -> None:
        """Replace a reservation by what the call cost.

        Where that is not known, since the server does not count, the worst case stays set aside; it does so too for a
        call that failed, which nobody resolves.
        """
        if completion.input_tokens + completion.output_tokens:
            self._reserved -= reserved
            self.input_tokens += completion.input_tokens
            self.output_tokens += completion.output_tokens

    def refund(self, reserved: int) -> None:
        """Undo a reservation whose call never began."""
        self.calls -= 1
        self._reserved -= reserved

    def usage(self) -> ModelUsage:
        """Return what was spent."""
        return ModelUsage(
            model=self.model,
            calls=self.calls,
            input_tokens=self.input_tokens,
            output_tokens=self.output_tokens,
            failures=self.failures,
        )
