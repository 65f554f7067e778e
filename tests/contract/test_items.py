"""Copies of a paper from any sources and days are one item with one first_seen."""

import asyncio
import random
from datetime import timedelta

import asyncpg
import pytest
from supabase import AsyncClient

from app.models.articles import Article, ArticleKind, EditionStatus
from app.persistence.editions import Editions
from app.persistence.items import Items
from app.persistence.maintenance import Maintenance
from tests.contract.deadlocks import deadlocks
from tests.support.items import ARXIV, TITLE, TODAY, copy, save, seen

COPIES = {
    "arXiv": copy(**ARXIV, title=TITLE),
    "a version on the next day": copy(**ARXIV, title="Another title altogether, of course"),
    "by title": copy(title=f" {TITLE.upper()}."),
    "by arXiv id": copy(external_id="y", arxiv_id="2611.00001", title="Something else that a feed calls it"),
    "by the DOI that arXiv gave": copy(external_id="z", doi="10.48550/arxiv.2611.00001"),
}


@pytest.mark.parametrize("other", list(COPIES)[1:])
@pytest.mark.parametrize("order", [1, -1], ids=["arXiv first", "arXiv last"])
async def test_copies_that_share_a_key_are_one(other: str, order: int, client: AsyncClient) -> None:
    for back, name in enumerate(["arXiv", other][::order]):
        await save(client, COPIES[name], day=TODAY - timedelta(days=back))
    assert len(await seen(client)) == 1


async def test_copies_in_one_batch_that_share_a_key_are_one(client: AsyncClient) -> None:
    await save(client, *(c.model_copy(update={"external_id": str(n)}) for n, c in enumerate(COPIES.values())))
    (item,) = await seen(client)
    assert {key.partition(":")[0] for key in item.keys} == {"arxiv", "from", "title"}


async def test_a_copy_merges_two_items_and_keeps_the_earlier_time(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await save(client, copy(**ARXIV))
    await database.execute("update public.items set first_seen = first_seen - interval '3 days'")
    before = await database.fetchval("select first_seen from public.items")
    await save(client, copy(doi="10.1038/x", title=TITLE))
    assert len(await seen(client)) == 1
    both = copy(external_id="both", arxiv_id="2611.00001", doi="10.1038/x")
    for _ in range(2):
        await save(client, both)
        assert await seen(client) == []
        (item,) = await seen(client, TODAY - timedelta(days=3))
        assert item.first_seen == before
        assert await seen(client, TODAY - timedelta(days=4)) == [], "a day has no items of the next day"
        assert len(item.keys) == 5
    assert await database.fetchval("select count(distinct item_id) from public.articles") == 1


async def test_later_editions_and_upserts_keep_the_first_seen_time(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    await save(client, copy(**ARXIV, title=TITLE))
    before = await database.fetchrow("select * from public.items")
    await save(client, copy(**ARXIV, title=TITLE))
    assert await database.fetchrow("select * from public.items") == before, "unchanged rows are not written"
    await save(client, copy(**ARXIV, title=TITLE, abstract="Now with one."), day=TODAY - timedelta(days=1))
    after = await database.fetchrow("select * from public.items")
    assert (after["item_id"], after["first_seen"]) == (before["item_id"], before["first_seen"])
    assert after["changed_at"] > before["changed_at"]


async def test_two_arxiv_ids_are_two_papers_despite_a_feeds_claims(client: AsyncClient) -> None:
    other = {"source": "arxiv", "external_id": "2611.00002", "arxiv_id": "2611.00002"}
    await save(
        client, copy(**ARXIV, title=TITLE), copy(**other, doi="10.1038/x", title="Quite another thing about ice")
    )
    await save(client, copy(title=TITLE, doi="10.1038/x"), copy(**other | {"source": "feed:y"}, title=TITLE))
    assert sorted(item.article.arxiv_id or "" for item in await seen(client)) == ["2611.00001", "2611.00002"]


async def test_the_most_complete_copy_is_shown(client: AsyncClient) -> None:
    copies = [
        copy(kind=ArticleKind.NEWS, title=TITLE),
        copy(external_id="2", title=TITLE, doi="10.1038/x"),
        copy(external_id="3", kind=ArticleKind.NEWS, title=TITLE, abstract="A long text of a journalist. " * 9),
        copy(external_id="4", title=TITLE, abstract="An abstract."),
        copy(external_id="5", title=TITLE, abstract="An abstract.", doi="10.1038/x"),
        copy(external_id="6", title=TITLE, abstract="A longer abstract.", doi="10.1038/x"),
        copy(**ARXIV, title=TITLE, abstract="Own."),
    ]
    for best in copies:
        await save(client, best)
        (item,) = await seen(client)
        assert item.article == best
    for worse in copies[::-1]:
        await save(client, worse, day=TODAY - timedelta(days=1))
    assert (await seen(client))[0].article.source == "arxiv"


async def test_a_fetch_of_a_past_day_adds_no_new_items(client: AsyncClient) -> None:
    await save(client, copy(**ARXIV), day=TODAY - timedelta(days=9))
    assert await seen(client) == []
    await save(client, copy(**ARXIV), day=TODAY - timedelta(days=1))
    assert len(await seen(client)) == 1


async def test_a_day_is_read_page_by_page(client: AsyncClient) -> None:
    await save(client, *(copy(external_id=str(n)) for n in range(1203)))
    items = await seen(client)
    assert len({item.item_id for item in items}) == len(items) == 1203


async def test_concurrent_writers_create_one_item_per_paper(client: AsyncClient, database: asyncpg.Connection) -> None:
    before = await deadlocks(database)
    await Editions(client).begin_edition(TODAY)

    async def write(seed: int) -> None:
        chance = random.Random(seed)
        for _ in range(4):
            numbers = chance.sample(range(60), 40)
            await Editions(client).save_articles(TODAY, [partial_copy(n, chance, seed) for n in numbers])
            await Maintenance(client, batch=20).retain(task_days=30, edition_days=30)

    await asyncio.gather(*(write(seed) for seed in range(10)))
    await Editions(client).save_articles(TODAY, [whole(n) for n in range(60)])
    assert await deadlocks(database) == before
    found = await database.fetch(
        "select regexp_replace(external_id, '.*-', '') as n, count(distinct item_id) as items"
        " from public.articles group by 1"
    )
    assert {row["n"]: row["items"] for row in found} == {str(n): 1 for n in range(60)}
    assert await database.fetchval("select count(*) from public.items") == 60


def whole(n: int) -> Article:
    return copy(
        external_id=f"w-{n}", arxiv_id=f"2611.{n:05}", doi=f"10.1038/{n}", title=f"The title of paper number {n}"
    )


def partial_copy(n: int, chance: random.Random, seed: int) -> Article:
    """A copy with one or two of the paper's keys."""
    names = chance.sample(["arxiv_id", "doi", "title"], chance.choice([1, 2]))
    known = {name: value for name, value in whole(n).model_dump().items() if name in names}
    return copy(**known | {"source": f"feed:{seed}", "external_id": f"{'-'.join(names)}-{n}"})


async def test_items_are_removed_when_nobody_can_be_shown_them_again(
    client: AsyncClient, database: asyncpg.Connection
) -> None:
    maintenance = Maintenance(client)
    await save(client, copy(**ARXIV), day=TODAY)
    await Editions(client).finish_edition(TODAY, EditionStatus.COMPLETED, {})
    await database.execute("update public.editions set updated_at = now() - interval '31 days'")
    await database.execute("update public.items set first_seen = now() - interval '89 days'")
    assert (await maintenance.retain(task_days=30, edition_days=30)).articles == 1
    await save(client, copy(**ARXIV))
    assert await seen(client) == [], "it is kept although its articles were removed"
    await database.execute("update public.items set first_seen = now() - interval '91 days'")
    assert (await maintenance.retain(task_days=30, edition_days=30)).items == 0, "an article points to it"
    await database.execute("update public.editions set updated_at = now() - interval '31 days'")
    assert (await maintenance.retain(task_days=30, edition_days=30)).items == 1
    assert await database.fetchval("select count(*) from public.item_keys") == 0


async def test_the_copy_with_a_comment_is_shown(client: AsyncClient) -> None:
    paper = copy(**ARXIV, abstract="A")
    for day, comment in ((TODAY, "accepted at ICML"), (TODAY + timedelta(days=1), "")):
        await save(client, paper.model_copy(update={"comment": comment}), day=day)
    found = await Items(client).find_by_keys(["arxiv:2611.00001"])
    assert found["arxiv:2611.00001"].comment == "accepted at ICML"
    (item,) = await seen(client)
    assert item.article.comment == "accepted at ICML"


async def test_a_copy_without_details_removes_none(client: AsyncClient) -> None:
    """arXiv's daily listing has no comments; its API has them."""
    details = {"comment": "9 pages", "journal_ref": "Ice 7", "code_url": "https://github.com/ada/ice"}
    await save(client, copy(**ARXIV, **details))
    await save(client, copy(**ARXIV, title="Changed"))
    (article,) = await Editions(client).get_articles(TODAY)
    assert article == copy(**ARXIV, title="Changed", **details)
