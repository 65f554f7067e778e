"""What the analysis needs of a language model: one question, one answer, or one of three kinds of failure."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol


class ModelFailed(Exception):
    """The model gave no answer."""


class ModelUnavailable(ModelFailed):
    """Its server is at fault: it timed out, was overloaded, could not be reached, or does not speak the protocol."""


class ModelRefused(ModelFailed):
    """The model did not want to say anything about this question."""


class ModelRejected(ModelFailed):
    """The model's server will refuse every such call: a wrong key, an unknown model, a request it cannot read."""


@dataclass(frozen=True, slots=True)
class Completion:
    """An answer and what it cost, in tokens; a server that does not count them leaves 0."""

    text: str
    input_tokens: int
    output_tokens: int


class ChatModel(Protocol):
    """A language model behind an OpenAI-compatible server."""

    @property
    def name(self) -> str:
        """The model's name, for the digest to show."""

    async def complete(
        self, instructions: str, question: str, *, schema: Mapping[str, Any], max_output_tokens: int
    ) -> Completion:
        """Ask once, for JSON of this schema. Raises ModelUnavailable, ModelRefused or ModelRejected."""


class Breaker(Protocol):
    """A circuit breaker, as far as the analysis needs one."""

    def guard(self, name: str) -> AbstractAsyncContextManager[None]:
        """Enter before a call to the named service: raises CircuitOpen while it is suspended.

        An exception that leaves the block counts as a failure of that service, a normal end as a success.
        """


class AnswerCache(Protocol):
    """A cache of answers, as far as the analysis needs one. It never fails: without a store it remembers less."""

    async def get(self, key: str) -> Any | None:
        """What was kept under `key`, or None."""

    async def put(self, key: str, value: Any) -> None:
        """Keep a JSON value for a time."""
