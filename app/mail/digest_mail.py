"""A digest as a mail: its subject, its page cut to what mail programs show, and its text."""

from datetime import datetime
from email.message import EmailMessage
from typing import Final, Protocol

from app.mail.footer import MailLinks, with_footer
from app.mail.message import Mail, MessageKey, build_in_steps
from app.mail.text import digest_text, long_day
from app.mail_address import Mailbox
from app.models import Digest, DigestItem, EditionStatus, ItemLinks
from app.sources.names import missing_sources
from app.sources.text import plain
from app.time_slice import TimeSlice

MAX_PAGE_BYTES: Final = 100_000
"""Gmail shows the first 102 kB of a page and hides the rest behind a link."""
_MAX_TITLE: Final = 110
_MAX_INTRODUCTION: Final = 1_500
_MAX_ERRORS: Final = 10
_MAX_ERROR: Final = 200


class Render(Protocol):
    """Makes the page of a digest, each item with the links that `links_of` gives it: `app.digest.rendering`."""

    async def __call__(self, digest: Digest, links_of: ItemLinks | None = None) -> str:
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
    """Return the digest as a mail; `render` makes its page, and `date` is what the mail says of its own time.

    The loop has its turn between the steps of the work, each of which takes a few milliseconds at most.
    """
    time_slice = TimeSlice()
    mail = Mail(
        key=key,
        sender=sender,
        recipient=recipient,
        date=date,
        subject=subject(digest),
        text=await digest_text(digest, links, time_slice),
        page=await fitting_page(digest, render, links, time_slice),
        links=links,
    )
    return await build_in_steps(mail, time_slice)


def subject(digest: Digest) -> str:
    """Return the best item's title, and how many more there are; without an item, what that means."""
    items = (*digest.papers, *digest.news)
    if not items:
        return _subject_of_nothing(digest)
    title = plain(items[0].article.title, _MAX_TITLE) or "Your digest"
    mark = "[Sample] " if items[0].article.is_sample else ""
    return f"{mark}{title}" + (f" and {len(items) - 1} more" if len(items) > 1 else "")


def _subject_of_nothing(digest: Digest) -> str:
    """Say that there is nothing new, but only of what was read."""
    day = long_day(digest.source_date)
    if digest.edition_status is EditionStatus.FAILED:
        return f"Your digest for {day}: no source could be read"
    where = " in the sources that could be read" if missing_sources(digest.edition_status, digest.source_errors) else ""
    return f"Nothing new for {day}{where}"


async def fitting_page(digest: Digest, render: Render, links: MailLinks, time_slice: TimeSlice) -> str:
    """Return the page in less than `MAX_PAGE_BYTES`: the least fitting items go first, and the page says how many.

    Papers and news are measured each against the best of its kind, and the best item of all stays as long as it can.
    """
    digest = _bounded(digest)
    count = len(digest.papers) + len(digest.news)
    kept = count
    while True:
        page = with_footer(await render(_best(digest, kept), links.of_item), links, count - kept)
        await time_slice.checkpoint()
        # Each line end becomes two bytes in a mail.
        size = len(page.encode("utf-8", "replace")) + page.count("\n")
        if size < MAX_PAGE_BYTES or not kept:
            return page
        # Items are of about one size, so that one or two steps suffice.
        kept = min(kept - 1, kept * MAX_PAGE_BYTES // size)


def _bounded(digest: Digest) -> Digest:
    errors = list(digest.source_errors.items())[:_MAX_ERRORS]
    return digest.model_copy(
        update={
            "introduction": plain(digest.introduction, _MAX_INTRODUCTION),
            "source_errors": {plain(name, 100): plain(reason, _MAX_ERROR) for name, reason in errors},
        }
    )


def _best(digest: Digest, kept: int) -> Digest:
    items = (*digest.papers, *digest.news)
    chosen = set(sorted(range(len(items)), key=lambda place: -items[place].score)[:kept])
    papers = len(digest.papers)

    def those(places: range) -> tuple[DigestItem, ...]:
        return tuple(items[place] for place in places if place in chosen)

    return digest.model_copy(update={"papers": those(range(papers)), "news": those(range(papers, len(items)))})
