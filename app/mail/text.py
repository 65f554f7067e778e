"""A digest as plain text, for mail programs and readers that prefer it."""

from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from typing import Final

from app.mail.footer import MailLinks, omission_note, text_footer
from app.model_fallbacks import excerpts_notice
from app.models.articles import Article
from app.models.digests import AnalysisMethod, Digest, DigestItem
from app.sources.bylines import byline, sections
from app.sources.names import missing_sources, source_name
from app.sources.paper_links import links_of, venue
from app.sources.text import plain, safe_link
from app.time_slice import TimeSlice

_WIDTH: Final = 72
_MAX_LINE: Final = 300
_MAX_PARAGRAPH: Final = 2_000


async def digest_text(
    digest: Digest, links: MailLinks, time_slice: TimeSlice, *, brief: bool = False, omitted: int = 0
) -> str:
    """Return the digest in lines of at most 72 characters; only links are longer.

    `brief` omits summaries, reasons and further links. `omitted` is the number of items that the digest lacks.
    """
    blocks = [_heading(digest), *_notices(digest), wrapped(digest.introduction)]
    write = partial(_item, model=digest.usage.model, links=links, brief=brief)
    blocks += await _section("PAPERS", digest.papers, 1, write, time_slice)
    blocks += await _section("IN THE NEWS", digest.news, 1 + len(digest.papers), write, time_slice)
    if omitted:
        blocks.append(omission_note(omitted, links))
    # Mail programs recognise "-- " on its own line as the start of the signature.
    blocks.append(f"-- \n{text_footer(links)}")
    return "\n\n".join(block for block in blocks if block) + "\n"


def long_day(day: date) -> str:
    """Return a day in the form Tuesday, 4 March 2025."""
    return f"{day:%A}, {day.day} {day:%B %Y}"


def _heading(digest: Digest) -> str:
    return f"{wrapped(f'BROADSHEET for {digest.profile.name}')}\n{long_day(digest.source_date)}"


def _notices(digest: Digest) -> Iterator[str]:
    if any(item.article.is_sample for item in (*digest.papers, *digest.news)):
        yield wrapped(
            "SAMPLE EDITION: items marked [Sample] are invented examples, used where no real source is configured."
        )
    missing = missing_sources(digest.edition_status, digest.source_errors)
    if missing:
        yield wrapped(f"INCOMPLETE: {missing}")
    excerpts = excerpts_notice(digest)
    if excerpts:
        yield wrapped(f"EXCERPTS: {excerpts}")


async def _section(
    title: str,
    items: tuple[DigestItem, ...],
    first: int,
    write: Callable[[int, DigestItem], str],
    time_slice: TimeSlice,
) -> list[str]:
    if not items:
        return []
    blocks = [f"{title}\n{'-' * len(title)}"]
    for number, item in enumerate(items, first):
        blocks.append(write(number, item))
        await time_slice.checkpoint()
    return blocks


def _item(number: int, item: DigestItem, model: str | None, links: MailLinks, *, brief: bool) -> str:
    article = item.article
    mark = "[Sample] " if article.is_sample else ""
    feedback = links.feedback_on(article)
    lines = [
        wrapped(f"{number}. {mark}{plain(article.title, _MAX_LINE)}", "   ", first=""),
        wrapped(_provenance(article), "   "),
        *(() if brief else _about(item, model)),
        *(f"   {link}" for link in [safe_link(article.url)] if link),
        *(() if brief else (f"   {label}: {link}" for label, link in links_of(article))),
        f"   Like, dislike or save: {feedback}" if feedback else "",
    ]
    return "\n".join(line for line in lines if line)


def _about(item: DigestItem, model: str | None) -> Iterator[str]:
    yield wrapped(venue(item.article), "   ")
    yield wrapped(item.summary, "   ")
    for point in item.key_points:
        yield wrapped(f"* {point}", "     ", first="   ")
    by_model = item.analysis is AnalysisMethod.MODEL and model
    yield wrapped(f"Reason: {item.reason}." + (f" Summary by {model}." if by_model else ""), "   ")


def _provenance(article: Article) -> str:
    where = ", ".join(filter(None, [source_name(article.source), sections(article)]))
    names = byline(article)
    return f"{names} ({where})" if names else where


def wrapped(text: str, indent: str = "", *, first: str | None = None) -> str:
    """Wrap to the width without breaking longer words, such as links.

    Like `textwrap.fill`, in a tenth of the time, because words of plain text are separated by single spaces.
    """
    text = plain(text, _MAX_PARAGRAPH)
    lines: list[str] = []
    start, lead = 0, indent if first is None else first
    while start < len(text):
        end = _line_end(text, start, _WIDTH - len(lead))
        lines.append(lead + text[start:end])
        start, lead = end + 1, indent
    return "\n".join(lines)


def _line_end(text: str, start: int, width: int) -> int:
    """Return the end of the line from `start`: its last space within the width, or the end of one long word."""
    if len(text) - start <= width:
        return len(text)
    end = text.rfind(" ", start, start + width + 1)
    if end < 0:
        end = text.find(" ", start + width)
    return end if end >= 0 else len(text)
