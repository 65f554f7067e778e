"""A reader and selected articles, and scripted language models on loopback."""

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import date
from typing import Any

import pytest

from app.digest.model_analysis import AnalysisSettings, ModelAnalyst
from app.digest.openai_model import ModelSettings, build_model
from app.external.client import open_external
from app.models.articles import Article, ArticleKind
from app.models.digests import Digest, Reason, ReasonKind
from app.models.profiles import Profile
from app.ranking.ranking import Ranked
from embedded.sample.server import serve_sample
from tests.support.analysis import ABSTRACT, CountingBreaker, InMemoryCache, StartAnalyst, digest_of, read_from
from tests.support.scripted_server import ScriptedServer, Step


@pytest.fixture
def reader() -> Profile:
    return Profile(name="Ada", title="Glaciologist", interests=("ice streams", "radar"))


@pytest.fixture
def chosen() -> Callable[[int], list[Ranked]]:
    """Return this many selected articles."""

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


@pytest.fixture
def breaker() -> CountingBreaker:
    return CountingBreaker()


@pytest.fixture
async def start_analyst(breaker: CountingBreaker) -> AsyncIterator[StartAnalyst]:
    """Start a server with these responses, and an analyst that calls it, one call at a time."""
    async with AsyncExitStack() as opened:

        async def start(*steps: Step, **changes: Any) -> tuple[ModelAnalyst, ScriptedServer]:
            server = ScriptedServer(*steps)
            await server.start()
            opened.push_async_callback(server.stop)
            retries = changes.pop("retries", 0)
            address = ModelSettings("k-123", "tiny", f"{server.url}/v1", retries=retries)
            http = await opened.enter_async_context(open_external())
            model = build_model(http, address)
            memory = changes.pop("memory", InMemoryCache())
            settings = AnalysisSettings(**{"concurrency": 1, "max_output_tokens": 600, **changes})
            return ModelAnalyst(model, settings, breaker, memory), server

        yield start


@pytest.fixture
async def sample_digest() -> Digest:
    day = date(2025, 3, 4)
    reader = Profile(name="Ada", interests=("graph neural networks", "robustness"), categories=("cs.LG",))
    async with serve_sample(day) as hosts, open_external() as client:
        return await digest_of(read_from(client, hosts.arxiv_base_url, hosts.feeds, day), day, reader)
