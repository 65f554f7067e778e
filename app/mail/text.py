"""A digest as plain text that reads well by itself, for mail programs and people that prefer it."""

import textwrap
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from typing import Final

from app.mail.footer import MailLinks, text_footer
from app.models import SAMPLE_CATEGORY, AnalysisMethod, Article, Digest, DigestItem
from app.sources.names import missing_sources, source_name
from app.sources.text import plain, safe_link

_WIDTH: Final = 72
_SHOWN_AUTHORS: Final = 4
_SHOWN_CATEGORIES: Final = 3
_MAX_LINE: Final = 300
_MAX_PARAGRAPH: Final = 2_000


def digest_text(digest: Digest, links: MailLinks) -> str:
    """Return the whole digest in lines of at most 72 characters; only links are longer."""
    blocks = [_heading(digest), *_notices(digest), _wrapped(digest.introduction)]
    write = partial(_item, model=digest.usage.model, links=links)
    blocks += _section("PAPERS", digest.papers, 1, write)
    blocks += _section("IN THE NEWS", digest.news, 1 + len(digest.papers), write)
    # "-- " alone on a line is how mail programs know where a mail's own text ends.
    blocks.append(f"-- \n{text_footer(links)}")
    return "\n\n".join(block for block in blocks if block) + "\n"


def long_day(day: date) -> str:
    """Return a day as people write it: Tuesday, 4 March 2025."""
    return f"{day:%A}, {day.day} {day:%B %Y}"


def _heading(digest: Digest) -> str:
    return f"{_wrapped(f'BROADSHEET for {digest.profile.name}')}\n{long_day(digest.source_date)}"


def _notices(digest: Digest) -> Iterator[str]:
    if any(item.article.is_sample for item in (*digest.papers, *digest.news)):
        yield _wrapped(
            "SAMPLE EDITION: items marked [Sample] are invented; they stand in where no real source is read."
        )
    missing = missing_sources(digest.edition_status, digest.source_errors)
    if missing:
        yield _wrapped(f"INCOMPLETE: {missing}")


def _section(
    title: str, items: tuple[DigestItem, ...], first: int, write: Callable[[int, DigestItem], str]
) -> list[str]:
    if not items:
        return []
    return [f"{title}\n{'-' * len(title)}", *(write(number, item) for number, item in enumerate(items, first))]


def _item(number: int, item: DigestItem, model: str | None, links: MailLinks) -> str:
    article = item.article
    mark = "[Sample] " if article.is_sample else ""
    by_model = item.analysis is AnalysisMethod.MODEL and model
    lines = [
        _wrapped(f"{number}. {mark}{plain(article.title, _MAX_LINE)}", "   ", first=""),
        _wrapped(_provenance(article), "   "),
        _wrapped(item.summary, "   "),
        *(_wrapped(f"* {point}", "     ", first="   ") for point in item.key_points),
        _wrapped(f"Why: {item.reason}." + (f" Summary by {model}." if by_model else ""), "   "),
        *(f"   {link}" for link in (safe_link(article.url), safe_link(article.pdf_url)) if link),
        *(f"   {label}: {address}" for label, address in links.of_item(article)),
    ]
    return "\n".join(line for line in lines if line)


def _provenance(article: Article) -> str:
    names = article.authors[:_SHOWN_AUTHORS]
    others = len(article.authors) - len(names)
    more = f" and {others} others" if others > 1 else " and another" if others else ""
    sections = [name for name in article.categories if name != SAMPLE_CATEGORY][:_SHOWN_CATEGORIES]
    where = ", ".join([source_name(article.source), *sections])
    return f"By {', '.join(names)}{more} ({where})" if names else where


def _wrapped(text: str, indent: str = "", *, first: str | None = None) -> str:
    """Fold to the width; words that are longer, as links are, stay whole."""
    return textwrap.fill(
        plain(text, _MAX_PARAGRAPH),
        _WIDTH,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
