"""A digest as a mail: subject, plain text, and a page within the size that mail programs show."""

from datetime import datetime
from email.message import EmailMessage
from typing import Final, Protocol

from app.config.mail_address import Mailbox
from app.mail.footer import MailLinks, with_footer
from app.mail.message import Mail, MessageKey, build_in_steps
from app.mail.text import digest_text, long_day
from app.models.articles import EditionStatus, ItemLinks
from app.models.digests import Digest, DigestItem
from app.sources.names import missing_sources
from app.sources.text import plain
from app.time_slice import TimeSlice

MAX_PAGE_BYTES: Final = 100_000
"""Gmail shows the first 102 kB of a page and hides the rest."""
_MAX_TITLE: Final = 110
_MAX_INTRODUCTION: Final = 1_500
_MAX_ERRORS: Final = 10
_MAX_ERROR: Final = 200


class Render(Protocol):
    """Renders the page of a digest; `links_of` returns the links of an item. Implemented by `app.digest.rendering`."""

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
    """Return the digest as a mail. `render` renders its page, and `date` is its Date header.

    Yields to the event loop between steps of a few milliseconds.
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
    """Return the best item's title and the number of other items; for an empty digest, the reason."""
    items = (*digest.papers, *digest.news)
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


async def fitting_page(digest: Digest, render: Render, links: MailLinks, time_slice: TimeSlice) -> str:
    """Return the page in less than `MAX_PAGE_BYTES`. It omits the lowest scores and states how many."""
    digest = _bounded(digest)
    count = len(digest.papers) + len(digest.news)
    shown = count
    while True:
        page = with_footer(await render(_best(digest, shown), links.of_item), links, count - shown)
        await time_slice.checkpoint()
        # A line end takes two bytes in a mail.
        size = len(page.encode("utf-8", "replace")) + page.count("\n")
        if size < MAX_PAGE_BYTES or not shown:
            return page
        # Items have similar sizes, so one or two iterations suffice.
        shown = min(shown - 1, shown * MAX_PAGE_BYTES // size)


def _bounded(digest: Digest) -> Digest:
    errors = list(digest.source_errors.items())[:_MAX_ERRORS]
    return digest.model_copy(
        update={
            "introduction": plain(digest.introduction, _MAX_INTRODUCTION),
            "source_errors": {plain(name, 100): plain(reason, _MAX_ERROR) for name, reason in errors},
        }
    )


def _best(digest: Digest, count: int) -> Digest:
    items = (*digest.papers, *digest.news)
    best = set(sorted(range(len(items)), key=lambda index: -items[index].score)[:count])
    papers = len(digest.papers)

    def best_of(indexes: range) -> tuple[DigestItem, ...]:
        return tuple(items[index] for index in indexes if index in best)

    return digest.model_copy(update={"papers": best_of(range(papers)), "news": best_of(range(papers, len(items)))})
