"""Page sizes, and that each page begins after the last row of the previous one."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import httpx
import pytest
import respx
from supabase import AsyncClient

from app.models.articles import Article, ArticleKind
from app.persistence import editions
from app.persistence.deliveries import Deliveries
from app.persistence.digests import Digests
from app.persistence.editions import Editions
from app.persistence.items import Items
from app.persistence.paging import decode_cursor
from app.persistence.reader_papers import ReaderPapers
from app.persistence.readers import Readers
from app.persistence.schedule import Schedule
from app.persistence.tasks import TaskStateManager
from tests.support.persistence_requests import RECORD, sent

DAY = date(2026, 1, 2)
READER = UUID("00000000-0000-4000-8000-00000000000b")


def article(name: str) -> Article:
    return Article(source="arxiv", external_id=name, kind=ArticleKind.PAPER, title=name)


@pytest.mark.parametrize("most", [5, 2], ids=["whole pages", "pages cut by the project's row limit"])
async def test_all_articles_of_a_day_are_read_page_by_page(
    most: int, client: AsyncClient, router: respx.Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(editions, "READ_PAGE", 3)
    stored = [article(str(number)) for number in range(7)]

    def answer(request: httpx.Request) -> httpx.Response:
        offset, limit = (int(request.url.params[name]) for name in ("offset", "limit"))
        assert limit == 3
        page = stored[offset : offset + min(limit, most)]
        return httpx.Response(200, json=[each.model_dump(mode="json") for each in page])

    router.get("/articles").mock(side_effect=answer)
    assert await Editions(client).get_articles(DAY) == stored


async def test_a_page_of_articles_is_a_thousand(client: AsyncClient, router: respx.Router) -> None:
    router.get("/articles").respond(200, json=[])
    await Editions(client).get_articles(DAY)
    _, parameters, _ = sent(router)
    assert (parameters["offset"], parameters["limit"]) == ("0", "1000")


@pytest.mark.parametrize(("count", "batches"), [(500, [500]), (501, [500, 1])])
async def test_articles_are_saved_five_hundred_at_a_time(
    count: int, batches: list[int], client: AsyncClient, router: respx.Router
) -> None:
    seen: list[Any] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(204)

    router.post("/rpc/save_articles").mock(side_effect=answer)
    await Editions(client).save_articles(DAY, [article(f"{number:04}") for number in range(count)])
    bodies = [httpx.Response(200, content=each.content).json()["p_articles"] for each in seen]
    assert [len(body) for body in bodies] == batches
    assert [row["external_id"] for body in bodies for row in body] == [f"{number:04}" for number in range(count)]


async def test_default_and_largest_page_size_of_each_list(client: AsyncClient, router: respx.Router) -> None:
    router.route().respond(200, json=[])
    readers, digests, papers = Readers(client), Digests(client), ReaderPapers(client)
    tasks, deliveries = TaskStateManager(client), Deliveries(client)
    requests: dict[str, tuple[int, int]] = {}
    for name, by_default, with_limit in (
        ("readers", readers.page(None), readers.page(None, limit=1000)),
        ("days", digests.list_days(READER), digests.list_days(READER, limit=1000)),
        ("found", digests.search(READER, "x"), digests.search(READER, "x", limit=1000)),
        ("newest", digests.newest_items(READER), digests.newest_items(READER, limit=1000)),
        ("papers", papers.page(READER), papers.page(READER, limit=1000)),
        ("tasks", tasks.list_tasks(), tasks.list_tasks(limit=1000)),
        ("deliveries", deliveries.page(None), deliveries.page(None, limit=1000)),
    ):
        limits = []
        for call in (by_default, with_limit):
            await call
            _, parameters, body = sent(router)
            limits.append(int(body["p_limit"] if body else parameters["limit"]))
        requests[name] = (limits[0], limits[1])
    assert requests == {
        "readers": (50, 500), "days": (60, 500), "found": (50, 500), "newest": (100, 500),
        # One row more than the page, to know whether another page follows.
        "papers": (51, 101), "tasks": (51, 101), "deliveries": (51, 101),
    }  # fmt: skip


async def test_batch_sizes_of_other_calls(client: AsyncClient, router: respx.Router) -> None:
    router.route(path__regex="items").respond(200, json=[])
    router.post("/rpc/enqueue_due").respond(200, json=2499)
    await Items(client).first_seen_on(DAY)
    assert sent(router)[2]["p_limit"] == 500
    await Items(client).find_by_keys([str(number) for number in range(101)])
    assert [len(httpx.Response(200, content=call.request.content).json()["p_keys"]) for call in router.calls[-2:]] == [
        100,
        1,
    ]
    assert await Schedule(client).enqueue_due() == 2499
    assert sent(router)[2] == {"p_limit": 2500, "p_ahead_seconds": 0}


async def test_a_search_text_is_limited_to_two_hundred_characters(client: AsyncClient, router: respx.Router) -> None:
    router.post("/rpc/search_digests").respond(200, json=[])
    await Digests(client).search(READER, "x" * 201)
    assert sent(router)[2]["p_text"] == "x" * 200


async def test_items_of_many_keys_are_read_in_hundreds(client: AsyncClient, router: respx.Router) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        keys = json.loads(request.content)["p_keys"]
        return httpx.Response(200, json=[{"key": key, "article": article(key).model_dump(mode="json")} for key in keys])

    router.post("/rpc/items_with_keys").mock(side_effect=answer)
    keys = [str(number) for number in range(201)]
    assert await Items(client).find_by_keys(keys) == {key: article(key) for key in keys}
    assert len(router.calls) == 3


async def test_items_of_a_day_are_paged_after_the_last_one(client: AsyncClient, router: respx.Router) -> None:
    first_seen = "2026-01-02T03:04:05+00:00"
    copy = article("1").model_dump(mode="json")
    item = {"item_id": str(READER), "first_seen": first_seen, "keys": ["k"], "article": copy}
    router.post("/rpc/items_of_day").mock(side_effect=[httpx.Response(200, json=rows) for rows in ([item], [])])
    (found,) = await Items(client).first_seen_on(DAY)
    assert found.item_id == READER
    requests = {"p_day": "2026-01-02", "p_after": first_seen, "p_after_id": str(READER), "p_limit": 500}
    assert sent(router)[2] == requests


def reader(number: int) -> dict[str, Any]:
    at = "2026-01-02T03:04:05+00:00"
    return {
        "reader_id": str(UUID(int=number)), "owner": "web", "external_id": str(number), "name": "A", "profile": {},
        "weekdays": [1], "when_empty": "notify", "status": "active", "created_at": at, "updated_at": at,
    }  # fmt: skip


async def test_all_readers_of_an_owner_are_read_page_by_page(client: AsyncClient, router: respx.Router) -> None:
    pages = [[reader(1), reader(2)], [reader(3)], []]
    route = router.get("/readers").mock(side_effect=[httpx.Response(200, json=page) for page in pages])
    found = [[each.reader_id.int for each in page] async for page in Readers(client).pages("web")]
    assert found == [[1, 2], [3]]
    requests = [dict(call.request.url.params) for call in route.calls]
    assert [each.get("reader_id") for each in requests] == [None, f"gt.{UUID(int=2)}", f"gt.{UUID(int=3)}"]
    assert {(each["owner"], each["limit"]) for each in requests} == {("eq.web", "500")}


PAPER: dict[str, Any] = {
    "kind": "paper", "abstract": "", "authors": [], "origin": "manual", "created_at": "2026-01-02T03:04:05+00:00",
}  # fmt: skip
DELIVERY: dict[str, Any] = {
    "owner": "web", "reader_id": str(READER), "kind": "digest", "local_day": "2026-01-02", "status": "sent",
    "created_at": "2026-01-02T03:04:05+00:00",
}  # fmt: skip
SAVED = {"saved_at": "2026-02-02T03:04:05+00:00"}
MADE, KEPT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC), datetime(2026, 2, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("name", "row", "page", "behind"),
    [
        ("paper_id", PAPER | SAVED, lambda c: ReaderPapers(c).page(READER, limit=2), MADE),
        ("paper_id", PAPER | SAVED, lambda c: ReaderPapers(c).saved(READER, limit=2), KEPT),
        ("paper_id", PAPER, lambda c: ReaderPapers(c).saved(READER, limit=2), MADE),
        ("delivery_id", DELIVERY, lambda c: Deliveries(c).page("web", limit=2), MADE),
        ("task_id", RECORD | {"created_at": MADE.isoformat()}, lambda c: TaskStateManager(c).list_tasks(limit=2), MADE),
    ],
)  # fmt: skip
@pytest.mark.parametrize("there", [0, 1, 2, 3])
async def test_a_cursor_continues_after_the_last_row(
    there: int, name: str, row: dict[str, Any], page: Callable[[AsyncClient], Awaitable[Any]], behind: datetime,
    client: AsyncClient, router: respx.Router,
) -> None:  # fmt: skip
    ids = [UUID(int=number) for number in range(there)]
    router.route().respond(200, json=[row | {name: str(each)} for each in ids])
    found = await page(client)
    (rows,) = [value for value in vars(found).values() if isinstance(value, tuple)]
    assert [getattr(each, name) for each in rows] == ids[:2]
    cursor = found.next_cursor
    assert (decode_cursor(cursor) if cursor else None) == ((behind, ids[1]) if there == 3 else None)


async def test_editions_are_paged_until_there_are_enough(client: AsyncClient, router: respx.Router) -> None:
    at = MADE.isoformat()
    days = ["2026-01-04", "2026-01-03", "2026-01-02"]
    rows = [
        {"source_date": day, "status": "completed", "counts": {}, "errors": {}, "created_at": at, "updated_at": at}
        for day in days
    ]
    route = router.get("/editions").mock(side_effect=[httpx.Response(200, json=page) for page in (rows[:2], rows[2:])])
    found = await Editions(client).list_editions(before=date(2026, 1, 5), limit=3)
    assert [str(each.source_date) for each in found] == days
    requests = [(call.request.url.params["source_date"], call.request.url.params["limit"]) for call in route.calls]
    assert requests == [("lt.2026-01-05", "3"), ("lt.2026-01-03", "1")]
