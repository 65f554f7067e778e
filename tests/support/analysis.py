"""What the tests of digests share: responses of a language model, a circuit breaker and a cache in memory."""

import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from app.digest.analysis import ExtractiveAnalyst
from app.digest.introduction import introduction
from app.digest.model_analysis import ModelAnalyst
from app.errors import CircuitOpen
from app.external.client import ExternalClient
from app.models.articles import Article, EditionStatus
from app.models.digests import Digest
from app.models.profiles import Profile
from app.ranking.counts import count as count_words
from app.ranking.index import Index
from app.ranking.ranking import RankingSettings, rank
from app.sources.arxiv import ArxivSettings, ArxivSource
from app.sources.feeds import FeedSettings, FeedSource
from app.sources.fetcher import FetchSettings, HttpFetcher
from app.sources.rate_limiter import RateLimiter
from app.sources.source import Source
from tests.support.scripted_server import ScriptedServer, Step, answer

ABSTRACT = (
    "Glaciers flow, and their crystals remember how they did so for thousands of years. "
    "We propose a way to read that memory by radar, from the surface and without drilling. "
    "An ice stream changed its course twice in 4,000 years, as the crystals under it show."
)


def completion(content: object, *, tokens: tuple[int, int] = (300, 80), **message: object) -> Step:
    """A chat completion as OpenAI's server sends it; values other than text become JSON."""
    text = content if isinstance(content, str | None) else json.dumps(content)
    return answer(
        200,
        {
            "id": "c-1",
            "object": "chat.completion",
            "created": 1,
            "model": "tiny",
            "choices": [
                {
                    "index": 0,
                    "finish_reason": "stop",
                    "message": {"role": "assistant", "content": text, **message},
                }
            ],
            "usage": {"prompt_tokens": tokens[0], "completion_tokens": tokens[1], "total_tokens": sum(tokens)},
        },
    )


@dataclass
class CountingBreaker:
    """Records the outcomes of its blocks; while `open`, it refuses all."""

    open: bool = False
    outcomes: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def guard(self, name: str) -> AsyncIterator[None]:
        if self.open:
            raise CircuitOpen(f"{name} is suspended", retry_after=30)
        try:
            yield
        except BaseException:
            self.outcomes.append("failure")
            raise
        self.outcomes.append("success")


@dataclass
class InMemoryCache:
    """A cache in memory; `kept` has its entries."""

    kept: dict[str, Any] = field(default_factory=dict)

    async def get(self, key: str) -> Any | None:
        return self.kept.get(key)

    async def put(self, key: str, value: Any) -> None:
        self.kept[key] = value


class StartAnalyst(Protocol):
    def __call__(self, *steps: Step, **changes: Any) -> Awaitable[tuple[ModelAnalyst, ScriptedServer]]: ...


async def digest_of(sources: list[Source], day: date, profile: Profile) -> Digest:
    articles: list[Article] = [article for source in sources for article in await source.fetch(day)]
    ranking = await rank(await Index.of([await count_words(articles)], day), profile, RankingSettings())
    analysed = await ExtractiveAnalyst().begin(profile).analyse([*ranking.papers, *ranking.news])
    papers = len(ranking.papers)
    return Digest(
        source_date=day,
        profile=profile,
        introduction=introduction(day, ranking),
        papers=analysed.items[:papers],
        news=analysed.items[papers:],
        considered=ranking.considered,
        edition_status=EditionStatus.COMPLETED,
        usage=analysed.usage,
    )


def read_from(client: ExternalClient, base_url: str, feeds: tuple[FeedSettings, ...], day: date) -> list[Source]:
    fetcher = HttpFetcher(client, FetchSettings("Broadsheet tests"))
    papers = ArxivSource(fetcher, ArxivSettings(base_url=base_url, max_papers=40), RateLimiter(interval=0))
    return [papers, *(FeedSource(fetcher, feed, today=lambda: day) for feed in feeds)]
