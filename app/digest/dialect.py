"""What an OpenAI-compatible server accepts, learned from the requests that it refuses. docs/MODELS.md lists servers."""

import re
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, get_args

AnswerFormat = Literal["json_schema", "json_object", "text"]
"""How a request asks for JSON: by a schema, as any JSON object, or only in the instructions."""
LimitName = Literal["max_completion_tokens", "max_tokens"]

_FORMATS: Final[tuple[AnswerFormat, ...]] = get_args(AnswerFormat)
_REFUSALS: Final = frozenset({400, 404, 422, 500, 501})
"""Statuses of servers that do not support a parameter; llama.cpp responds with 500 to a schema it cannot convert."""
_MAX_MESSAGE: Final = 2_000
_SMALLEST_LIMIT: Final = 256
_CONTEXT: Final = re.compile(r"context[ _](?:length|window|size)|maximum context|prompt is too long")
_LIMIT: Final = re.compile(r"max_(?:completion_)?tokens|context[ _](?:length|window|size)|maximum context")
_TOO_LARGE: Final = re.compile(r"too (?:large|long|many)|at most|less than|exceed|context[ _](?:length|window|size)")
_EFFORT: Final = re.compile(r"reasoning|thinking")
_FORMAT: Final = re.compile(
    r"response[ _]?(?:format|schema)|json[ _](?:schema|object|mode)|structured[ _]output|grammar|guided[ _]?json"
)


def is_too_long(message: str) -> bool:
    """Whether a refusal, in lower case, says that the request and the output limit exceed the model's context."""
    return bool(_CONTEXT.search(message[:_MAX_MESSAGE]))


@dataclass(frozen=True, slots=True)
class Dialect:
    """The parameters that a server is believed to accept for a model."""

    answer_format: AnswerFormat = "json_schema"
    limit_name: LimitName = "max_tokens"
    limit_renamed: bool = False
    """Whether the other name was refused."""
    max_output_tokens: int | None = None
    """The largest limit that the server is believed to accept; None: no limit was refused."""
    reasoning_effort: str | None = None

    def options(self, schema: dict[str, Any], max_output_tokens: int) -> dict[str, Any]:
        """Return the parameters of a request besides model and messages."""
        limit = min(max_output_tokens, self.max_output_tokens or max_output_tokens)
        options: dict[str, Any] = {self.limit_name: limit}
        if self.reasoning_effort is not None:
            options["reasoning_effort"] = self.reasoning_effort
        match self.answer_format:
            case "json_schema":
                named = {"name": "answer", "strict": True, "schema": schema}
                options["response_format"] = {"type": "json_schema", "json_schema": named}
            case "json_object":
                options["response_format"] = {"type": "json_object"}
            case "text":
                pass
        return options

    def after(self, status: int, message: str, max_output_tokens: int, *, fixed_format: bool) -> "Dialect | None":
        """Return the dialect to try after a refused request; None if the refusal names nothing that can be changed.

        Each change excludes its repetition, so a request is sent a few times at most.
        """
        text = message[:_MAX_MESSAGE].lower()
        if status not in _REFUSALS:
            return None
        if _LIMIT.search(text):
            return self._after_limit(text, max_output_tokens)
        if self.reasoning_effort is not None and _EFFORT.search(text):
            return replace(self, reasoning_effort=None)
        position = _FORMATS.index(self.answer_format)
        if not fixed_format and position + 1 < len(_FORMATS) and _FORMAT.search(text):
            return replace(self, answer_format=_FORMATS[position + 1])
        return None

    def _after_limit(self, text: str, max_output_tokens: int) -> "Dialect | None":
        if _TOO_LARGE.search(text):
            limit = min(max_output_tokens, self.max_output_tokens or max_output_tokens) // 4
            return replace(self, max_output_tokens=limit) if limit >= _SMALLEST_LIMIT else None
        if self.limit_renamed:
            return None
        other: LimitName = "max_tokens" if self.limit_name == "max_completion_tokens" else "max_completion_tokens"
        return replace(self, limit_name=other, limit_renamed=True)
