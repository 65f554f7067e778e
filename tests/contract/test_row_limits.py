"""No row is lost if the project's row limit (`db-max-rows`) is smaller than the requested pages."""

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

import pytest
from supabase import AsyncClient

from app.client.call import Call, Response
from app.client.factory import open_supabase
from app.client.transport import ErrorMappingTransport
from app.models.articles import Article, ArticleKind
from app.persistence.editions import Editions
from app.persistence.readers import Readers
from embedded.stack import Ready
from tests.support.stack_process import settings_for
from tests.support.tasks import DAY, READ_TIMEOUT

MAX_ROWS = 7


class TrimmingTransport(ErrorMappingTransport):
    """Truncates each list in a response to the row limit without a warning, like PostgREST."""

    def __init__(self) -> None:
        super().__init__(20, read_timeout=READ_TIMEOUT)
        self.trimmed = 0

    async def send(self, call: Call) -> Response:
        response = await super().send(call)
        rows = response.json() if call.method == "GET" else None
        if not isinstance(rows, list) or len(rows) <= MAX_ROWS:
            return response
        self.trimmed += 1
        return replace(response, content=json.dumps(rows[:MAX_ROWS]).encode())


@pytest.fixture
async def transport() -> TrimmingTransport:
    return TrimmingTransport()


@pytest.fixture
async def client(
    stack: Ready,
    database_reset: None,  # noqa: ARG001  (run first)
    transport: TrimmingTransport,
) -> AsyncIterator[AsyncClient]:
    async with open_supabase(settings_for(stack), transport=transport) as client:
        yield client
    assert transport.trimmed > 0, "the limit was never reached"


@pytest.mark.parametrize("count", [MAX_ROWS + 1, 3 * MAX_ROWS, 3 * MAX_ROWS + 2])
async def test_no_article_is_lost(count: int, client: AsyncClient) -> None:
    articles = [
        Article(source=f"feed:{n % 3}", external_id=f"{n:03d}", kind=ArticleKind.NEWS, title=str(n))
        for n in range(count)
    ]
    await Editions(client).begin_edition(DAY)
    await Editions(client).save_articles(DAY, articles)
    found = await Editions(client).get_articles(DAY)
    assert found == sorted(articles, key=lambda article: (article.source, article.external_id))


async def test_a_page_of_readers_has_the_requested_length(client: AsyncClient) -> None:
    for number in range(3 * MAX_ROWS):
        await Readers(client).create(
            "web", {"reader_id": str(UUID(int=number)), "external_id": f"r{number}", "name": "A"}
        )
    first = await Readers(client).list_page("web", limit=2 * MAX_ROWS)
    last = await Readers(client).list_page("web", limit=2 * MAX_ROWS, cursor=first.next_cursor)
    assert [each.reader_id.int for each in first.readers + last.readers] == list(range(3 * MAX_ROWS))
    assert (len(first.readers), last.next_cursor) == (2 * MAX_ROWS, None)


async def test_a_list_of_editions_has_the_requested_length(client: AsyncClient) -> None:
    days = [DAY - timedelta(days=n) for n in range(3 * MAX_ROWS)]
    for day in days:
        await Editions(client).begin_edition(day)
    for limit in (MAX_ROWS + 1, 100):
        found = await Editions(client).list_editions(limit=limit, before=DAY)
        assert [edition.source_date for edition in found] == days[1:][:limit]
