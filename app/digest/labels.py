"""Template filters for the parts of a digest, for mails and for the reader's home pages."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any, Final

from markupsafe import Markup

from app.model_fallbacks import excerpts_notice
from app.models.digests import Digest, DigestItem
from app.sources.bylines import byline, sections
from app.sources.names import missing_sources, paper_origin, source_name
from app.sources.paper_links import links_of, venue
from app.sources.text import safe_link, shorten

_SHOWN_TERMS: Final = 4
_PREVIEWED: Final = 3
_MAX_PREVIEW_TITLE: Final = 110


def _matched_words(item: DigestItem) -> list[str]:
    """Return the matched terms that the reader sees in the item and that its reason does not already contain."""
    named = item.reason.casefold()
    words = dict.fromkeys(word for reason in item.reasons for word in reason.words)
    visible = " ".join((item.article.title, item.summary, *item.key_points)).casefold() if words else ""
    return [word for word in words if word not in named and word.casefold() in visible][:_SHOWN_TERMS]


def preview(digest: Digest) -> str:
    """Return what mail programs show beside the subject: the titles of the three best items, or the introduction."""
    titles = (shorten(item.article.title, _MAX_PREVIEW_TITLE) for item in digest.best[:_PREVIEWED])
    return " \N{MIDDLE DOT} ".join(filter(None, titles)) or digest.introduction


def lang_attributes(item: DigestItem) -> Markup:
    """Return the attributes that mark the text of a summary; empty for an excerpt, whose language is unknown."""
    return Markup(' lang="{}" dir="auto"').format(item.language) if item.language else Markup("")


def _day(value: date) -> str:
    return f"{value:%A}, {value.day} {value:%B %Y}"


def _missing(digest: Digest) -> str:
    """Return the sentence about sources that could not be read; empty if there are none."""
    return missing_sources(digest.edition_status, digest.source_errors)


FILTERS: Final[Mapping[str, Callable[..., Any]]] = {
    "link": safe_link,
    "day": _day,
    "byline": byline,
    "origin": source_name,
    "paper_origin": paper_origin,
    "paper_links": links_of,
    "preview": preview,
    "venue": venue,
    "missing": _missing,
    "lang": lang_attributes,
    "excerpts_notice": excerpts_notice,
    "sections": sections,
    "matched_words": _matched_words,
    "percent": lambda score: round(100 * score),
}
"""Template filters by name."""
