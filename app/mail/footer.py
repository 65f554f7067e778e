"""The footer of a mail: links to the reader's home page, preferences, schedule, pause and unsubscribe."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Final, Self
from urllib.parse import quote
from uuid import UUID

from app.config.mail_address import Mailbox
from app.links import Link, Links
from app.mail.item_links import ItemLinks, item_name
from app.models.articles import Article

# In the head: mail programs support dark-mode rules only there. All other styles are inlined.
_STYLE: Final = (
    "<style>@media (prefers-color-scheme: dark) { .mail-foot, .mail-foot a { color: #b3ab9c !important; } }</style>"
)
# The label of each link purpose, in the order of the footer.
_LABELS: Final = {
    "home": "Your page",
    "page": "Read in the browser",
    "preferences": "Change your preferences",
    "schedule": "Change the schedule",
    "pause": "Pause",
    "unsubscribe": "Unsubscribe",
}
_PARAGRAPH: Final = 'style="margin: 0; padding: 0 0 6px;"'


@dataclass(frozen=True, slots=True)
class MailLinks:
    """The links of one mail. Links that are None are omitted."""

    unsubscribe: str
    home: str | None = None
    page: str | None = None
    preferences: str | None = None
    schedule: str | None = None
    pause: str | None = None
    items: ItemLinks | None = None

    @classmethod
    def signed(cls, links: Links, reader_id: UUID, generation: int, day: date) -> Self:
        """Return all links, signed for this reader and the mail's local day."""
        link = Link(reader_id, generation, day)
        return cls(items=ItemLinks(links, link), **{purpose: links.url(purpose, link) for purpose in _LABELS})

    @classmethod
    def by_mail(cls, sender: Mailbox) -> Self:
        """Return the only link of a mail without pages: a mail to the sender (RFC 6068)."""
        return cls(unsubscribe=f"mailto:{quote(sender.address, safe='@')}?subject=Unsubscribe")

    def of_item(self, article: Article) -> Sequence[tuple[str, str]]:
        """Return the feedback links of an item as pairs of label and address."""
        return self.items.of(article) if self.items is not None else ()

    def feedback_on(self, article: Article) -> str | None:
        """Return the address of the item's buttons on the reader's page of the day."""
        if self.home is None or self.items is None or self.items.link.day is None:
            return None
        return f"{self.home}/{self.items.link.day.isoformat()}#{item_name(article)}"

    def labelled(self) -> Iterator[tuple[str, str]]:
        """Yield label and address of each link."""
        for purpose, label in _LABELS.items():
            address = getattr(self, purpose)
            if address is not None:
                yield label, address


def text_footer(links: MailLinks) -> str:
    """Return the links as lines of text."""
    return "\n".join(f"{label}: {address}" for label, address in links.labelled())


def with_footer(page: str, links: MailLinks, omitted: int) -> str:
    """Return the page with the footer, which also states the number of omitted items."""
    anchors = " &middot; ".join(
        f'<a href="{escape(address)}" style="color: #6a6358; white-space: nowrap;">{label}</a>'
        for label, address in links.labelled()
    )
    note = f"<p {_PARAGRAPH}>{_omission(omitted)}{_link_to_all(links)}</p>" if omitted else ""
    footer = (
        '<footer class="mail-foot" style="max-width: 680px; margin: 0 auto; padding: 18px; text-align: center; '
        f"font-family: Georgia, 'Times New Roman', Times, serif; font-size: 13px; line-height: 1.7; color: #6a6358;\">"
        f"{note}<p {_PARAGRAPH}>{anchors}</p></footer>"
    )
    return _before(_before(page, "</head>", _STYLE), "</body>", footer)


def omission_note(count: int, links: MailLinks) -> str:
    """Return the sentence about omitted items as text."""
    return _omission(count) + (f"\nAll items: {links.page}" if links.page else "")


def _omission(count: int) -> str:
    return (
        f"{'1 item is' if count == 1 else f'{count} items are'} omitted, because mail programs truncate longer mails."
    )


def _link_to_all(links: MailLinks) -> str:
    if links.page is None:
        return ""
    return f' <a href="{escape(links.page)}" style="color: #6a6358;">The web page</a> has all items.'


def _before(page: str, tag: str, addition: str) -> str:
    """Insert `addition` before the last `tag`, or at the end if there is none."""
    head, found, tail = page.rpartition(tag)
    return f"{head}{addition}{found}{tail}" if found else page + addition
