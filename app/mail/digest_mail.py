"""A digest as a mail: subject, plain text and page, together within the size that mail programs show."""

from datetime import datetime
from email.message import EmailMessage
from typing import Final, Protocol

from app.config.mail_address import Mailbox
from app.mail.bounded_digest import bounded
from app.mail.encoding import Encoded, encode_in_steps
from app.mail.footer import MailLinks, with_footer
from app.mail.message import Mail, MessageKey, build_message
from app.mail.text import digest_text, long_day
from app.models.articles import EditionStatus
from app.models.digests import Digest, PageLinks
from app.sources.names import missing_sources
from app.sources.text import plain
from app.time_slice import TimeSlice

MAX_MESSAGE_BYTES: Final = 100_000
"""Of the whole mail. Gmail shows the first 102 kB of a message and hides the rest."""
_MAX_HEADER_BYTES: Final = 4_000
"""More than the longest subject, names and links take, with the headers of both parts."""
_MIN_ITEM_BYTES: Final = 250
"""The markup of an item without its texts and links."""
_FIXED_BYTES: Final = 10_000
"""About the size of a mail without items. It only makes the first estimate of how many items fit better."""
_MAX_TITLE: Final = 110


class Render(Protocol):
    """Renders the page of a digest with the reader's links. Implemented by `app.digest.rendering`."""

    async def __call__(self, digest: Digest, links: PageLinks | None = None) -> str:
        """Return the page."""


async def digest_message(
    digest: Digest,
    render: Render,
    *,
    key: MessageKey,
    sender: Mailbox,
    recipient: Mailbox,
    date: datetime,
    links: MailLinks,
) -> EmailMessage:
    """Return the digest as a mail. `render` renders its page, and `date` is its Date header.

    Yields to the event loop between steps of a few milliseconds.
    """
    time_slice = TimeSlice()
    text, page = await _fitting_parts(await bounded(digest, time_slice), render, links, time_slice)
    return build_message(
        Mail(
            key=key,
            sender=sender,
            recipient=recipient,
            date=date,
            subject=subject(digest),
            text=text,
            page=page,
            links=links,
        )
    )


def subject(digest: Digest) -> str:
    """Return the best item's title and the number of other items; for an empty digest, the reason."""
    items = digest.best
    if not items:
        return _empty_subject(digest)
    title = plain(items[0].article.title, _MAX_TITLE) or "Your digest"
    mark = "[Sample] " if items[0].article.is_sample else ""
    return f"{mark}{title}" + (f" and {len(items) - 1} more" if len(items) > 1 else "")


def _empty_subject(digest: Digest) -> str:
    """State that nothing is new, limited to the sources that were read."""
    day = long_day(digest.source_date)
    if digest.edition_status is EditionStatus.FAILED:
        return f"Your digest for {day}: no source could be read"
    where = " in the sources that could be read" if missing_sources(digest.edition_status, digest.source_errors) else ""
    return f"Nothing new for {day}{where}"


async def _fitting_parts(
    digest: Digest, render: Render, links: MailLinks, time_slice: TimeSlice
) -> tuple[Encoded, Encoded]:
    """Return text and page of the digest. If they are too large, shorten the text; then omit the lowest scores."""

    async def page_of(count: int) -> Encoded:
        page = with_footer(await render(digest.only_best(count), links), links, items - count)
        return await encode_in_steps(page, time_slice)

    async def text_of(count: int, *, brief: bool) -> Encoded:
        text = await digest_text(digest.only_best(count), links, time_slice, brief=brief, omitted=items - count)
        return await encode_in_steps(text, time_slice)

    items, limit = len(digest.papers) + len(digest.news), MAX_MESSAGE_BYTES - _MAX_HEADER_BYTES
    count = _most_items(digest, links, limit)
    brief = count < items
    page, text = await page_of(count), await text_of(count, brief=brief)
    while (size := len(page.payload) + len(text.payload)) > limit and (count or not brief):
        if brief:
            # Items have similar sizes, so one or two iterations suffice.
            count = min(count - 1, count * (limit - _FIXED_BYTES) // max(1, size - _FIXED_BYTES))
            page = await page_of(count)
        brief = True
        text = await text_of(count, brief=True)
    return text, page


def _most_items(digest: Digest, links: MailLinks, limit: int) -> int:
    """Return an upper bound of the number of best items that fit, so that no more are rendered."""
    size = 0
    for count, item in enumerate(digest.best):
        # Each link on the page is longer than the one of the reader's page, and a brief text has the title and a link.
        size += _MIN_ITEM_BYTES + 4 * len(links.home or "" if links.items else "")
        size += 2 * len(item.article.title) + len(item.summary) + len(item.reason) + sum(map(len, item.key_points))
        if size > limit:
            return count
    return len(digest.papers) + len(digest.news)
