"""The interfaces that the analysis needs: a language model, a circuit breaker and a cache."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol

from app.models.digests import FallbackReason

# An overestimate: an English token has about four bytes; a Chinese character has three and is about one token.
_BYTES_PER_TOKEN: Final = 3


def estimated_tokens(text: str) -> int:
    """Return about how many tokens `text` has, rather too many than too few."""
    return -(-len(text.encode("utf-8", "replace")) // _BYTES_PER_TOKEN)


@dataclass(frozen=True, slots=True)
class Tokens:
    """The tokens of a call. `estimated`: the server did not report them."""

    input: int
    output: int
    estimated: bool = False


NO_TOKENS: Final = Tokens(0, 0)
"""The cost of a request that the server refused: only responses cost something."""


class ModelFailed(Exception):
    """The model gave no usable response. `tokens` are its cost; None: unknown, as the response was lost."""

    def __init__(self, message: str, reason: FallbackReason, tokens: Tokens | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.tokens = tokens


class ModelUnavailable(ModelFailed):
    """The server failed: it timed out, was overloaded or unreachable, or violated the protocol."""


class ModelBlocked(ModelUnavailable):
    """The server asked to send nothing for longer than the caller can wait. Until then nothing is sent."""

    def __init__(self, message: str) -> None:
        super().__init__(message, FallbackReason.BUSY, NO_TOKENS)


class ModelDeclined(ModelFailed):
    """The server works, but not for this request: it is too long, or the model's response was no JSON."""


class ModelRefused(ModelDeclined):
    """The model refused this request."""

    def __init__(self, message: str, tokens: Tokens) -> None:
        super().__init__(message, FallbackReason.REFUSED, tokens)


class ModelRejected(ModelFailed):
    """The server rejects all such requests: a wrong key, an unknown model or an unsupported request."""

    def __init__(self, message: str) -> None:
        super().__init__(message, FallbackReason.REJECTED, NO_TOKENS)


@dataclass(frozen=True, slots=True)
class Completion:
    """A response without the model's reasoning, and its cost. `cut_off`: the output limit ended it."""

    text: str
    tokens: Tokens
    cut_off: bool = False


class ChatModel(Protocol):
    """A language model behind an OpenAI-compatible server."""

    @property
    def name(self) -> str:
        """The model's name, as shown in the digest."""

    @property
    def address(self) -> str:
        """The URL of its server."""

    @property
    def thinks(self) -> bool:
        """Whether the model is known to reason before it responds, which makes each call slow and expensive."""

    async def complete(
        self, instructions: str, text: str, *, schema: Mapping[str, Any], max_output_tokens: int, seconds: float
    ) -> Completion:
        """Request JSON of this schema, within `seconds`.

        Raises `ModelUnavailable`, `ModelDeclined` or `ModelRejected`.
        """


class Breaker(Protocol):
    """A circuit breaker."""

    def guard(self, name: str) -> AbstractAsyncContextManager[None]:
        """Guard a call to the named service. Raises `CircuitOpen` while the circuit breaker is open.

        An exception in the block counts as a failure of the service, a normal exit as a success.
        """


class ResponseCache(Protocol):
    """A cache of responses. It raises nothing: without its store it caches less."""

    async def get(self, key: str) -> Any | None:
        """Return the cached value of `key`, or None."""

    async def put(self, key: str, value: Any) -> None:
        """Cache a JSON value for a limited time."""
