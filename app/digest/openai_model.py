"""A language model behind an OpenAI-compatible server, by the openai library, which takes seconds to import."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import httpx
from openai import APIStatusError, AsyncOpenAI, OpenAIError
from pydantic import BaseModel, Field, ValidationError

from app.digest.chat_model import Completion, ModelFailed, ModelRefused, ModelRejected, ModelUnavailable
from app.sources.text import plain

AnswerFormat = Literal["json_schema", "json_object", "text"]

_OPENAI: Final = "https://api.openai.com/v1"
_OVERLOADED: Final = frozenset({408, 409, 425, 429})
_SERVER_ERROR: Final = 500
_MAX_REASON: Final = 200
_TIMEOUT: Final = httpx.Timeout(60.0, connect=5.0)
"""Seconds for the next byte of an answer: a model may think for a while."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """Which model, where, and how it is asked for JSON. The key never shows up in a `repr`."""

    api_key: str = field(repr=False)
    model: str = "gpt-4o-mini"
    base_url: str = _OPENAI
    answer_format: AnswerFormat = "json_schema"
    """What the server understands: not all that call themselves compatible know JSON schemas."""
    retries: int = 2
    """Of one call, after 429, 5xx and lost connections; the server's Retry-After is respected."""


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message


class _Usage(BaseModel):
    prompt_tokens: int = Field(0, ge=0)
    completion_tokens: int = Field(0, ge=0)


class _Answer(BaseModel):
    """What is read of an answer. The library hands on whatever a server sends; compatible ones send all sorts."""

    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


class OpenAIModel:
    """Implements ChatModel."""

    def __init__(self, client: AsyncOpenAI, settings: ModelSettings) -> None:
        self._client = client
        self._settings = settings

    @property
    def name(self) -> str:
        """The model's name."""
        return self._settings.model

    async def complete(
        self, instructions: str, question: str, *, schema: Mapping[str, Any], max_output_tokens: int
    ) -> Completion:
        """Ask once, with the library's retries. Raises ModelUnavailable, ModelRefused or ModelRejected."""
        try:
            raw = await self._client.chat.completions.with_raw_response.create(
                model=self._settings.model,
                messages=[{"role": "system", "content": instructions}, {"role": "user", "content": question}],
                **self._options(schema, max_output_tokens),
            )
            answer = _Answer.model_validate_json(raw.content)
        except OpenAIError as error:
            raise _failure(error) from error
        except ValidationError as error:
            raise ModelUnavailable("the server's answer is not of the form of OpenAI's") from error
        message = answer.choices[0].message
        if not message.content:
            raise ModelRefused(f"it refused: {plain(message.refusal or 'without a word', _MAX_REASON)}")
        usage = answer.usage or _Usage()
        return Completion(message.content, usage.prompt_tokens, usage.completion_tokens)

    def _options(self, schema: Mapping[str, Any], max_output_tokens: int) -> dict[str, Any]:
        # OpenAI's own models no longer take max_tokens, and many compatible servers take nothing else.
        limit = "max_completion_tokens" if self._settings.base_url.startswith(_OPENAI) else "max_tokens"
        options: dict[str, Any] = {limit: max_output_tokens}
        match self._settings.answer_format:
            case "json_schema":
                named = {"name": "answer", "strict": True, "schema": schema}
                options["response_format"] = {"type": "json_schema", "json_schema": named}
            case "json_object":
                options["response_format"] = {"type": "json_object"}
            case "text":
                pass
        return options


class _ThreadlessOpenAI(AsyncOpenAI):
    """The client with its platform given: at its first request the library would determine it in a thread.

    The platform serves only the statistics header `X-Stainless-OS`. The library has no option for it; a subclass may
    set the attribute that its base class declares.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._platform = "Unknown"


def build_model(http: httpx.AsyncClient, settings: ModelSettings) -> OpenAIModel:
    """A model that is asked through `http`, which stays its opener's to close."""
    client = _ThreadlessOpenAI(
        api_key=settings.api_key,
        base_url=settings.base_url,
        max_retries=settings.retries,
        timeout=_TIMEOUT,
        http_client=http,
    )
    return OpenAIModel(client, settings)


def _failure(error: OpenAIError) -> ModelFailed:
    reason = plain(str(error), _MAX_REASON)
    status = error.status_code if isinstance(error, APIStatusError) else _SERVER_ERROR
    if status in _OVERLOADED or status >= _SERVER_ERROR:
        return ModelUnavailable(f"{type(error).__name__}: {reason}")
    return ModelRejected(reason)
