"""Builds the worker's components from its settings: sources, analyst, services, handlers."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import Final

from standardwebhooks import Webhook

from app.conditions.monitor import OperatorCallbacks, open_callbacks
from app.config import WorkerSettings
from app.config.mail_address import Mailbox
from app.config.mail_url import parse_mail_url
from app.digest.analysis import Analyst, ExtractiveAnalyst
from app.digest.model_analysis import MODEL_BREAKER, AnalysisSettings, ModelAnalyst
from app.digest.rendering import DigestRenderer
from app.digest.scheduled import PermanentWaits, ScheduledDigests, SourceWaits
from app.digest.service import DigestService
from app.external.callback_sender import CallbackSender
from app.external.client import ExternalClient, open_external
from app.fetch_service import FetchService
from app.libraries.connection import LibraryConnections, build_zotero
from app.libraries.sync import LibrarySync
from app.links import Links
from app.mail.open_sender import open_mail_sender
from app.mail.sender import MailLimits
from app.models.tasks import TaskKind
from app.services import Services
from app.sources.arxiv import ARXIV_HOSTS, ArxivSettings, ArxivSource
from app.sources.biorxiv import BiorxivSettings, BiorxivSource
from app.sources.crossref import Crossref, CrossrefSettings
from app.sources.feeds import DEFAULT_FEEDS, FeedSettings, FeedSource
from app.sources.fetcher import FetchSettings, HttpFetcher
from app.sources.newsapi import NewsApiSettings, NewsApiSource
from app.sources.rate_limiter import Permits, RateLimiter
from app.sources.source import Source
from worker.handlers.callback import CallbackHandler, callback_retry_delay
from worker.handlers.delivery import TIMEOUT as DELIVERY_LIMIT
from worker.handlers.delivery import DeliveryHandler, MailWriter, delivery_retry_delay
from worker.handlers.digest import DigestHandler
from worker.handlers.fetch import FetchHandler
from worker.handlers.library_import import TIMEOUT as IMPORT_LIMIT
from worker.handlers.library_import import ImportHandler, parsers_version
from worker.job import Handler, Handlers
from worker.periodic.paper_look_ups import PaperLookUps
from worker.periodic.retention import Retention

_TASKS_PER_FETCH: Final = 5
_RESPONSES_PER_BUDGET: Final = 3


@dataclass(frozen=True)
class Components:
    """A worker's components: handlers, what periodic jobs look papers up and sync libraries with, and the names of all
    services called.

    A name in `services` is also the name of the service's circuit breaker.
    """

    handlers: Handlers
    arxiv: ArxivSource
    crossref: Crossref
    library_sync: LibrarySync
    library_connections: LibraryConnections
    services: tuple[str, ...]
    operator_callbacks: OperatorCallbacks | None


@asynccontextmanager
async def open_components(
    services: Services, settings: WorkerSettings, waits: SourceWaits | None = None
) -> AsyncIterator[Components]:
    """Open the worker's components, and close them at the end of the block.

    `waits`: how long digests wait for sources; the settings define the default.
    """
    async with AsyncExitStack() as opened:
        http = await opened.enter_async_context(open_external())
        fetcher = HttpFetcher(http, FetchSettings(user_agent=settings.user_agent))
        arxiv = ArxivSource(fetcher, _arxiv_settings(settings), RateLimiter(permits=services.rate_limits))
        sources = [arxiv, *build_other_sources(fetcher, settings, services.rate_limits)]
        fetches = FetchService(services.editions, services.breakers, sources)
        analyst = build_analyst(http, services, settings)
        waits = waits or PermanentWaits(timedelta(hours=settings.digest_max_wait_hours))
        digests = DigestHandler(
            DigestService(services.editions, services.tasks, analyst),
            ScheduledDigests(services.items, services.tasks, analyst, waits),
        )
        callbacks = CallbackHandler(_callback_sender(http, settings))
        deliveries = await opened.enter_async_context(_deliveries(http, services, settings))
        caller_slots = max(1, fetch_slots(settings) // 2)
        fetching = FetchHandler(fetches, services.tasks, caller_slots=caller_slots)
        crossref = Crossref(
            fetcher, _crossref_settings(settings), RateLimiter(1.0, permits=services.rate_limits, name="crossref")
        )
        imports = ImportHandler(services.imports, services.items, code_version=parsers_version())
        handlers = build_handlers(fetching, digests, callbacks, imports, deliveries)
        called = [*(source.name for source in sources), crossref.name]
        called += [MODEL_BREAKER] if settings.openai_api_key else []
        zotero = build_zotero(http, services, settings)
        yield Components(
            *(handlers, arxiv, crossref),
            LibrarySync(services.library_syncs, services.items, zotero),
            LibraryConnections(zotero, services.libraries),
            tuple(called),
            open_callbacks(http, settings),
        )


def fetch_slots(settings: WorkerSettings) -> int:
    """Return how many fetches a worker runs at once: more would only wait for the sources' rate limits."""
    return max(1, settings.concurrency // _TASKS_PER_FETCH)


def build_handlers(
    fetches: FetchHandler,
    digests: DigestHandler,
    callbacks: CallbackHandler,
    imports: ImportHandler,
    deliveries: DeliveryHandler | None = None,
) -> Handlers:
    """Return each kind's handler with its time limit and retry delay.

    Without `deliveries`, other workers must run delivery tasks.
    """
    handlers = {
        TaskKind.FETCH: Handler(fetches, timedelta(minutes=10)),
        TaskKind.DIGEST: Handler(digests, timedelta(minutes=5)),
        TaskKind.CALLBACK: Handler(callbacks, timedelta(seconds=30), callback_retry_delay),
        TaskKind.IMPORT: Handler(imports, IMPORT_LIMIT),
    }
    if deliveries is not None:
        handlers[TaskKind.DELIVERY] = Handler(deliveries, DELIVERY_LIMIT, delivery_retry_delay)
    return handlers


def build_look_ups(services: Services, components: Components, random: Random) -> PaperLookUps:
    """Return the job that looks up papers at arXiv and Crossref."""
    return PaperLookUps(
        *(services.reader_papers, services.rate_limits, services.breakers, components.arxiv, components.crossref),
        random=random,
    )


def build_retention(services: Services, settings: WorkerSettings, random: Random) -> Retention:
    """Return the job that removes old rows, with the times in the settings."""
    return Retention(
        services.maintenance,
        task_days=settings.task_retention_days,
        edition_days=settings.edition_retention_days,
        digest_days=settings.digest_retention_days,
        delivery_days=settings.delivery_retention_days,
        random=random,
    )


def build_other_sources(
    fetcher: HttpFetcher, settings: WorkerSettings, permits: Permits | None = None
) -> Sequence[Source]:
    """Return the sources in the settings, besides arXiv."""
    feeds = [FeedSettings(name, url) for name, url in settings.feeds] if settings.feeds else DEFAULT_FEEDS
    sources: list[Source] = list(_preprint_servers(fetcher, settings, permits))
    sources += [FeedSource(fetcher, feed) for feed in feeds]
    if settings.newsapi_key is not None:
        news = NewsApiSettings(api_key=settings.newsapi_key.get_secret_value(), base_url=settings.newsapi_base_url)
        sources.append(NewsApiSource(fetcher, replace(news, query=settings.newsapi_query or news.query)))
    return sources


def _crossref_settings(settings: WorkerSettings) -> CrossrefSettings:
    contact = settings.contact_email or settings.mail_from
    return CrossrefSettings(settings.crossref_base_url, Mailbox.parse(contact).address if contact else None)


def _preprint_servers(
    fetcher: HttpFetcher, settings: WorkerSettings, permits: Permits | None
) -> Iterator[BiorxivSource]:
    # Neither server names a limit; both share the machine behind their API.
    rate_limiter = RateLimiter(1.0, permits=permits, name="biorxiv")
    for server in dict.fromkeys(server for server, _ in settings.biorxiv_categories):
        wanted = [category for name, category in settings.biorxiv_categories if name == server]
        categories = frozenset() if None in wanted else frozenset(filter(None, wanted))
        chosen = BiorxivSettings(server, categories, settings.biorxiv_base_url)
        yield BiorxivSource(fetcher, chosen, rate_limiter)


def _arxiv_settings(settings: WorkerSettings) -> ArxivSettings:
    if settings.arxiv_base_url is None:
        return replace(ARXIV_HOSTS, categories=settings.arxiv_categories)
    url = settings.arxiv_base_url
    return ArxivSettings(base_url=url, listing_url=url, oai_url=url, categories=settings.arxiv_categories)


def build_analyst(http: ExternalClient, services: Services, settings: WorkerSettings) -> Analyst:
    """Return the analyst that writes the summaries: the language model in the settings, or excerpts from abstracts."""
    if settings.openai_api_key is None:
        return ExtractiveAnalyst()
    # The import takes a second and 30 MB.
    from app.digest.openai_model import ModelSettings, build_model  # noqa: PLC0415  (only with a key)

    model = ModelSettings(
        api_key=settings.openai_api_key.get_secret_value(),
        model=settings.openai_model,
        base_url=settings.openai_base_url,
        answer_format=settings.openai_answer_format,
        reasoning_effort=settings.openai_reasoning_effort,
    )
    limits = AnalysisSettings(
        max_calls=settings.model_max_calls,
        max_tokens=settings.model_max_tokens,
        max_output_tokens=_max_output_tokens(settings),
    )
    return ModelAnalyst(build_model(http, model), limits, services.breakers, services.cache)


def _max_output_tokens(settings: WorkerSettings) -> int:
    """Return the limit of a response: at most a third of a digest's tokens, so that a small budget allows calls."""
    return max(1, min(settings.openai_max_output_tokens, settings.model_max_tokens // _RESPONSES_PER_BUDGET))


def _callback_sender(http: ExternalClient, settings: WorkerSettings) -> CallbackSender | None:
    if not settings.webhook_secret:
        return None
    webhooks = [Webhook(secret.get_secret_value()) for secret in settings.webhook_secret]
    return CallbackSender(http, webhooks, private=settings.callbacks_to_private_addresses)


@asynccontextmanager
async def _deliveries(
    http: ExternalClient, services: Services, settings: WorkerSettings
) -> AsyncIterator[DeliveryHandler | None]:
    """Open the delivery handler; None without MAIL_URL. With MAIL_URL, the settings require MAIL_FROM."""
    if settings.mail_url is None or settings.mail_from is None:
        yield None
        return
    links = None
    if settings.public_url is not None:
        links = Links([secret.get_secret_value() for secret in settings.link_secret], settings.public_url)
    limits = MailLimits(concurrency=settings.mail_connections, per_second=settings.mail_rate)
    url = parse_mail_url(settings.mail_url.get_secret_value())
    async with open_mail_sender(url, http, limits) as sender:
        yield DeliveryHandler(
            services.deliveries, MailWriter(Mailbox.parse(settings.mail_from), links, DigestRenderer()), sender
        )
