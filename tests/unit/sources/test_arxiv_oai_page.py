"""One page of arXiv's OAI-PMH lists: author lines, errors of the protocol, records that are no new paper."""

from datetime import date

import pytest

from app.errors import SourceError
from app.sources.arxiv_oai_page import BadToken, author_names, read_oai_page
from app.sources.fetcher import Fetched
from tests.support.arxiv_papers import oai_document

DAY = date(2026, 1, 5)


def page(inside: str) -> Fetched:
    return Fetched("https://oaipmh.arxiv.org/oai", "utf-8", oai_document(inside).encode())


def record(versions: str, more: str = "") -> str:
    raw = f'<arXivRaw xmlns="http://arxiv.org/OAI/arXivRaw/"><id>2601.00001</id>{versions}<title>T</title>{more}</arXivRaw>'
    return f"<ListRecords><record><metadata>{raw}</metadata></record></ListRecords>"


def version(number: int, moment: str) -> str:
    return f'<version version="v{number}"><date>{moment}</date></version>'


FIRST = version(1, "Mon, 05 Jan 2026 23:59:59 GMT")


@pytest.mark.parametrize(
    ("line", "names"),
    [
        ("Ada First, Bo Second and C. Third", ("Ada First", "Bo Second", "C. Third")),
        ("Ada First, Bo Second, and C. Third", ("Ada First", "Bo Second", "C. Third")),
        ("A. First (1 and 2), B. Second (2) ((1) Here, There, (2) And Elsewhere)", ("A. First", "B. Second")),
        (r"Paulo Andr\'e Lima and J. P. M\"uller", ("Paulo André Lima", "J. P. Müller")),
        ("The ALPHA Collaboration: A. First, B. Second", ("The ALPHA Collaboration: A. First", "B. Second")),
        ("Alexandra Sandberg", ("Alexandra Sandberg",)),
        ("", ()),
        ("(" * 5000, ("(" * 119 + "…",)),
    ],
)
def test_author_lines_become_names(line: str, names: tuple[str, ...]) -> None:
    assert author_names(line) == names


async def test_a_record_has_all_that_is_stored() -> None:
    more = (
        "<authors>Ada First</authors><categories>cs.AI math.CO</categories><doi>10.5555/ABC.1</doi>"
        "<abstract>A $p&lt;q$ b\nc</abstract>"
    )
    read = await read_oai_page(page(record(version(2, "Tue, 06 Jan 2026 01:00:00 GMT") + FIRST, more)), DAY)
    (article,) = read.articles
    assert (article.authors, article.categories, article.doi) == (("Ada First",), ("cs.AI", "math.CO"), "10.5555/abc.1")
    assert (article.abstract, read.token) == ("A $p<q$ b c", "")


@pytest.mark.parametrize(
    "inside",
    [
        "<error code='noRecordsMatch'>No</error>",
        record(version(1, "Tue, 06 Jan 2026 00:00:00 GMT")),
        record(version(2, "Mon, 05 Jan 2026 12:00:00 GMT")),
        record(version(1, "some day")),
        "<ListRecords><record><header status='deleted'><identifier>x</identifier></header></record></ListRecords>",
    ],
)
async def test_a_page_without_new_papers_is_empty(inside: str) -> None:
    assert (await read_oai_page(page(inside), DAY)).articles == ()


async def test_errors_of_the_protocol_are_source_errors() -> None:
    with pytest.raises(SourceError, match="badArgument: until is early"):
        await read_oai_page(page("<error code='badArgument'>until is early</error>"), DAY)
    with pytest.raises(BadToken, match="expired"):
        await read_oai_page(page("<error code='badResumptionToken'>expired</error>"), DAY)
    feed = Fetched("https://oaipmh.arxiv.org/oai", "utf-8", b"<feed/>")
    with pytest.raises(SourceError, match="of <feed>"):
        await read_oai_page(feed, DAY)
