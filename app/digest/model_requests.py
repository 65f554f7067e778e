"""The requests to the language model: what each sends, and how its response is read."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from app.digest.chat_model import ChatModel, Completion, ModelFailed
from app.digest.extractive import Extract
from app.digest.model_response import (
    BATCH_INSTRUCTIONS,
    BATCH_SCHEMA,
    INSTRUCTIONS,
    ORDER_INSTRUCTIONS,
    ORDER_SCHEMA,
    SUMMARY_SCHEMA,
    InvalidModelResponse,
    Schema,
    batch_request,
    in_language,
    order_request,
    parse_batch,
    parse_order,
    parse_summary,
    summary_request,
)
from app.models.articles import Article
from app.models.digests import FallbackReason
from app.models.profiles import Profile

Response = TypeVar("Response")


@dataclass(frozen=True, slots=True)
class Request(Generic[Response]):
    """A request to the model, and the parser of its response."""

    instructions: str
    text: str
    schema: Schema
    parse: Callable[[str], Response]
    is_whole: Callable[[Response], bool] = bool
    """Whether a response has all that was requested: only such responses are cached."""

    @property
    def prompt(self) -> str:
        """All that the model reads."""
        return self.instructions + self.text

    def key(self, model: ChatModel) -> str:
        """Return the cache key of the response."""
        return cache_key("analysis", model, self.instructions, self.text)

    def read(self, completion: Completion) -> Response:
        """Parse a completion. Raises `ModelFailed`."""
        try:
            return self.parse(completion.text)
        except InvalidModelResponse as error:
            if not completion.cut_off:
                raise ModelFailed(str(error), FallbackReason.INVALID) from error
            hint = "raise OPENAI_MAX_OUTPUT_TOKENS, or lower OPENAI_REASONING_EFFORT"
            raise ModelFailed(f"the output limit cut the response off: {hint}", FallbackReason.CUT_OFF) from error


def cache_key(kind: str, model: ChatModel, *parts: str) -> str:
    """Return the key of something cached about a model at its address."""
    content = json.dumps([model.address, model.name, *parts])
    return f"{kind}:{hashlib.sha256(content.encode()).hexdigest()}"


def order_of(articles: Sequence[Article], profile: Profile) -> Request[list[int]]:
    """Request an order of articles."""
    parse = partial(parse_order, count=len(articles))
    return Request(ORDER_INSTRUCTIONS, order_request(articles, profile), ORDER_SCHEMA, parse)


def summary_of(article: Article, profile: Profile) -> Request[Extract]:
    """Request the summary of one article."""
    instructions = in_language(INSTRUCTIONS, profile.language)
    return Request(instructions, summary_request(article, profile), SUMMARY_SCHEMA, parse_summary, lambda _: True)


def summaries_of(articles: Sequence[Article], profile: Profile) -> Request[list[Extract | None]]:
    """Request the summaries of several articles at once."""
    parse = partial(parse_batch, count=len(articles))
    instructions = in_language(BATCH_INSTRUCTIONS, profile.language)
    return Request(instructions, batch_request(articles, profile), BATCH_SCHEMA, parse, all)
