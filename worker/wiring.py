"""Puts the worker together from its settings: sources, analyst, services, handlers."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace

import httpx
from standardwebhooks import Webhook

from app.config import WorkerSettings
from app.digest.analysis import AnalysisSettings, Analyst, ExtractiveAnalyst, ModelAnalyst
from app.digest.rendering import DigestRenderer
from app.digest.service import DigestService
from app.errors import ConfigurationError
from app.fetch_service import FetchService
from app.services import Services
from app.sources.arxiv import ArxivSettings, ArxivSource, Pacer
from app.sources.feeds import DEFAULT_FEEDS, FeedSettings, FeedSource
from app.sources.fetcher import FetchSettings, HttpFetcher
from app.sources.newsapi import NewsApiSettings, NewsApiSource
from app.sources.redirects import RedirectPolicy
from app.sources.source import Source
from worker.callbacks import CallbackSender
from worker.deliveries import CallbackHandler
from worker.handlers import build_handlers
from worker.job import Handlers


@asynccontextmanager
async def open_handlers(services: Services, settings: WorkerSettings) -> AsyncIterator[Handlers]:
    """Open what the handlers need of the outside world, and close it with the block."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(httpx.AsyncClient(timeout=httpx.Timeout(20.0, connect=5.0)))
        analyst = await stack.enter_async_context(_open_analyst(services, settings))
        fetches = FetchService(services.daily_sources, services.breakers, build_sources(http, settings))
        digests = DigestService(services.daily_sources, services.tasks, analyst, DigestRenderer())
        yield build_handlers(fetches, digests, CallbackHandler(_callback_sender(http, settings)))


def build_sources(http: httpx.AsyncClient, settings: WorkerSettings) -> Sequence[Source]:
    """The adapters that the settings name."""
    fetcher = HttpFetcher(http, FetchSettings(user_agent=settings.user_agent), RedirectPolicy())
    arxiv = ArxivSettings(base_url=settings.arxiv_base_url, categories=settings.arxiv_categories)
    feeds = [FeedSettings(name, url) for name, url in settings.feeds] if settings.feeds else DEFAULT_FEEDS
    sources: list[Source] = [ArxivSource(fetcher, arxiv, Pacer())]
    sources += [FeedSource(fetcher, feed) for feed in feeds]
    if settings.newsapi_key is not None:
        news = NewsApiSettings(api_key=settings.newsapi_key.get_secret_value())
        sources.append(NewsApiSource(fetcher, replace(news, query=settings.newsapi_query or news.query)))
    return sources


@asynccontextmanager
async def _open_analyst(services: Services, settings: WorkerSettings) -> AsyncIterator[Analyst]:
    if settings.openai_api_key is None:
        yield ExtractiveAnalyst()
        return
    # Imported only with a key: the library takes a second and 30 MB.
    from app.digest.openai_model import ModelSettings, open_model  # noqa: PLC0415

    model = ModelSettings(
        api_key=settings.openai_api_key.get_secret_value(),
        model=settings.openai_model,
        base_url=settings.openai_base_url,
    )
    limits = AnalysisSettings(max_calls=settings.model_max_calls, max_tokens=settings.model_max_tokens)
    async with open_model(model) as opened:
        yield ModelAnalyst(opened, limits, services.breakers, services.cache)


def _callback_sender(http: httpx.AsyncClient, settings: WorkerSettings) -> CallbackSender | None:
    if settings.webhook_secret is None:
        return None
    try:
        webhooks = [Webhook(secret.strip()) for secret in settings.webhook_secret.get_secret_value().split(",")]
    except Exception as error:
        message = "WEBHOOK_SECRET holds what is no secret of Standard Webhooks: whsec_ and base64, several with commas."
        raise ConfigurationError(message) from error
    return CallbackSender(http, webhooks, private=settings.callbacks_to_private_addresses)
