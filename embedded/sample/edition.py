"""The sample edition's content, as the documents that the real hosts would send on a given day."""

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any, Final
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape
from zoneinfo import ZoneInfo

from app.models.articles import SAMPLE_CATEGORY
from embedded.sample.arxiv_query import ArxivQuery, BadQuery

_FOLDER: Final = Path(__file__).parent
_ATOM: Final = "http://www.w3.org/2005/Atom"
_OPENSEARCH: Final = "http://a9.com/-/spec/opensearch/1.1/"
_ARXIV: Final = "http://arxiv.org/schemas/atom"
_DC: Final = "http://purl.org/dc/elements/1.1/"
_OAI: Final = "http://www.openarchives.org/OAI/2.0/"
_RAW: Final = "http://arxiv.org/OAI/arXivRaw/"
_EASTERN: Final = ZoneInfo("America/New_York")
_DOI: Final = "10.5555/broadsheet-sample"
"""10.5555 is the prefix for examples."""
_PREPRINTS_A_PAGE: Final = 30
_OLDER: Final = 80_000
"""Added to a paper's number for the number of an older paper."""
# RFC 2606 reserves this domain for examples.
_SITE: Final = "https://example.org/broadsheet-sample"

for _prefix, _uri in (("", _ATOM), ("opensearch", _OPENSEARCH), ("arxiv", _ARXIV), ("dc", _DC)):
    ET.register_namespace(_prefix, _uri)


@dataclass(frozen=True, slots=True)
class SamplePaper:
    """An invented paper. Its number has month 13, so arXiv can never assign it to a real paper."""

    number: int
    title: str
    authors: tuple[str, ...]
    categories: tuple[str, ...]
    abstract: str

    @property
    def name(self) -> str:
        """The identifier, with its version."""
        return f"{self.identifier}v1"

    @property
    def identifier(self) -> str:
        """The identifier without a version."""
        return f"2513.{self.number:05d}"

    def submitted(self, day: date) -> datetime:
        """The time of its submission on `day`."""
        return _midnight(day) + timedelta(minutes=30 * self.number)


class SampleEdition:
    """Reads the bundled files once, and renders them as arXiv's Atom, arXiv's RSS and publishers' RSS."""

    def __init__(self) -> None:
        papers = tomllib.loads((_FOLDER / "papers.toml").read_text(encoding="utf-8"))["paper"]
        self.papers = tuple(
            SamplePaper(number, paper["title"], tuple(paper["authors"]), tuple(paper["categories"]), paper["abstract"])
            for number, paper in enumerate(papers, start=1)
        )
        feeds = tomllib.loads((_FOLDER / "news.toml").read_text(encoding="utf-8"))["feed"]
        self.feeds: dict[str, dict[str, Any]] = {feed["path"]: feed for feed in feeds}

    def query(self, query: ArxivQuery) -> bytes:
        """Return one page of the response to a query of arXiv's API.

        Every day has all papers. Categories are ignored, so that every profile gets the whole sample.
        """
        found = [paper for paper in self.papers if _matches(paper, query)]
        found = found[::-1] if query.descending else found
        page = found[query.start : query.start + query.limit]
        feed = ET.Element(f"{{{_ATOM}}}feed")
        _atom(feed, "title", "Broadsheet sample edition: every paper is invented")
        _atom(feed, "id", f"{_SITE}/api/query")
        for name, value in (("itemsPerPage", len(page)), ("totalResults", len(found)), ("startIndex", query.start)):
            ET.SubElement(feed, f"{{{_OPENSEARCH}}}{name}").text = str(value)
        for paper in page:
            _entry(feed, paper, paper.submitted(query.day))
        return _document(feed)

    def error_feed(self, error: BadQuery) -> bytes:
        """Return arXiv's error feed for a wrong query."""
        feed = ET.Element(f"{{{_ATOM}}}feed")
        ET.SubElement(feed, f"{{{_OPENSEARCH}}}totalResults").text = "1"
        entry = ET.SubElement(feed, f"{{{_ATOM}}}entry")
        for name, text in (
            ("id", f"http://arxiv.org/api/errors#{error.name}"),
            ("title", "Error"),
            ("summary", str(error)),
        ):
            _atom(entry, name, text)
        return _document(feed)

    def arxiv_rss(self, categories: str, day: date) -> bytes:
        """Return arXiv's daily listing of `day`, which has what was announced on the day before, in Eastern time.

        Categories are ignored, as in queries. Every third paper is followed by a replacement of an older one.
        """
        rss, channel = _rss(f"{categories} updates on arXiv.org (sample)")
        for paper in self.papers:
            _announced(channel, paper, "new", day)
            if paper.number % 3 == 0:
                _announced(channel, replace(paper, number=paper.number + _OLDER), "replace", day)
        return _document(rss)

    def oai_records(self, day: date) -> bytes:
        """Return OAI-PMH's list of the records that changed since `day`: all papers, submitted on that day."""
        root = ET.Element(f"{{{_OAI}}}OAI-PMH")
        records = ET.SubElement(root, f"{{{_OAI}}}ListRecords")
        for paper in self.papers:
            _record(records, paper, paper.submitted(day))
        return _document(root)

    def oai_error(self, code: str, reason: str) -> bytes:
        """Return OAI-PMH's error response."""
        root = ET.Element(f"{{{_OAI}}}OAI-PMH")
        ET.SubElement(root, f"{{{_OAI}}}error", code=code).text = reason
        return _document(root)

    def preprints(self, server: str, day: date, start: int) -> dict[str, Any]:
        """Return one page of the response of bioRxiv's API: the papers about biology, in a category of the server."""
        found = [paper for paper in self.papers if any("bio" in name for name in paper.categories)]
        page = found[start : start + _PREPRINTS_A_PAGE]
        if not page:
            return {"messages": [{"status": "no posts found"}], "collection": []}
        message = {
            "status": "ok",
            "interval": f"{day}:{day}",
            "cursor": start,
            "count": len(page),
            "total": str(len(found)),
        }
        return {"messages": [message], "collection": [_preprint(paper, server, day) for paper in page]}

    def works(self, names: Sequence[str]) -> dict[str, Any]:
        """Return Crossref's response for these DOIs: those of the sample's preprints."""
        papers = {f"{_DOI}.{paper.number}": paper for paper in self.papers}
        items = [_work(name, papers[name]) for name in names if name in papers]
        return {"status": "ok", "message": {"total-results": len(items), "items": items}}

    def news(self, path: str, day: date) -> bytes:
        """Return the publisher's feed at this path. Raises KeyError if there is none."""
        feed = self.feeds[path]
        rss, channel = _rss(feed["title"])
        for number, news in enumerate(feed["item"], start=1):
            link = f"{_SITE}/news{path.rstrip('/')}/{number}"
            item = _item(
                channel, news["title"], link, news["text"], _midnight(day) + timedelta(hours=5, minutes=number)
            )
            for name in (news["category"], SAMPLE_CATEGORY):
                ET.SubElement(item, "category").text = name
        return _document(rss)

    def newsapi(self, day: date, *, limit: int, page: int) -> dict[str, Any]:
        """Return one page of NewsAPI's response for a day: all of the sample's news, newest first."""
        news = [(path, n, item) for path, feed in self.feeds.items() for n, item in enumerate(feed["item"], start=1)]
        articles = [
            {
                "source": {"id": None, "name": self.feeds[path]["title"]},
                "author": None,
                "title": item["title"],
                "description": item["text"],
                "url": f"{_SITE}/news{path.rstrip('/')}/{number}",
                "publishedAt": f"{_midnight(day) + timedelta(hours=5, minutes=number):%Y-%m-%dT%H:%M:%SZ}",
            }
            for path, number, item in news
        ]
        articles.sort(key=lambda article: str(article["publishedAt"]), reverse=True)
        return {"status": "ok", "totalResults": len(articles), "articles": articles[limit * (page - 1) : limit * page]}


def _matches(paper: SamplePaper, query: ArxivQuery) -> bool:
    submitted = paper.submitted(query.day)
    # `until` includes its whole minute.
    within = (
        query.since is None or query.until is None or query.since <= submitted <= query.until + timedelta(seconds=59)
    )
    return within and (query.ids is None or paper.identifier in query.ids)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time.min, UTC)


def _entry(feed: ET.Element, paper: SamplePaper, submitted: datetime) -> None:
    entry = ET.SubElement(feed, f"{{{_ATOM}}}entry")
    timestamp = f"{submitted:%Y-%m-%dT%H:%M:%SZ}"
    _atom(entry, "id", f"http://arxiv.org/abs/{paper.name}")
    _atom(entry, "title", paper.title)
    _atom(entry, "updated", timestamp)
    for kind in ("abs", "pdf"):
        ET.SubElement(entry, f"{{{_ATOM}}}link", href=f"{_SITE}/{kind}/{paper.name}")
    _atom(entry, "summary", f"  {paper.abstract}")
    for name in (*paper.categories, SAMPLE_CATEGORY):
        ET.SubElement(entry, f"{{{_ATOM}}}category", term=name, scheme=_ARXIV)
    _atom(entry, "published", timestamp)
    ET.SubElement(entry, f"{{{_ARXIV}}}comment").text = "Invented for Broadsheet's sample edition"
    ET.SubElement(entry, f"{{{_ARXIV}}}primary_category", term=paper.categories[0])
    for author in paper.authors:
        _atom(ET.SubElement(entry, f"{{{_ATOM}}}author"), "name", author)


def _preprint(paper: SamplePaper, server: str, day: date) -> dict[str, str]:
    return {
        "doi": f"{_DOI}.{paper.number}",
        "title": paper.title,
        "authors": "; ".join(", ".join(reversed(name.rsplit(" ", 1))) for name in paper.authors),
        "date": f"{day}",
        "version": "1",
        "type": "new results",
        "category": "neuroscience" if server == "biorxiv" else "neurology",
        "abstract": paper.abstract,
        "server": server,
    }


def _work(name: str, paper: SamplePaper) -> dict[str, Any]:
    return {
        "DOI": name,
        "title": [paper.title],
        "author": [{"name": author} for author in paper.authors],
        "abstract": f"<jats:p>{escape(paper.abstract)}</jats:p>",
        "type": "posted-content",
        "URL": f"{_SITE}/doi/{paper.number}",
    }


def _announced(channel: ET.Element, paper: SamplePaper, kind: str, day: date) -> None:
    text = f"arXiv:{paper.name} Announce Type: {kind} \nAbstract: {paper.abstract}"
    midnight = datetime.combine(day, time.min, _EASTERN)
    item = _item(channel, paper.title, f"{_SITE}/abs/{paper.name}", text, midnight.astimezone(UTC))
    ET.SubElement(item, "guid", isPermaLink="false").text = f"oai:arXiv.org:{paper.name}"
    for name in (*paper.categories, SAMPLE_CATEGORY):
        ET.SubElement(item, "category").text = name
    ET.SubElement(item, f"{{{_ARXIV}}}announce_type").text = kind
    ET.SubElement(item, f"{{{_DC}}}creator").text = ", ".join(paper.authors)


def _record(records: ET.Element, paper: SamplePaper, submitted: datetime) -> None:
    record = ET.SubElement(records, f"{{{_OAI}}}record")
    raw = ET.SubElement(ET.SubElement(record, f"{{{_OAI}}}metadata"), f"{{{_RAW}}}arXivRaw")
    ET.SubElement(raw, f"{{{_RAW}}}id").text = paper.identifier
    version = ET.SubElement(raw, f"{{{_RAW}}}version", version="v1")
    ET.SubElement(version, f"{{{_RAW}}}date").text = format_datetime(submitted, usegmt=True)
    for name, value in (
        ("title", paper.title),
        ("authors", ", ".join(paper.authors)),
        ("categories", " ".join((*paper.categories, SAMPLE_CATEGORY))),
        ("comments", "Invented for Broadsheet's sample edition"),
        ("abstract", paper.abstract),
    ):
        ET.SubElement(raw, f"{{{_RAW}}}{name}").text = value


def _atom(parent: ET.Element, name: str, text: str) -> None:
    ET.SubElement(parent, f"{{{_ATOM}}}{name}").text = text


def _rss(title: str) -> tuple[ET.Element, ET.Element]:
    rss = ET.Element("rss", version="2.0")
    channel = ET.SubElement(rss, "channel")
    ET.SubElement(channel, "title").text = title
    ET.SubElement(channel, "link").text = _SITE
    ET.SubElement(channel, "description").text = "Every item of this feed is invented."
    return rss, channel


def _item(channel: ET.Element, title: str, link: str, text: str, published: datetime) -> ET.Element:
    item = ET.SubElement(channel, "item")
    for name, value in (("title", title), ("link", link), ("description", text)):
        ET.SubElement(item, name).text = value
    ET.SubElement(item, "pubDate").text = format_datetime(published, usegmt=True)
    return item


def _document(root: ET.Element) -> bytes:
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document
