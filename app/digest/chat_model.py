"""The interfaces that the analysis needs: a language model, a circuit breaker and a cache."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol


class ModelFailed(Exception):
    """The model gave no response."""


class ModelUnavailable(ModelFailed):
    """The server failed: it timed out, was overloaded or unreachable, or violated the protocol."""


class ModelRefused(ModelFailed):
    """The model refused this request."""


class ModelRejected(ModelFailed):
    """The server rejects all such requests: a wrong key, an unknown model or an unsupported request."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A response and its tokens; 0 if the server does not report them."""

    text: str
    input_tokens: int
    output_tokens: int


class ChatModel(Protocol):
    """A language model behind an OpenAI-compatible server."""

    @property
    def name(self) -> str:
        """The model's name, as shown in the digest."""

    async def complete(
        self, instructions: str, text: str, *, schema: Mapping[str, Any], max_output_tokens: int
    ) -> Completion:
        """Request JSON of this schema. Raises `ModelUnavailable`, `ModelRefused` or `ModelRejected`."""


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
