"""Crossref: lists of DOIs, its polite form and limits, unusual records, failures."""

from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from app.errors import SourceBusy, SourceError
from app.models.articles import Article, ArticleKind, Publication
from app.sources.crossref import Crossref, CrossrefSettings, seconds_per_request
from app.sources.rate_limiter import RateLimiter
from tests.support.fake_arxiv import MovedClock
from tests.support.fake_crossref import FakeCrossref, work
from tests.support.source_responses import MakeFetcher

NAMES = [f"10.1000/paper.{n}" for n in range(5)]
WORKS = {name: work(name) for name in NAMES}


def crossref(make_fetcher: MakeFetcher, fake: FakeCrossref, clock: MovedClock | None = None) -> Crossref:
    clock = clock or MovedClock()
    limiter = RateLimiter(1.0, name="crossref", clock=clock, sleep=clock.sleep)
    return Crossref(make_fetcher(), CrossrefSettings(fake.url, "digest@example.org"), limiter)


async def test_a_record_becomes_a_paper(make_fetcher: MakeFetcher) -> None:
    async with FakeCrossref(WORKS).serve() as fake:
        ((article, publication),) = await crossref(make_fetcher, fake).look_up([NAMES[0]])
    assert article == Article(
        source="crossref",
        external_id=NAMES[0],
        kind=ArticleKind.PAPER,
        title="The Paper & Theory of 10.1000/paper.0",
        abstract="Radar reads ice.",
        authors=("Ada First", "The Group"),
        url="https://doi.org/10.1000/paper.0",
        published_at=datetime(2026, 3, 1, tzinfo=UTC),
        doi=NAMES[0],
    )
    assert publication == Publication(
        entry_type="article", container="Journal of Ice", volume="7", issue="2", pages="1-9",
        publisher="Example Press", date="2026-03",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "entry_type"),
    [("journal-article", "article"), ("proceedings-article", "inproceedings"), ("book-chapter", "incollection"),
     ("book", "book"), ("monograph", "book"), ("edited-book", "book"), ("dissertation", "phdthesis"),
     ("report", "techreport"), ("posted-content", "")],
)  # fmt: skip
async def test_a_type_becomes_that_of_bibtex(make_fetcher: MakeFetcher, kind: str, entry_type: str) -> None:
    async with FakeCrossref({NAMES[0]: work(NAMES[0], type=kind)}).serve() as fake:
        ((_, publication),) = await crossref(make_fetcher, fake).look_up([NAMES[0]])
    assert publication.entry_type == entry_type


async def test_a_list_is_one_polite_request(make_fetcher: MakeFetcher) -> None:
    async with FakeCrossref(WORKS).serve() as fake:
        found = await crossref(make_fetcher, fake).look_up([*NAMES, "10.1000/unknown"])
    assert [article.doi for article, _ in found] == NAMES
    assert fake.listed == [[*NAMES, "10.1000/unknown"]]
    assert fake.requests[0].query["mailto"] == "digest@example.org"
    assert fake.requests[0].headers["User-Agent"] == "Broadsheet tests"


async def test_a_malformed_doi_affects_no_other(make_fetcher: MakeFetcher) -> None:
    comma = "10.1000/a,b"
    async with FakeCrossref(WORKS | {comma: work(comma)}).serve() as fake:
        fake.malformed = {"10.1000/bad"}
        found = await crossref(make_fetcher, fake).look_up([*NAMES[:2], "10.1000/bad", comma, *NAMES[2:]])
    assert sorted(article.doi or "" for article, _ in found) == sorted([comma, *NAMES])
    assert [comma] in fake.listed, "a comma separates filters"


@pytest.mark.parametrize(
    ("limit", "interval", "seconds"),
    [("50", "1s", 1.0), ("1", "5s", 5.0), ("3", "60", 20.0), ("many", "1s", 1.0), ("0", "1s", 1.0)],
)
async def test_requests_obey_the_rate_limit_headers(
    make_fetcher: MakeFetcher, limit: str, interval: str, seconds: float
) -> None:
    clock = MovedClock()
    headers = {"x-rate-limit-limit": limit, "x-rate-limit-interval": interval}
    async with FakeCrossref(WORKS, headers=headers).serve() as fake:
        client = crossref(make_fetcher, fake, clock)
        for _ in range(3):
            await client.look_up(NAMES)
    assert clock() == 2 * seconds
    assert not fake.overlapped


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [({}, 0.0), ({"x-rate-limit-limit": "1", "x-rate-limit-interval": "9" * 6 + "s"}, 3600.0),
     ({"x-rate-limit-limit": "9" * 5000, "x-rate-limit-interval": "1s"}, 0.0)],
)  # fmt: skip
def test_a_hostile_limit_is_limited(headers: dict[str, str], seconds: float) -> None:
    assert seconds_per_request(headers) == seconds


@pytest.mark.parametrize("status", [400, 404])
async def test_a_doi_that_is_refused_alone_is_unknown(make_fetcher: MakeFetcher, status: int) -> None:
    async with FakeCrossref(WORKS).serve() as fake:
        fake.failures = [web.Response(status=400), web.Response(status=status)]
        found = await crossref(make_fetcher, fake).look_up(["10.1000/bad", NAMES[0]])
    assert [article.doi for article, _ in found] == [NAMES[0]]
    assert fake.listed == [["10.1000/bad", NAMES[0]], ["10.1000/bad"], [NAMES[0]]]


@pytest.mark.parametrize("status", [401, 403, 500])
async def test_another_refusal_of_one_doi_is_an_error(make_fetcher: MakeFetcher, status: int) -> None:
    async with FakeCrossref(WORKS).serve() as fake:
        fake.failures = [web.Response(status=status)]
        with pytest.raises((SourceError, SourceBusy)):
            await crossref(make_fetcher, fake).look_up(NAMES[:1])


async def test_a_busy_crossref_is_busy(make_fetcher: MakeFetcher) -> None:
    async with FakeCrossref(WORKS).serve() as fake:
        fake.failures = [web.Response(status=429, headers={"Retry-After": "90"})]
        client = crossref(make_fetcher, fake)
        for _ in range(2):
            with pytest.raises(SourceBusy) as error:
                await client.look_up(NAMES)
            assert error.value.retry_after == 90
    assert len(fake.requests) == 1


@pytest.mark.parametrize(
    "changes",
    [{"title": []}, {"title": ["<b></b>"]}, {"DOI": "none"}, {"title": None}, {"issued": {"date-parts": "2026"}}],
    ids=str,
)
async def test_an_unusual_record_hides_no_other(make_fetcher: MakeFetcher, changes: dict[str, Any]) -> None:
    works = WORKS | {NAMES[0]: work(NAMES[0]) | changes}
    async with FakeCrossref(works).serve() as fake:
        found = await crossref(make_fetcher, fake).look_up(NAMES)
    assert [article.doi for article, _ in found] == NAMES[1:]


@pytest.mark.parametrize("parts", [[[None]], [], [[2026, 13, 45]], [[0]]], ids=str)
async def test_a_record_without_a_date_is_a_paper(make_fetcher: MakeFetcher, parts: list[Any]) -> None:
    works = {NAMES[0]: work(NAMES[0], issued={"date-parts": parts})}
    async with FakeCrossref(works).serve() as fake:
        ((article, _),) = await crossref(make_fetcher, fake).look_up(NAMES[:1])
    assert article.published_at is None


async def test_a_page_instead_of_json_is_a_source_error(make_fetcher: MakeFetcher) -> None:
    async with FakeCrossref(WORKS).serve() as fake:
        fake.failures = [web.Response(text="<html>down</html>"), web.Response(status=500)]
        with pytest.raises(SourceError, match="Crossref's response does not have the documented form"):
            await crossref(make_fetcher, fake).look_up(NAMES)
        with pytest.raises(SourceError, match="500 Internal Server Error"):
            await crossref(make_fetcher, fake).look_up(NAMES)
