"""A language model behind an OpenAI-compatible server. The openai library takes seconds to import."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

import httpx
import structlog
from openai import APIConnectionError, APIStatusError, APITimeoutError, AsyncOpenAI, OpenAIError
from pydantic import ValidationError

from app.digest.chat_model import (
    NO_TOKENS,
    Completion,
    ModelBlocked,
    ModelDeclined,
    ModelFailed,
    ModelRefused,
    ModelRejected,
    ModelUnavailable,
)
from app.digest.dialect import AnswerFormat, Dialect, is_too_long
from app.digest.openai_response import read_completion
from app.external.retry_after import MAX_RETRY_AFTER, retry_after
from app.models.digests import FallbackReason
from app.sources.text import plain
from app.tracing.current import Attribute, SpanScope, calling
from app.tracing.http_client import server_of

Sleep = Callable[[float], Awaitable[None]]

log = structlog.get_logger(__name__)

_OPENAI: Final = "https://api.openai.com/v1"
_OVERLOADED: Final = frozenset({429, 503, 529})
"""529 is Anthropic's "overloaded"."""
_TEMPORARY: Final = frozenset({408, 409, 425, 429})
_SERVER_ERROR: Final = 500
_SPENT: Final = ("insufficient_quota", "spend_limit", "billing")
"""Codes of a 429 that no waiting ends: OpenAI's and Anthropic's spending limits."""
_MAX_REASON: Final = 300
_MAX_BODY: Final = 4_000_000
"""Bytes of a response that are parsed."""
_UNSENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout)
_FIRST_DELAY, _MAX_DELAY = 0.5, 8.0
_MAX_DIGITS: Final = 12
_TIMEOUT: Final = httpx.Timeout(180.0, connect=5.0)
"""Seconds until the next byte of a response: thinking models can take long."""


@dataclass(frozen=True, slots=True)
class ModelSettings:
    """The model and its server. The key is not part of the `repr`."""

    api_key: str = field(repr=False)
    model: str = "gpt-4o-mini"
    base_url: str = _OPENAI
    answer_format: AnswerFormat | Literal["auto"] = "auto"
    """`auto`: the first of schema, object and text that the server accepts."""
    reasoning_effort: str | None = None
    retries: int = 2
    """Retries of a call after 429, 5xx and lost connections. They respect Retry-After."""


class OpenAIModel:
    """Implements `ChatModel`. Remembers what its server accepts for as long as the process lives."""

    def __init__(self, client: AsyncOpenAI, settings: ModelSettings, *, sleep: Sleep = asyncio.sleep) -> None:
        self._client = client
        self._sleep = sleep
        self._settings = settings
        self._fixed_format = settings.answer_format != "auto"
        # OpenAI's models no longer accept max_tokens; many compatible servers accept only max_tokens.
        self._dialect = Dialect(
            answer_format="json_schema" if settings.answer_format == "auto" else settings.answer_format,
            limit_name="max_completion_tokens" if settings.base_url.startswith(_OPENAI) else "max_tokens",
            reasoning_effort=settings.reasoning_effort,
        )
        self._blocked_until = 0.0
        self._thinks = settings.reasoning_effort not in {None, "none"}

    @property
    def name(self) -> str:
        """The model's name."""
        return self._settings.model

    @property
    def address(self) -> str:
        """The URL of its server."""
        return self._settings.base_url

    @property
    def thinks(self) -> bool:
        """Whether a response had reasoning, or the settings request it."""
        return self._thinks

    async def complete(
        self, instructions: str, text: str, *, schema: Mapping[str, Any], max_output_tokens: int, seconds: float
    ) -> Completion:
        """Send one request, with retries. Raises `ModelUnavailable`, `ModelDeclined` or `ModelRejected`."""
        with self._span(max_output_tokens) as span:
            completion = await self._complete(
                instructions, text, schema=schema, max_output_tokens=max_output_tokens, seconds=seconds
            )
            tokens = completion.tokens
            span.set({"gen_ai.usage.input_tokens": tokens.input, "gen_ai.usage.output_tokens": tokens.output})
        return completion

    def _span(self, max_output_tokens: int) -> SpanScope:
        """Return the span of a request by the conventions for GenAI, without the prompt, which has interests.

        https://github.com/open-telemetry/semantic-conventions-genai
        """
        attributes: dict[str, Attribute] = {
            "gen_ai.operation.name": "chat",
            # The protocol's provider, whichever server speaks it.
            "gen_ai.provider.name": "openai",
            "gen_ai.request.model": self._settings.model,
            "gen_ai.request.max_tokens": max_output_tokens,
        }
        return calling(f"chat {self._settings.model}", attributes | server_of(httpx.URL(self._settings.base_url)))

    async def _complete(
        self, instructions: str, text: str, *, schema: Mapping[str, Any], max_output_tokens: int, seconds: float
    ) -> Completion:
        messages = [{"role": "system", "content": instructions}, {"role": "user", "content": text}]
        deadline = asyncio.get_running_loop().time() + seconds
        try:
            async with asyncio.timeout(seconds):
                body = await self._body(messages, dict(schema), max_output_tokens, deadline)
            if len(body) > _MAX_BODY:
                raise ModelUnavailable(f"the response has {len(body):,} bytes", FallbackReason.UNAVAILABLE)
            read = read_completion(body, instructions + text)
        except (TimeoutError, APITimeoutError) as error:
            raise ModelUnavailable(f"no response within {seconds:g} s", FallbackReason.TIMEOUT) from error
        except ValidationError as error:
            reason = "the response does not follow the OpenAI API"
            raise ModelUnavailable(reason, FallbackReason.UNAVAILABLE) from error
        self._thinks |= read.reasoned
        if read.completion.tokens.estimated and self._thinks and not read.reasoned:
            # The server reports no tokens and hides the reasoning: count as much as it can have been.
            tokens = replace(read.completion.tokens, output=max_output_tokens)
            return replace(read.completion, tokens=tokens)
        return read.completion

    async def _body(
        self, messages: list[dict[str, str]], schema: dict[str, Any], max_output_tokens: int, deadline: float
    ) -> bytes:
        """Return the body of the first successful response. Raises `ModelFailed`, and `APITimeoutError`."""
        self._require_unblocked(deadline)
        retries, dialect = 0, self._dialect
        while True:
            try:
                body = await self._send(messages, dialect.options(schema, max_output_tokens))
            except APITimeoutError:
                raise
            except OpenAIError as error:
                changed = self._changed(error, dialect, max_output_tokens)
                if changed is not None:
                    dialect = changed
                    continue
                delay = self._delay(error, retries)
                self._require_unblocked(deadline, error)
                if delay is None or retries >= self._settings.retries:
                    raise _failure(error) from error
            else:
                self._remember(dialect)
                return body
            retries += 1
            await self._sleep(delay)

    async def _send(self, messages: list[dict[str, str]], options: dict[str, Any]) -> bytes:
        raw = await self._client.chat.completions.with_raw_response.create(
            model=self._settings.model,
            messages=messages,  # type: ignore[arg-type]  # the library's type names each role
            **options,
        )
        return raw.content

    def _delay(self, error: OpenAIError, retries: int) -> float | None:
        """Return the seconds to wait before a retry; None: it would not help, or could be paid twice.

        Remembers how long the server asked to wait, for all requests of this process.
        """
        if _is_unsent(error):
            return _backoff(retries)
        if not isinstance(error, APIStatusError) or not _is_temporary(error):
            return None
        requested = _requested_delay(error)
        if requested is None:
            return _backoff(retries)
        self._blocked_until = asyncio.get_running_loop().time() + requested
        return requested

    def _require_unblocked(self, deadline: float, cause: OpenAIError | None = None) -> None:
        """Raise `ModelBlocked` if the server asked to wait beyond the deadline."""
        if self._blocked_until >= deadline:
            wait = self._blocked_until - asyncio.get_running_loop().time()
            reason = f": {plain(str(cause), _MAX_REASON)}" if cause else ""
            raise ModelBlocked(f"the server asks to wait {wait:.0f} s{reason}") from cause

    def _changed(self, error: OpenAIError, sent: Dialect, max_output_tokens: int) -> Dialect | None:
        """Return the dialect in which to send the request again at once; None if another would not help."""
        if not isinstance(error, APIStatusError):
            return None
        return sent.after(error.status_code, _message(error), max_output_tokens, fixed_format=self._fixed_format)

    def _remember(self, dialect: Dialect) -> None:
        """Send later requests as the server accepted this one."""
        if dialect != self._dialect:
            self._dialect = dialect
            log.info("the model's server does not accept all parameters", now=str(dialect))


class _ThreadlessOpenAI(AsyncOpenAI):
    """The client with a fixed platform. The library would determine it in a thread at the first request.

    The platform serves only the statistics header `X-Stainless-OS`. The library has no option for it; a subclass may
    set the attribute that its base class declares.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._platform = "Unknown"


def build_model(http: httpx.AsyncClient, settings: ModelSettings, *, sleep: Sleep = asyncio.sleep) -> OpenAIModel:
    """Return a model that uses `http`. The caller closes `http`."""
    client = _ThreadlessOpenAI(
        api_key=settings.api_key,
        base_url=settings.base_url,
        max_retries=0,  # the library ignores a Retry-After above one minute, and knows no deadline
        timeout=_TIMEOUT,
        http_client=http,
    )
    return OpenAIModel(client, settings, sleep=sleep)


def _failure(error: OpenAIError) -> ModelFailed:
    reason = plain(str(error), _MAX_REASON)
    if not isinstance(error, APIStatusError):
        tokens = NO_TOKENS if _is_unsent(error) else None
        return ModelUnavailable(f"{type(error).__name__}: {reason}", FallbackReason.UNAVAILABLE, tokens)
    if not _is_temporary(error):
        return _rejection(_message(error).lower(), reason)
    why = FallbackReason.BUSY if error.status_code in _OVERLOADED else FallbackReason.UNAVAILABLE
    return ModelUnavailable(f"{type(error).__name__}: {reason}", why, NO_TOKENS)


def _rejection(message: str, reason: str) -> ModelFailed:
    """Return the failure for a refusal: of this request, or of all requests."""
    if "content_filter" in message or "content management policy" in message:  # Azure OpenAI
        return ModelRefused(f"the server's content filter refused: {reason}", NO_TOKENS)
    if "json_validate_failed" in message:  # Groq
        return ModelDeclined(reason, FallbackReason.INVALID)
    if is_too_long(message):
        return ModelDeclined(reason, FallbackReason.REJECTED, NO_TOKENS)
    return ModelRejected(reason)


def _message(error: APIStatusError) -> str:
    """Return what the server says, without parts of the request that some servers repeat."""
    if not isinstance(error.body, Mapping) or not isinstance(error.body.get("message"), str):
        return str(error)
    return " ".join(str(error.body.get(name)) for name in ("message", "type", "param", "code"))


def _is_temporary(error: APIStatusError) -> bool:
    if any(code in _message(error).lower() for code in _SPENT):
        return False
    return error.status_code in _TEMPORARY or error.status_code >= _SERVER_ERROR


def _is_unsent(error: OpenAIError) -> bool:
    return isinstance(error, APIConnectionError) and isinstance(error.__cause__, _UNSENT)


def _backoff(retries: int) -> float:
    return min(_MAX_DELAY, _FIRST_DELAY * 2.0**retries) * random.uniform(0.5, 1.0)  # noqa: S311  (jitter)


def _requested_delay(error: APIStatusError) -> float | None:
    """Return the seconds that the response asks to wait. OpenAI's servers send milliseconds too."""
    milliseconds = error.response.headers.get("retry-after-ms", "")
    if milliseconds.isascii() and milliseconds.isdigit():
        return min(int(milliseconds[:_MAX_DIGITS]) / 1000, MAX_RETRY_AFTER)
    return retry_after(error.response.headers, datetime.now(UTC))
