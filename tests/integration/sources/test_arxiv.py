"""arXiv's adapter with a server on loopback: recorded responses of arXiv, and responses of the same form."""

import re
from collections.abc import Callable
from datetime import UTC, date, datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from app.errors import SourceBusy, SourceError
from app.models.articles import Article, ArticleKind
from app.sources.arxiv import ArxivSettings, ArxivSource
from app.sources.rate_limiter import RateLimiter
from tests.support.fixture_types import ReadFile, Serve
from tests.support.scripted_server import ScriptedServer, Step
from tests.support.source_responses import MakeFetcher, page, reply

DAY = date(2025, 3, 4)
Make = Callable[..., ArxivSource]


class RecordedSleeps(list[float]):
    """Replaces sleeping and the clock: records the durations."""

    def clock(self) -> float:
        return sum(self)

    async def __call__(self, seconds: float) -> None:
        self.append(seconds)


@pytest.fixture
def waits() -> RecordedSleeps:
    return RecordedSleeps()


@pytest.fixture
def make(make_fetcher: MakeFetcher, waits: RecordedSleeps) -> Make:
    """An adapter whose clock moves only while it sleeps."""

    def build(server: ScriptedServer, **changes: object) -> ArxivSource:
        settings = ArxivSettings(base_url=server.url, **changes)  # type: ignore[arg-type]  # a test's keywords
        return ArxivSource(make_fetcher(), settings, RateLimiter(clock=waits.clock, sleep=waits), sleep=waits)

    return build


def numbers(articles: list[Article]) -> list[int]:
    return [int(article.external_id.partition(".")[2]) for article in articles]


async def test_the_recorded_response_is_read_completely(serve: Serve, make: Make, recorded: ReadFile) -> None:
    server = await serve(reply(recorded("arxiv-api-query.xml")))
    papers = await make(server, max_papers=10).fetch(DAY)
    assert len(papers) == 10
    assert papers[0] == Article(
        source="arxiv",
        external_id="nucl-ex/0408020",
        kind=ArticleKind.PAPER,
        title="Two-photon exchange and elastic scattering of electrons/positrons on the proton. "
        "(Proposal for an experiment at VEPP-3)",
        abstract=papers[0].abstract,
        authors=(
            "J. Arrington", "V. F. Dmitriev", "R. J. Holt", "D. M. Nikolenko", "I. A. Rachek", "Yu. V. Shestakov",
            "V. N. Stibunov", "D. K. Toporkov", "H. de Vries",
        ),
        url="https://arxiv.org/abs/nucl-ex/0408020v1",
        pdf_url="https://arxiv.org/pdf/nucl-ex/0408020v1",
        categories=("nucl-ex", "hep-ph"),
        published_at=datetime(2004, 8, 18, 23, 13, 32, tzinfo=UTC),
        arxiv_id="nucl-ex/0408020",
        comment="13 pages, 10 figures. Proposal for a comparison of electron-proton and positron-proton scattering at "
        "VEPP-3",
    )  # fmt: skip
    assert papers[1].journal_ref == "CERN Yellow Report CERN-2013-002, pp.237-240"
    assert papers[0].abstract.startswith("It has been suggested that two-photon exchange")
    assert papers[0].abstract.endswith("explain the discrepancy.")
    for paper in papers:
        assert all([paper.title, paper.abstract, paper.authors, paper.url, paper.pdf_url, paper.categories])
        assert not re.search(r"v\d+$", paper.external_id)


async def test_the_recorded_empty_response_has_no_papers(serve: Serve, make: Make, recorded: ReadFile) -> None:
    assert await make(await serve(reply(recorded("arxiv-api-empty.xml")))).fetch(DAY) == []


async def test_a_recorded_response_with_missing_ids_has_the_others(
    serve: Serve, make: Make, recorded: ReadFile
) -> None:
    server = await serve(reply(recorded("arxiv-api-missing-id.xml")))
    (paper,) = await make(server).fetch(DAY)
    assert (paper.external_id, paper.authors) == ("2201.13452", ("Hong-Ming Yin", "Jun Zou"))


async def test_entries_are_plain_text_with_safe_links(serve: Serve, make: Make, feed_file: ReadFile) -> None:
    old, linked = await make(await serve(reply(feed_file("arxiv-query.xml")))).fetch(DAY)
    assert old.external_id == "nucl-ex/0413020"
    assert old.title == "A Paper with an Identifier of the Old Form"
    assert old.abstract == "We count events with p<q and q>r over two lines."
    assert (old.authors, old.categories) == (("Zoë Ångström", "B. Second"), ("nucl-ex", "hep-ph"))
    assert (old.arxiv_id, old.doi) == ("nucl-ex/0413020", "10.5555/abc.12345")
    assert (linked.arxiv_id, linked.doi) == ("2513.00001", None)
    assert (linked.url, linked.pdf_url) == ("https://arxiv.org/abs/2513.00001", "https://arxiv.org/pdf/2513.00001")


async def test_a_day_is_read_in_pages_three_seconds_apart(serve: Serve, make: Make, waits: RecordedSleeps) -> None:
    server = await serve(page(0, 2, 5), page(2, 2, 5), page(4, 1, 5))
    papers = await make(server, page_size=2, categories=("cs.LG", "math", "hep-th")).fetch(DAY)
    assert numbers(papers) == [0, 1, 2, 3, 4]
    queries = [parse_qs(urlsplit(seen.removeprefix("GET ")).query) for seen in server.seen]
    assert [query["start"] for query in queries] == [["0"], ["2"], ["4"]]
    assert queries[0] == {
        "search_query": ["(cat:cs.LG OR cat:math.* OR cat:hep-th) AND submittedDate:[202503040000 TO 202503042359]"],
        "start": ["0"],
        "max_results": ["2"],
        "sortBy": ["submittedDate"],
        "sortOrder": ["ascending"],
    }
    assert waits == [3.0, 3.0]


async def test_an_unusable_entry_shifts_no_page(serve: Serve, make: Make) -> None:
    server = await serve(page(0, 2, 5, untitled={1}), page(2, 2, 5), page(4, 1, 5))
    assert numbers(await make(server, page_size=2).fetch(DAY)) == [0, 2, 3, 4]
    assert [parse_qs(seen.partition("?")[2])["start"] for seen in server.seen] == [["0"], ["2"], ["4"]]


async def test_a_page_without_a_usable_entry_ends_the_list(serve: Serve, make: Make) -> None:
    server = await serve(page(0, 2, 3), page(2, 1, 3, untitled={2}), reply(status=404))
    assert numbers(await make(server, page_size=2).fetch(DAY)) == [0, 1]


async def test_the_largest_number_of_papers_is_kept(serve: Serve, make: Make) -> None:
    server = await serve(page(0, 2, 9_000), page(2, 2, 9_000))
    assert numbers(await make(server, page_size=2, max_papers=3).fetch(DAY)) == [0, 1, 2]
    assert "max_results=1&" in server.seen[1]


async def test_a_server_that_ignores_the_page_size_gives_one_page(serve: Serve, make: Make) -> None:
    server = await serve(page(0, 5_000, 5_000))
    assert len(await make(server, page_size=2, max_papers=6).fetch(DAY)) <= 6


async def test_overlapping_pages_give_each_paper_once(serve: Serve, make: Make) -> None:
    server = await serve(page(0, 2, 4), page(1, 2, 4))
    assert numbers(await make(server, page_size=2).fetch(DAY)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("hiccup", "waited"),
    [
        (page(0, 0, 3), [3.0]),
        (reply(status=500), [3.0]),
        # Busy: the next permit is delayed for every process.
        (reply(status=503), [20.0]),
        (reply(status=429, headers="Retry-After: 7\r\n"), [7.0]),
        (reply(status=429, headers="Retry-After: 1\r\n"), [1.0, 2.0]),
    ],
)
async def test_a_temporary_failure_of_arxiv_is_retried(
    serve: Serve, make: Make, waits: RecordedSleeps, hiccup: Step, waited: list[float]
) -> None:
    papers = await make(await serve(hiccup, page(0, 3, 3))).fetch(DAY)
    assert (numbers(papers), waits) == ([0, 1, 2], waited)


@pytest.mark.parametrize(
    ("answer", "retry_after", "requests"),
    [
        (reply(status=429, headers="Retry-After: 600\r\n"), 600.0, 1),
        (reply(status=429, headers="Retry-After: 999999999\r\n"), 86_400.0, 1),
        (
            reply(
                status=503,
                headers="Date: Tue, 04 Mar 2025 07:00:00 GMT\r\nRetry-After: Tue, 04 Mar 2025 07:05:00 GMT\r\n",
            ),
            300.0,
            1,
        ),
        (reply(status=503), 20.0, 3),
    ],
)
async def test_retry_after_of_arxiv_is_respected(
    serve: Serve, make: Make, waits: RecordedSleeps, answer: Step, retry_after: float, requests: int
) -> None:
    server = await serve(answer)
    source = make(server)
    with pytest.raises(SourceBusy) as busy:
        await source.fetch(DAY)
    assert busy.value.retry_after == retry_after
    assert len(server.seen) == requests
    if retry_after > 60:
        with pytest.raises(SourceBusy, match="requires a pause of all clients"):
            await source.fetch(DAY)
        assert (len(server.seen), waits) == (requests, []), "the next one asks, or waits in its task"


@pytest.mark.parametrize(
    ("answer", "said", "requests"),
    [
        (page(0, 0, 7), "reported 7 papers, but its page from 0 on is empty", 3),
        (reply(status=500), "500 Internal Server Error", 3),
        (reply(status=400), "400 Bad Request", 1),
        (reply(b"<html><title> Down for maintenance </title></html>"), "HTML page .'Down for maintenance'., not", 1),
        (reply(b"<feed xmlns='http://www.w3.org/2005/Atom'><entry>"), "broken XML", 1),
        (reply(b"<feed xmlns='http://www.w3.org/2005/Atom'/>"), "no totalResults", 1),
        (reply(b"<opml/>"), "of <opml>, not a feed", 1),
    ],
)
async def test_a_failure_of_arxiv_is_a_source_error(
    serve: Serve, make: Make, answer: Step, said: str, requests: int
) -> None:
    server = await serve(answer)
    with pytest.raises(SourceError, match=said):
        await make(server).fetch(DAY)
    assert len(server.seen) == requests


async def test_an_error_entry_is_an_error(serve: Serve, make: Make, feed_file: ReadFile) -> None:
    server = await serve(reply(feed_file("arxiv-error.xml")))
    with pytest.raises(SourceError, match="arXiv refused the query: start must be an integer"):
        await make(server).fetch(DAY)
