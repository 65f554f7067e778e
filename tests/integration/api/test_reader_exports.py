"""A reader's feed and BibTeX file, over HTTP and on a real database, read back by maintained parsers."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from datetime import date, timedelta
from typing import Any
from uuid import UUID

import asyncpg
import feedparser
import httpx
import pytest
from pybtex.database import parse_string
from supabase import AsyncClient

from app.config import ApiSettings
from app.links import Links
from app.models.articles import Article, ArticleKind
from app.pages.reader_exports import HEADERS
from app.persistence.json_values import clean
from app.persistence.maintenance import Maintenance
from app.persistence.reader_papers import PaperInput, ReaderPapers
from app.ranking.reader_paper import paper_of
from app.sources.text import MAX_TITLE, plain
from embedded.stack import Ready
from tests.support.logs import development_logs
from tests.support.running_api import KEY, RunningApi
from tests.support.schema_cache import schema_is_read
from tests.support.visitors import SECRET, Visitor, settings_with_links, visitor_of

HOSTILE = (
    *(
        "]]><script>alert(1)</script>",
        "&amp; <b>bold</b> &#0; &nosuch;",
        "\x01\x08\x0b\x1f\x7f\x85 control",
        "\u202eesrever",
    ),
    *("lone \ud800 surrogate \udfff", "x" * 10_000, "w " * 5_000, "\ufffe\uffff\ufeff", " \t\r\n ", "<!DOCTYPE a>&b;"),
    *(
        "🦄 \U0010ffff",
        "a\u2028b\u2029c\0",
        "$x^2$ 'quoted' \"twice\"",
        "--><!-- -->",
        "<?xml version='1.0'?>",
        "{unbalanced",
    ),
)
NEWEST = date(2026, 11, 24)
TOOLS = ("feed", "saved")
ASIDE = {"date": "", "x-request-id": ""}
HTTP_DATE = "Wed, 01 Jan 2031 08:00:00 GMT"
LAST_MODIFIED = "Tue, 24 Nov 2026 08:00:00 GMT"
WRITE = """
insert into public.digests (task_id, owner, source_date, reader_id, local_day, digest, created_at)
values (gen_random_uuid(), 'ada', $2, $1, $2, $3, $2::date + interval '8 hours')
"""


def item(title: str, n: int) -> dict[str, Any]:
    """An item as the worker stores it, with hostile text in every field."""
    article = {
        "source": "arxiv",
        "external_id": str(n),
        "kind": "paper",
        "title": title,
        "abstract": title,
        "authors": ["Ada Lovelace", title] if n % 2 == 0 else [],
        "url": "javascript:alert(1)" if n == 1 else f"https://example.org/{n}?a=1&b=2",
        "pdf_url": "https://example.org/\ufffe.pdf",
        "categories": ["cs.LG", title],
        "published_at": "2026-11-01T00:00:00Z",
    }
    stored: dict[str, Any] = clean(
        {"article": article, "score": 1, "reason": title, "summary": title, "key_points": [title], "analysis": "model"}
    )
    return stored


async def write(
    database: asyncpg.Connection, reader_id: UUID, day: date, *items: object, news: Sequence[object] = ()
) -> None:
    await database.execute(WRITE, reader_id, day, json.dumps({"papers": items, "news": news}))


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    values = settings_with_links(stack).model_dump() | {"public_url": "https://broadsheet.example"}
    return ApiSettings.model_validate(values)


@pytest.fixture
async def visitor(api: RunningApi, client: AsyncClient) -> AsyncIterator[Visitor]:
    async with visitor_of(api, client) as visitor:
        visitor.day = None
        yield visitor


def parsed(answer: httpx.Response) -> Any:
    """Parse a feed as a feed reader does. Raises `AssertionError` for an invalid feed."""
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/atom+xml; charset=utf-8")
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    found = feedparser.parse(answer.content, sanitize_html=False, resolve_relative_uris=False)
    assert not found.bozo, found.get("bozo_exception")
    assert found.version == "atom10"
    return found


async def write_forty_days(database: asyncpg.Connection, reader_id: UUID) -> None:
    for back in range(40):
        day = NEWEST - timedelta(days=back)
        await write(database, reader_id, day, *(item(f"Paper {back} {n}", n) for n in range(3)))


async def test_a_feed_without_items_has_a_title(visitor: Visitor) -> None:
    empty = parsed(await visitor.get("feed"))
    assert (empty.entries, empty.feed.title) == ([], f"Broadsheet for {plain(visitor.reader.name, 120)}")


async def test_a_feed_has_the_newest_hundred_items(visitor: Visitor, database: asyncpg.Connection) -> None:
    reader_id = visitor.reader.reader_id
    await write_forty_days(database, reader_id)
    await write(database, reader_id, NEWEST - timedelta(days=41), {"article": "of another form"}, 7)
    feed = parsed(await visitor.get("feed"))
    assert [entry.title for entry in feed.entries] == [f"Paper {n // 3} {n % 3}" for n in range(100)]
    assert (feed.feed.updated, feed.feed.id[:9]) == ("2026-11-24T08:00:00Z", "urn:uuid:")
    address = Links([SECRET], "https://broadsheet.example").export_urls(reader_id, 1).feed
    assert [(link.rel, link.href) for link in feed.feed.links] == [("self", address)]
    assert str(reader_id) not in str(feed)
    first, second = feed.entries[:2]
    assert ([author.name for author in first.authors], second.author) == (["Ada Lovelace", "Paper 0 0"], "arxiv")
    assert (first.link, second.get("links", [])) == ("https://example.org/0?a=1&b=2", [])
    assert (first.updated, first.published) == ("2026-11-24T08:00:00Z", "2026-11-01T00:00:00Z")
    assert [tag.term for tag in first.tags] == ["cs.LG", "Paper 0 0"]
    assert "<p>Reason: Paper 0 0. Summary by a language model.</p>" in first.content[0].value


async def test_items_keep_their_ids_when_a_newer_one_arrives(visitor: Visitor, database: asyncpg.Connection) -> None:
    await write_forty_days(database, visitor.reader.reader_id)
    feed = parsed(await visitor.get("feed"))
    await write(database, visitor.reader.reader_id, NEWEST + timedelta(days=1), item("New", 0))
    later = parsed(await visitor.get("feed"))
    assert [entry.id for entry in later.entries[1:]] == [entry.id for entry in feed.entries[:99]]
    assert len({entry.id for entry in later.entries}) == 100


async def test_papers_news_and_readers_have_their_own_ids(
    visitor: Visitor, client: AsyncClient, database: asyncpg.Connection, api: RunningApi
) -> None:
    found = []
    async with visitor_of(api, client) as other:
        for each in (visitor, other):
            for day in (NEWEST, NEWEST - timedelta(days=1)):
                await write(database, each.reader.reader_id, day, item("A paper", 0), news=[item("A story", 2)])
            found += parsed(await each.get("feed")).entries
    assert sorted(entry.title for entry in found) == ["A paper"] * 4 + ["A story"] * 4
    assert len({entry.id for entry in found}) == 8


async def test_item_text_is_escaped_in_the_feed(visitor: Visitor, database: asyncpg.Connection) -> None:
    await write(database, visitor.reader.reader_id, NEWEST, *(item(text, 2 * n) for n, text in enumerate(HOSTILE)))
    feed = parsed(await visitor.get("feed"))
    expected = [plain(clean(text), MAX_TITLE) for text in HOSTILE]
    assert [entry.title for entry in feed.entries] == [text or "Without a title" for text in expected]
    assert max(len(entry.title) for entry in feed.entries) <= MAX_TITLE
    for entry in feed.entries:
        assert "<b" not in entry.content[0].value.replace("&lt;b", "")
        assert "<script" not in entry.content[0].value


@pytest.fixture
async def feed(visitor: Visitor, database: asyncpg.Connection) -> httpx.Response:
    """A feed of one item."""
    await write(database, visitor.reader.reader_id, NEWEST, item("One", 0))
    return await visitor.http.get(visitor.path("feed"))


async def test_head_has_the_headers_of_the_feed(visitor: Visitor, feed: httpx.Response) -> None:
    assert feed.headers["cache-control"] == "private, max-age=300"
    assert feed.headers["last-modified"] == LAST_MODIFIED
    head = await visitor.http.head(visitor.path("feed"))
    assert (head.status_code, head.content) == (200, b"")
    assert {**head.headers, **ASIDE} == {**feed.headers, **ASIDE}
    assert (await visitor.http.post(visitor.path("feed"))).status_code == 405


async def test_a_current_feed_gets_304_also_for_head(visitor: Visitor, feed: httpx.Response) -> None:
    etag = feed.headers["etag"]
    current = [{"If-None-Match": tags} for tags in (etag, f"W/{etag}", f'"x", {etag}', "*")]
    current += [{"If-Modified-Since": LAST_MODIFIED}, {"If-Modified-Since": "Wed, 25 Nov 2026 08:00:00 GMT"}]
    for headers in current:
        for method in ("GET", "HEAD"):
            response = await visitor.http.request(method, visitor.path("feed"), headers=headers)
            assert (response.status_code, response.content, response.headers["etag"]) == (304, b"", etag), headers
    burst = [visitor.http.get(visitor.path("feed"), headers={"If-None-Match": etag}) for _ in range(50)]
    assert {response.status_code for response in await asyncio.gather(*burst)} == {304}


@pytest.mark.parametrize(
    "headers",
    [
        *({"If-None-Match": tags} for tags in ('"x"', "", "\\", "," * 5_000)),
        *({"If-Modified-Since": since} for since in ("Mon, 23 Nov 2026 08:00:00 GMT", "soon", "", "1" * 5_000)),
        {"If-None-Match": '"x"', "If-Modified-Since": LAST_MODIFIED},
    ],
    ids=str,
)
async def test_an_old_or_invalid_validator_gets_the_feed(
    visitor: Visitor, feed: httpx.Response, headers: dict[str, str]
) -> None:
    assert (await visitor.http.get(visitor.path("feed"), headers=headers)).content == feed.content


async def test_a_changed_feed_is_sent_again(
    visitor: Visitor, feed: httpx.Response, database: asyncpg.Connection
) -> None:
    path, reader_id = visitor.path("feed"), visitor.reader.reader_id
    await write(database, reader_id, NEWEST + timedelta(days=1), item("Two", 0))
    assert (await visitor.http.get(path, headers={"If-None-Match": feed.headers["etag"]})).status_code == 200
    etag = (await visitor.http.head(path)).headers["etag"]
    await visitor.readers.change(reader_id, {"name": "Grace"})
    assert (await visitor.http.get(path, headers={"If-None-Match": etag})).status_code == 200


async def test_without_saved_papers_the_bibtex_file_is_empty(visitor: Visitor) -> None:
    empty = await visitor.get("saved")
    assert (empty.status_code, empty.text) == (200, "")


@pytest.fixture
async def saved(visitor: Visitor, client: AsyncClient) -> list[PaperInput]:
    """Papers with hostile titles that the reader has saved."""
    titles = [clean(title)[:300] or "?" for title in ("The first", *HOSTILE, "The last")]
    saved = [
        paper_of(
            Article(
                source="arxiv",
                external_id=f"2511.{number:05}",
                kind=ArticleKind.PAPER,
                title=title,
                authors=("Emmy Noether", title),
                arxiv_id=f"2511.{number:05}",
            )
        )
        for number, title in enumerate(titles)
    ]
    for paper in saved:
        await ReaderPapers(client).save(visitor.reader.reader_id, paper, True)
    return saved


async def test_saved_papers_are_a_bibtex_file(visitor: Visitor, saved: list[PaperInput]) -> None:
    answer = await visitor.get("saved")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/x-bibtex; charset=utf-8")
    assert answer.headers["content-disposition"] == 'attachment; filename="saved.bib"'
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    found = parse_string(answer.content.decode(), "bibtex").entries
    assert [entry.fields["eprint"] for entry in found.values()] == [paper.arxiv_id for paper in saved]
    assert (next(iter(found)), list(found)[-1]) == ("noetherfirst", "noetherlast")
    by_key = await visitor.http.get(f"/v1/readers/{visitor.reader.reader_id}/saved.bib", headers={"X-API-Key": KEY})
    assert (by_key.status_code, by_key.content) == (200, answer.content)


async def test_a_current_bibtex_file_gets_304(visitor: Visitor, client: AsyncClient, saved: list[PaperInput]) -> None:
    path = visitor.path("saved")
    answer = await visitor.http.get(path)
    current = {"If-None-Match": answer.headers["etag"]}
    assert (await visitor.http.get(path, headers=current)).status_code == 304
    assert (await visitor.http.head(path, headers=current)).status_code == 304
    assert (await visitor.http.head(path)).headers["etag"] == answer.headers["etag"]
    assert (await visitor.http.get(path, headers={"If-Modified-Since": HTTP_DATE})).content == answer.content
    await ReaderPapers(client).save(visitor.reader.reader_id, saved[0], False)
    assert (await visitor.http.get(path, headers=current)).status_code == 200


async def test_an_invalid_link_is_one_line_of_text(
    visitor: Visitor,
    settings: ApiSettings,
    stack: Ready,
    database: asyncpg.Connection,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths = [visitor.path(tool) for tool in TOOLS]
    nobody = Visitor(visitor.http, visitor.readers, visitor.reader.model_copy(update={"reader_id": UUID(int=7)}))
    wrong = [
        *(path[:-1] + ("A" if path[-1] != "A" else "B") for path in paths),
        *(visitor.path(tool, signed_for=other) for tool in TOOLS for other in {"page", *TOOLS} - {tool}),
        *(visitor.path(tool, secret="t" * 32) for tool in TOOLS),
        *(nobody.path(tool) for tool in TOOLS),
        *(f"/r/{tool}/{junk}" for tool in TOOLS for junk in ("x", "%00", "a" * 5_000)),
    ]
    refused = [await visitor.http.get(path) for path in wrong]
    with development_logs(settings):
        await database.execute("alter table public.readers_private rename to elsewhere")
        try:
            failed = [await visitor.http.get(path) for path in paths]
        finally:
            await database.execute("alter table public.elsewhere rename to readers_private")
            # Until then, requests may find no such table.
            await schema_is_read(database, f"{stack.url}/rest/v1")
        assert [(await visitor.http.get(path)).status_code for path in paths] == [200] * len(TOOLS)
        await visitor.readers.revoke_links(visitor.reader.reader_id, 1)
        refused += [await visitor.http.get(path) for path in paths]
        visitor.generation = 2
        paths += [visitor.path(tool) for tool in TOOLS]
        assert [(await visitor.get(tool)).status_code for tool in TOOLS] == [200] * len(TOOLS)
        await visitor.readers.remove(visitor.reader.reader_id)
        refused += [await visitor.get(tool) for tool in TOOLS]
    assert {(answer.status_code, answer.headers["content-type"], answer.text) for answer in refused} == {
        (404, "text/plain; charset=utf-8", "This address is not valid.\n")
    }
    assert {(answer.status_code, answer.headers["retry-after"]) for answer in failed} == {(503, "5")}
    assert all(len(answer.text) < 100 and answer.headers["cache-control"] == "no-store" for answer in failed)
    output = capsys.readouterr().err
    assert "/r/feed/{token}" in output
    assert [path for path in paths if path.rpartition("/")[2] in output] == []


async def test_a_feed_is_complete_while_retention_runs(
    visitor: Visitor, client: AsyncClient, database: asyncpg.Connection
) -> None:
    reader_id = visitor.reader.reader_id
    for back in range(200):
        await write(database, reader_id, NEWEST - timedelta(days=back), item(f"{back}", 0))
    removing = asyncio.create_task(removed(Maintenance(client, batch=7)))
    while not removing.done():
        entries = parsed(await visitor.get("feed")).entries
        assert [entry.title for entry in entries] == [str(n) for n in range(len(entries))]
    assert removing.result() == 200
    assert parsed(await visitor.get("feed")).entries == []


async def removed(maintenance: Maintenance) -> int:
    """Make every digest old, the oldest first, and let retention remove them in batches."""
    count = 0
    while gone := await maintenance.retain_digests(digest_days=-10_000):
        count += gone
    return count
