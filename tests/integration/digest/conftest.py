"""A reader and chosen articles, and language models on loopback that answer as a test says."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

import pytest

from app.digest.analysis import AnalysisSettings, ExtractiveAnalyst, ModelAnalyst
from app.digest.introduction import introduction
from app.digest.openai_model import ModelSettings, build_model
from app.errors import CircuitOpen
from app.external.client import ExternalClient, open_external
from app.models import Article, ArticleKind, Digest, EditionStatus, Profile, Reason, ReasonKind
from app.ranking.counts import count as count_words
from app.ranking.index import Index
from app.ranking.ranking import Ranked, RankingSettings, rank
from app.sources.arxiv import ArxivSettings, ArxivSource
from app.sources.feeds import FeedSettings, FeedSource
from app.sources.fetcher import FetchSettings, HttpFetcher
from app.sources.rate_limiter import RateLimiter
from app.sources.source import Source
from embedded.sample.server import serve_sample
from tests.integration.client.scripted_server import ScriptedServer, Step, answer

ABSTRACT = (
    "Glaciers flow, and their crystals remember how they did so for thousands of years. "
    "We propose a way to read that memory by radar, from the surface and without drilling. "
    "An ice stream changed its course twice in 4,000 years, as the crystals under it show."
)


@pytest.fixture
def reader() -> Profile:
    return Profile(name="Ada", title="Glaciologist", interests=("ice streams", "radar"))


@pytest.fixture
def chosen() -> Callable[[int], list[Ranked]]:
    """Return so many chosen articles."""

    def choose(count: int) -> list[Ranked]:
        return [
            Ranked(
                Article(
                    source="arxiv",
                    external_id=f"2513.{number:05d}",
                    kind=ArticleKind.PAPER,
                    title=f"Ice remembers, part {number}",
                    abstract=ABSTRACT,
                ),
                1.0,
                (Reason(kind=ReasonKind.INTEREST, text="matches: radar", words=("radar",), change="edit"),),
                ("radar",),
            )
            for number in range(count)
        ]

    return choose


def completion(content: object, *, tokens: tuple[int, int] = (300, 80), **message: object) -> Step:
    """A chat completion as OpenAI's server sends it; what is no text is written as JSON."""
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
    """Counts what leaves its blocks; while `open` it lets nobody in."""

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
class DictMemory:
    """Remembers while the test lasts; `kept` is what."""

    kept: dict[str, Any] = field(default_factory=dict)

    async def get(self, key: str) -> Any | None:
        return self.kept.get(key)

    async def put(self, key: str, value: Any) -> None:
        self.kept[key] = value


class StartAnalyst(Protocol):
    def __call__(self, *steps: Step, **changes: Any) -> Awaitable[tuple[ModelAnalyst, ScriptedServer]]: ...


@pytest.fixture
def breaker() -> CountingBreaker:
    return CountingBreaker()


@pytest.fixture
async def start_analyst(breaker: CountingBreaker) -> AsyncIterator[StartAnalyst]:
    """Start a server with these answers, and an analyst that asks it; one question at a time, in order."""
    async with AsyncExitStack() as opened:

        async def start(*steps: Step, **changes: Any) -> tuple[ModelAnalyst, ScriptedServer]:
            server = ScriptedServer(*steps)
            await server.start()
            opened.push_async_callback(server.stop)
            retries = changes.pop("retries", 0)
            address = ModelSettings("k-123", "tiny", f"{server.url}/v1", retries=retries)
            http = await opened.enter_async_context(open_external())
            model = build_model(http, address)
            memory = changes.pop("memory", DictMemory())
            settings = AnalysisSettings(**{"concurrency": 1, **changes})
            return ModelAnalyst(model, settings, breaker, memory), server

        yield start


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


@pytest.fixture
async def sample_digest() -> Digest:
    day = date(2025, 3, 4)
    reader = Profile(name="Ada", interests=("graph neural networks", "robustness"), categories=("cs.LG",))
    async with serve_sample(day) as hosts, open_external() as client:
        return await digest_of(read_from(client, hosts.arxiv_base_url, hosts.feeds, day), day, reader)
