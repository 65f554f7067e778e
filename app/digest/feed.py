"""A reader's newest items as an Atom feed (RFC 4287), each with a stable id."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final
from uuid import UUID, uuid5

from lxml import etree
from lxml.builder import ElementMaker
from lxml.etree import _Element as Element
from markupsafe import Markup

from app.digest.labels import lang_attributes
from app.models.articles import Article
from app.models.digests import AnalysisMethod, DigestItem
from app.persistence.digests import ArchivedItem
from app.sources.bylines import categories_of
from app.sources.paper_links import links_of, venue
from app.sources.text import MAX_LINK, MAX_NAME, MAX_TITLE, plain, safe_link

MEDIA_TYPE: Final = "application/atom+xml"
_ATOM: Final = "http://www.w3.org/2005/Atom"
_MAX_TEXT: Final = 4_000
_MAX_AUTHORS: Final = 30
_MAX_POINTS: Final = 10

_SAMPLE: Final = Markup("<p>This item is an invented example, used where no real source is configured.</p>")

_E: Final = ElementMaker(namespace=_ATOM, nsmap={None: _ATOM})


def atom_feed(reader_id: UUID, name: str, address: str, updated: datetime, items: Sequence[ArchivedItem]) -> bytes:
    """Return the feed of reader `name`, served at `address`. The same inputs give the same bytes.

    `updated` is the time of the newest digest. Item texts are escaped, reduced to one line and shortened. Links that
    are not http(s) are omitted.
    """
    feed = _E.feed(
        _E.id(uuid5(reader_id, "feed").urn),
        _E.title(f"Broadsheet for {plain(name, MAX_NAME)}"),
        _E.subtitle("The papers and news of your digests, with the reason for each."),
        _E.updated(_moment(updated)),
        _E.author(_E.name("Broadsheet")),
        _E.generator("Broadsheet"),
        _E.link(rel="self", type=MEDIA_TYPE, href=address),
        *(_entry(reader_id, each) for each in items),
    )
    # Of the service's own texts; the content marks the language of summaries.
    feed.set("{http://www.w3.org/XML/1998/namespace}lang", "en")
    return etree.tostring(feed, xml_declaration=True, encoding="utf-8")


def _entry(reader_id: UUID, archived: ArchivedItem) -> Element:
    item, article = archived.item, archived.item.article
    # The day and the position in its digest, because a written digest does not change.
    name = f"{archived.local_day.isoformat()}/{archived.kind.value}/{archived.place}"
    entry = _E.entry(
        _E.id(uuid5(reader_id, name).urn),
        _E.title(_title(article)),
        _E.updated(_moment(archived.written_at)),
    )
    if article.published_at is not None:
        entry.append(_E.published(_moment(article.published_at)))
    names = [plain(author, MAX_NAME) for author in article.authors[:_MAX_AUTHORS]]
    # An item without authors is attributed to its source.
    authors = [each for each in names if each] or [
        plain(article.source.removeprefix("feed:"), MAX_NAME) or "Broadsheet"
    ]
    entry.extend(_E.author(_E.name(each)) for each in authors)
    link = _link(article.url)
    if link:
        entry.append(_E.link(rel="alternate", href=link))
    sections = [plain(each, MAX_NAME) for each in categories_of(article)]
    entry.extend(_E.category(term=section) for section in sections if section)
    entry.append(_E.content(_content(item), type="html"))
    return entry


def _title(article: Article) -> str:
    title = plain(article.title, MAX_TITLE) or "Without a title"
    return f"[Sample] {title}" if article.is_sample else title


def _content(item: DigestItem) -> str:
    """Return the entry's content as HTML with all item texts escaped."""
    points = [plain(point, _MAX_TEXT) for point in item.key_points[:_MAX_POINTS]]
    lang = lang_attributes(item)
    links = [(label, link) for label, address in links_of(item.article) if (link := _link(address))]
    published = venue(item.article)
    by_model = " Summary by a language model." if item.analysis is AnalysisMethod.MODEL else ""
    parts = [
        _SAMPLE if item.article.is_sample else "",
        Markup("<p>{}</p>").format(published) if published else "",
        Markup("<p{}>{}</p>").format(lang, plain(item.summary, _MAX_TEXT)),
        *(Markup("<p{}>• {}</p>").format(lang, point) for point in points if point),
        Markup("<p>Reason: {}.{}</p>").format(plain(item.reason, _MAX_TEXT), by_model),
        *(Markup('<p><a href="{}">{}</a></p>').format(link, label) for label, link in links),
    ]
    return str(Markup().join(parts))


def _link(url: str | None) -> str | None:
    link = safe_link(url)
    return link if link and plain(link, MAX_LINK) == link else None


def _moment(time: datetime) -> str:
    """Format a time by RFC 3339, in UTC and whole seconds."""
    return time.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
