"""The worker's components from its settings: the handler of each kind, the sources, and the clients."""

import json
from datetime import date, timedelta

import httpx
import pytest
from supabase import AsyncClient

from app.config import WorkerSettings
from app.digest.analysis import ExtractiveAnalyst
from app.digest.chat_model import Completion, Tokens
from app.digest.model_analysis import ModelAnalyst
from app.digest.openai_model import ModelSettings, build_model
from app.errors import BroadsheetError
from app.external.client import open_external
from app.models.tasks import TaskKind
from app.services import Services
from app.sources.feeds import DEFAULT_FEEDS
from app.sources.fetcher import FetchSettings, HttpFetcher
from tests.support.fixture_types import Serve
from tests.support.processes import WEBHOOK_SECRET
from tests.support.running_worker import PATIENCE
from tests.support.scripted_server import answer
from worker.configuration import not_configured
from worker.handlers.callback import callback_retry_delay
from worker.handlers.delivery import delivery_retry_delay
from worker.opening import worker_limits
from worker.retries import retry_delay
from worker.runner import WorkerLimits
from worker.wiring import build_analyst, build_other_sources, open_components


def settings(**changes: str) -> WorkerSettings:
    return WorkerSettings.model_validate({"supabase_url": "http://x.test", "supabase_key": "sb_secret_x", **changes})


async def test_each_kind_has_its_handler_timeout_and_retry_delays(client: AsyncClient) -> None:
    async with open_components(Services.build(client), settings()) as parts:
        limits = {kind: (handler.timeout, handler.retry_delay) for kind, handler in parts.handlers.items()}
    assert limits == {
        TaskKind.FETCH: (timedelta(minutes=10), retry_delay),
        TaskKind.DIGEST: (timedelta(minutes=5), retry_delay),
        TaskKind.CALLBACK: (timedelta(seconds=30), callback_retry_delay),
        TaskKind.IMPORT: (timedelta(minutes=15), retry_delay),
    }


async def test_only_a_worker_with_mail_settings_sends_mails(client: AsyncClient) -> None:
    mail = {"mail_url": "folder:/nowhere", "mail_from": "digest@example.org", "public_url": "https://digest.example"}
    chosen = settings(**mail, link_secret="0123456789abcdef")
    async with open_components(Services.build(client), chosen) as parts:
        assert parts.handlers[TaskKind.DELIVERY].timeout == timedelta(minutes=10)
        assert parts.handlers[TaskKind.DELIVERY].retry_delay is delivery_retry_delay
    assert (
        worker_limits(chosen).kind_slots[TaskKind.DELIVERY],
        worker_limits(settings()).kind_slots[TaskKind.DELIVERY],
    ) == (
        2,
        0,
    )


def test_missing_settings_are_reported_with_their_effect() -> None:
    assert not_configured(settings(daily_fetch_at="off")) == {
        "MAIL_URL": "this worker sends no mails",
        "WEBHOOK_SECRET": "this worker sends no callbacks",
        "DAILY_FETCH_AT": "this worker starts no daily fetch",
    }
    mail = {"mail_url": "folder:/nowhere", "mail_from": "digest@example.org", "public_url": "https://digest.example"}
    whole = settings(**mail, link_secret="0123456789abcdef", webhook_secret=WEBHOOK_SECRET)
    assert not_configured(whole) == {}


def test_a_workers_limits_come_from_the_settings() -> None:
    times = {"lease_seconds": "61", "grace_period": "7", "poll_interval": "0.9"}
    slots = {TaskKind.CALLBACK: 6, TaskKind.FETCH: 4, TaskKind.DIGEST: 9, TaskKind.DELIVERY: 0, TaskKind.IMPORT: 1}
    assert worker_limits(settings(concurrency="20", **times)) == WorkerLimits(
        20, timedelta(seconds=61), timedelta(seconds=7), timedelta(seconds=0.9), slots
    )


async def test_the_sources_come_from_the_settings() -> None:
    async with open_external() as http:
        fetcher = HttpFetcher(http, FetchSettings("Broadsheet tests"))
        usual = build_other_sources(fetcher, settings())
        chosen = build_other_sources(fetcher, settings(feeds="one=http://a.test/,two=http://b.test/", newsapi_key="k"))
    assert [source.name for source in usual] == [f"feed:{feed.name}" for feed in DEFAULT_FEEDS]
    assert [source.name for source in chosen] == ["feed:one", "feed:two", "newsapi"]


async def test_newsapi_is_called_with_the_configured_key_and_query() -> None:
    news_requests: list[httpx.Request] = []

    async def refuse(request: httpx.Request) -> None:
        news_requests.append(request)
        raise httpx.ConnectError("no network in tests")

    async with open_external() as http:
        http.event_hooks = {"request": [refuse]}
        fetcher = HttpFetcher(http, FetchSettings("Broadsheet tests"))
        *_, newsapi = build_other_sources(fetcher, settings(newsapi_key="k-123", newsapi_query="glaciers"))
        with pytest.raises(BroadsheetError):
            await newsapi.fetch(date(2026, 3, 4))
    assert news_requests[0].headers["x-api-key"] == "k-123"
    assert news_requests[0].url.params["q"] == "glaciers"


async def test_newsapi_is_called_at_the_configured_url(serve: Serve) -> None:
    server = await serve(answer(200, {"status": "ok", "articles": []}))
    async with open_external() as http:
        fetcher = HttpFetcher(http, FetchSettings("Broadsheet tests"))
        *_, newsapi = build_other_sources(fetcher, settings(newsapi_key="k", newsapi_base_url=server.url))
        assert await newsapi.fetch(date(2026, 3, 4)) == []
    assert "/v2/everything" in server.heads[0]


async def test_each_preprint_server_is_a_source() -> None:
    chosen = settings(biorxiv_categories="biorxiv/ecology,medrxiv,biorxiv/zoology", feeds="one=http://x.test/rss")
    async with open_external() as http:
        sources = build_other_sources(HttpFetcher(http, FetchSettings("Broadsheet tests")), chosen)
    assert [(source.name, source.essential) for source in sources] == [
        ("biorxiv", True),
        ("medrxiv", True),
        ("feed:one", False),
    ]


async def test_with_a_model_key_the_analysis_uses_the_model(client: AsyncClient) -> None:
    services = Services.build(client)
    async with open_external() as http:
        assert isinstance(build_analyst(http, services, settings()), ExtractiveAnalyst)
        assert isinstance(build_analyst(http, services, settings(openai_api_key="k")), ModelAnalyst)


async def test_a_model_uses_the_shared_http_client_and_keeps_it_open(serve: Serve) -> None:
    reply = {"choices": [{"message": {"content": "yes"}}], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}
    server = await serve(answer(200, reply))
    requests: list[httpx.Request] = []

    async def note(request: httpx.Request) -> None:
        requests.append(request)

    async with open_external() as http:
        http.event_hooks = {"request": [note]}
        model = build_model(http, ModelSettings("k-1", "tiny", f"{server.url}/v1", retries=0))
        for _ in range(2):
            said = await model.complete("Say yes.", "Well?", schema={}, max_output_tokens=5, seconds=PATIENCE)
            assert said == Completion("yes", Tokens(3, 1))
        assert not http.is_closed
    assert [json.loads(request.content)["model"] for request in requests] == ["tiny", "tiny"]
    assert requests[0].extensions["timeout"] == {"connect": 5.0, "read": 180.0, "write": 180.0, "pool": 180.0}
