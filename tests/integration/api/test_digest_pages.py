"""A digest's page is rendered when somebody opens it, from the document that its worker stored."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import date
from typing import Any

import asyncpg
import httpx
import pytest
from supabase import AsyncClient

from app.digest.rendering import DigestRenderer
from app.links import Link, Links
from app.models.articles import SAMPLE_CATEGORY, Article, ArticleKind, EditionStatus
from app.models.digests import AnalysisMethod, Digest, DigestItem, FallbackReason, ModelUsage, Reason, ReasonKind
from app.models.tasks import TaskKind
from app.persistence.outcomes import Completed
from app.persistence.readers import Reader
from app.persistence.schedule import Schedule
from embedded.stack import Ready
from tests.support.applications import application
from tests.support.operators import HOSTILE, ROOT_KEY, Operator, settings_with_operators
from tests.support.schedule import Clock, add_reader
from tests.support.tasks import Claimer
from tests.support.visitors import SECRET, digest_of

DAY = date(2026, 11, 24)
OLDEST: dict[str, Any] = {
    "source_date": "2026-11-24",
    "profile": {"name": "Ada"},
    "introduction": "Chosen for you.",
    "papers": [
        {
            "article": {"source": "arxiv", "external_id": "2611.00001", "kind": "paper", "title": "Ice remembers"},
            "score": 0.5,
            "reason": "matches: ice",
            "summary": "It does.",
            "analysis": "extractive",
        }
    ],
    "news": [],
    "considered": 500,
    "edition_status": "completed",
}
"""A document without anything that later versions of the code added."""


def everything() -> Digest:
    """A digest with all that a page can show, in texts that JSON, PostgreSQL and HTML write differently."""
    text = f"Ünïcode 🦉 \\ \u2028 {HOSTILE}"
    paper = Article(
        source="arxiv", external_id="2611.00001", kind=ArticleKind.PAPER, title=text, authors=(text,) * 5,
        url="https://arxiv.example/abs/1?a=1&b=2", pdf_url="https://arxiv.example/1.pdf", journal_ref=text,
        categories=("cs.LG", SAMPLE_CATEGORY), doi="10.1000/ice.1", code_url="https://github.com/ada/ice",
    )  # fmt: skip
    reason = Reason(kind=ReasonKind.LIKED, text=text, words=("ice", "owl"), change="undo your feedback on that paper")
    item = DigestItem(
        article=paper, score=0.1 + 0.2, reason=text, reasons=(reason,), summary=text, key_points=(text, text),
        analysis=AnalysisMethod.MODEL, language="de",
    )  # fmt: skip
    excerpt = item.model_copy(update={"analysis": AnalysisMethod.EXTRACTIVE, "fallback": FallbackReason.BUDGET})
    news = item.model_copy(update={"article": paper.model_copy(update={"kind": ArticleKind.NEWS, "source": "feed:N"})})
    usage = ModelUsage(
        model="tiny-1", calls=2, input_tokens=900, output_tokens=300, estimated_calls=1,
        fallbacks={FallbackReason.CUT_OFF: 1, FallbackReason.BUDGET: 2},
    )  # fmt: skip
    return digest_of(
        DAY, item, excerpt, news=(news,) * 3, introduction=text, edition_status=EditionStatus.PARTIAL, usage=usage,
        source_errors={"arxiv": text}, keys=("arxiv:2611.00001",),
    )  # fmt: skip


class Pages:
    """The three addresses of a digest's page."""

    def __init__(self, http: httpx.AsyncClient, reader: Reader, task_id: str) -> None:
        link = Link(reader.reader_id, 1, DAY)
        self._http = http
        self.of_reader = f"/r/page/{Links([SECRET], '').sign('page', link)}"
        self.of_api = f"/v1/digests/{task_id}/html"
        self.of_operator = f"/ops/tasks/{task_id}/page"

    async def open(self, path: str) -> httpx.Response:
        return await self._http.get(path, headers={"X-API-Key": ROOT_KEY, "Accept": "text/html"})


@pytest.fixture
async def http(stack: Ready, database_reset: None) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001  (run first)
    async with AsyncExitStack() as opened:
        app = opened.enter_context(application(settings_with_operators(stack, link_secret=SECRET)))
        await opened.enter_async_context(app.router.lifespan_context(app))
        http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://api", timeout=60)
        yield await opened.enter_async_context(http)


async def written(client: AsyncClient, clock: Clock, http: httpx.AsyncClient, document: dict[str, Any]) -> Pages:
    """Write this document as the digest of a reader's day, as a worker does; returns the addresses of its page."""
    await clock.set("2026-11-24T06:00:00Z")
    reader = await add_reader(client)
    await clock.set("2026-11-24T07:30:00Z")
    await Schedule(client).enqueue_due()
    worker = Claimer(client, kinds=[TaskKind.DIGEST])
    task = await worker.claim_one()
    assert await worker.finish(task, Completed({"items": 1}, document)) == "applied"
    assert (await Operator(http).sign_in()).status_code == 303
    return Pages(http, reader, str(task.lease.task_id))


async def test_each_address_has_the_page_of_the_written_digest(
    client: AsyncClient, clock: Clock, http: httpx.AsyncClient
) -> None:
    pages = await written(client, clock, http, everything().model_dump(mode="json"))
    expected = await DigestRenderer().render(everything())
    for path in (pages.of_reader, pages.of_api, pages.of_operator):
        answer = await pages.open(path)
        assert (answer.status_code, answer.text) == (200, expected), path
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
        assert "sandbox" in answer.headers["content-security-policy"]
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers.get("cache-control") == (None if path == pages.of_api else "no-store"), path


async def test_a_digest_of_the_oldest_version_has_a_page(
    client: AsyncClient, clock: Clock, http: httpx.AsyncClient
) -> None:
    pages = await written(client, clock, http, OLDEST)
    for path in (pages.of_reader, pages.of_api, pages.of_operator):
        answer = await pages.open(path)
        assert answer.status_code == 200, path
        assert all(text in answer.text for text in ("Ice remembers", "It does.", "Matches: ice", "Chosen for you."))


async def test_an_unreadable_digest_is_a_clear_error(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock, http: httpx.AsyncClient
) -> None:
    pages = await written(client, clock, http, OLDEST)
    await database.execute("update public.digests set digest = digest - 'introduction' where digest is not null")
    problem = (await pages.open(pages.of_api)).json()
    assert problem["status"] == 503
    assert "Field required at ('introduction',)" in problem["detail"]
    refused = await pages.open(pages.of_reader)
    assert (refused.status_code, "Temporary error" in refused.text) == (503, True)
