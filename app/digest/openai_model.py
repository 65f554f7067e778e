"""A language model behind an OpenAI-compatible server. The openai library takes seconds to import."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import httpx
from openai import APIStatusError, AsyncOpenAI, OpenAIError
from pydantic import BaseModel, Field, ValidationError

from app.digest.chat_model import Completion, ModelFailed, ModelRefused, ModelRejected, ModelUnavailable
from app.sources.text import plain

ResponseFormat = Literal["json_schema", "json_object", "text"]

_OPENAI: Final = "https://api.openai.com/v1"
_OVERLOADED: Final = frozenset({408, 409, 425, 429})
_SERVER_ERROR: Final = 500
_MAX_REASON: Final = 200
_TIMEOUT: Final = httpx.Timeout(60.0, connect=5.0)
"""Seconds until the next byte of a response: models can take long."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The model, its server and the way to request JSON. The key is not part of the `repr`."""

    api_key: str = field(repr=False)
    model: str = "gpt-4o-mini"
    base_url: str = _OPENAI
    response_format: ResponseFormat = "json_schema"
    """What the server supports: not all compatible servers support JSON schemas."""
    retries: int = 2
    """Retries of a call after 429, 5xx and lost connections. They respect Retry-After."""


class _Message(BaseModel):
    content: str | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message


class _Usage(BaseModel):
    prompt_tokens: int = Field(0, ge=0)
    completion_tokens: int = Field(0, ge=0)


class _Response(BaseModel):
    """The parts of a response that we read. The library does not validate responses of compatible servers."""

    choices: list[_Choice] = Field(min_length=1)
    usage: _Usage | None = None


class OpenAIModel:
    """Implements `ChatModel`."""

    def __init__(self, client: AsyncOpenAI, settings: ModelSettings) -> None:
        self._client = client
        self._settings = settings

    @property
    def name(self) -> str:
        """The model's name."""
        return self._settings.model

    async def complete(
        self, instructions: str, text: str, *, schema: Mapping[str, Any], max_output_tokens: int
    ) -> Completion:
        """Send one request with retries. Raises `ModelUnavailable`, `ModelRefused` or `ModelRejected`."""
        try:
            raw = await self._client.chat.completions.with_raw_response.create(
                model=self._settings.model,
                messages=[{"role": "system", "content": instructions}, {"role": "user", "content": text}],
                **self._options(schema, max_output_tokens),
            )
            response = _Response.model_validate_json(raw.content)
        except OpenAIError as error:
            raise _failure(error) from error
        except ValidationError as error:
            raise ModelUnavailable("the response does not follow the OpenAI API") from error
        message = response.choices[0].message
        if not message.content:
            raise ModelRefused(f"the model refused: {plain(message.refusal or 'no reason given', _MAX_REASON)}")
        usage = response.usage or _Usage()
        return Completion(message.content, usage.prompt_tokens, usage.completion_tokens)

    def _options(self, schema: Mapping[str, Any], max_output_tokens: int) -> dict[str, Any]:
        # OpenAI's models no longer accept max_tokens; many compatible servers accept only max_tokens.
        limit = "max_completion_tokens" if self._settings.base_url.startswith(_OPENAI) else "max_tokens"
        options: dict[str, Any] = {limit: max_output_tokens}
        match self._settings.response_format:
            case "json_schema":
                named = {"name": "answer", "strict": True, "schema": schema}
                options["response_format"] = {"type": "json_schema", "json_schema": named}
            case "json_object":
                options["response_format"] = {"type": "json_object"}
            case "text":
                pass
        return options


class _ThreadlessOpenAI(AsyncOpenAI):
    """The client with a fixed platform. The library would determine it in a thread at the first request.

    The platform serves only the statistics header `X-Stainless-OS`. The library has no option for it; a subclass may
    set the attribute that its base class declares.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._platform = "Unknown"


def build_model(http: httpx.AsyncClient, settings: ModelSettings) -> OpenAIModel:
    """Return a model that uses `http`. The caller closes `http`."""
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
