"""Venue, comment, code, PDF and DOI of a paper: from arXiv, through the database, to page, mail, JSON and feed."""

from datetime import UTC, date, datetime
from html import unescape
from uuid import UUID

import pytest
from supabase import AsyncClient

from app.digest.feed import atom_feed
from app.digest.rendering import DigestRenderer
from app.links import Links
from app.mail.footer import MailLinks
from app.mail.text import digest_text
from app.models.articles import Article, ArticleKind, EditionStatus
from app.models.digests import AnalysisMethod, Digest, DigestItem
from app.models.profiles import Profile
from app.persistence.digests import ArchivedItem
from app.persistence.editions import Editions
from app.sources.arxiv import ArxivSettings, ArxivSource
from app.sources.rate_limiter import RateLimiter
from app.time_slice import TimeSlice
from tests.support.arxiv_papers import Paper
from tests.support.fake_arxiv import FakeArxiv, busy
from tests.support.source_responses import MakeFetcher

DAY = date(2026, 1, 5)
READER = UUID(int=7)
COMMENT = "9 pages, accepted at <b>ICML</b> 2026; code: github.com/ada/ice"
SHOWN = ["accepted at <b>ICML</b> 2026", "https://github.com/ada/ice", "https://arxiv.org/pdf/2601.00001"]
PAPER = Paper("2601.00001", datetime(2026, 1, 5, 12, tzinfo=UTC), ("cs.AI",), comment=COMMENT)


def digest(article: Article) -> Digest:
    item = DigestItem(
        article=article, score=0.5, reason="matches: ice", summary="It melts.", analysis=AnalysisMethod.EXTRACTIVE
    )
    return Digest(
        source_date=DAY, profile=Profile(name="Ada"), introduction="One paper.", papers=(item,), news=(), considered=1,
        edition_status=EditionStatus.COMPLETED,
    )  # fmt: skip


@pytest.mark.parametrize("path", ["api", "oai"])
async def test_each_place_shows_venue_code_pdf_and_doi(
    make_fetcher: MakeFetcher, client: AsyncClient, path: str
) -> None:
    now = datetime(2026, 1, 8, tzinfo=UTC)
    async with FakeArxiv([PAPER], now).serve() as fake:
        settings = ArxivSettings(fake.url, fake.url, fake.url, ("cs.AI",))
        if path == "oai":
            fake.failures["api"] = busy()
        papers = await ArxivSource(make_fetcher(), settings, RateLimiter(0.0), now=lambda: now).fetch(DAY)
    editions = Editions(client)
    await editions.begin_edition(DAY)
    await editions.save_articles(DAY, [papers[0].model_copy(update={"doi": "10.1000/ice.1"})])
    # arXiv's daily listing has neither comments nor code.
    listed = papers[0].model_copy(update={"comment": "", "code_url": None, "doi": "10.1000/ice.1"})
    await editions.save_articles(DAY, [listed])
    (stored,) = await editions.get_articles(DAY)
    assert (stored.comment, stored.code_url) == (COMMENT, "https://github.com/ada/ice")
    written = digest(stored)
    (item,) = written.papers
    links = MailLinks.signed(Links(["0123456789abcdef"], "https://digest.example.org"), READER, 1, DAY)
    archived = ArchivedItem(local_day=DAY, kind=ArticleKind.PAPER, place=1, written_at=now, item=item)
    places = {
        "page": unescape(await DigestRenderer().render(written)),
        "mail": " ".join((await digest_text(written, links, TimeSlice())).split()),
        "feed": unescape(unescape(atom_feed(READER, "Ada", "https://x.example/f", now, [archived]).decode())),
        "JSON": written.model_dump_json(),
    }
    for place, text in places.items():
        missing = [each for each in [*SHOWN, "10.1000/ice.1"] if each not in text]
        assert missing == [], place
        assert place == "JSON" or "https://doi.org/10.1000/ice.1" in text, place
    assert "<b>ICML" not in await DigestRenderer().render(written), "text of strangers is escaped"
