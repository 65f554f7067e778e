"""What stands below a mail: the links by which its reader changes, pauses or ends it, as text and on the page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from html import escape
from typing import Final, Self
from uuid import UUID

from app.links import Link, Links
from app.mail.item_links import ItemLinks
from app.models import Article

# In the head, because only there mail programs keep rules for the dark; all else is written at each element.
_STYLE: Final = (
    "<style>@media (prefers-color-scheme: dark) { .mail-foot, .mail-foot a { color: #b3ab9c !important; } }</style>"
)
# What can be done by a link, each a purpose for which it is signed, in the order in which they stand.
_LABELS: Final = {
    "home": "Your page",
    "page": "Read it in the browser",
    "preferences": "Change your words",
    "schedule": "Change when it comes",
    "pause": "Pause",
    "unsubscribe": "Unsubscribe",
}
_PARAGRAPH: Final = 'style="margin: 0; padding: 0 0 6px;"'


@dataclass(frozen=True, slots=True)
class MailLinks:
    """Addresses for one mail's reader and its items; those that are None are left out."""

    unsubscribe: str
    home: str | None = None
    page: str | None = None
    preferences: str | None = None
    schedule: str | None = None
    pause: str | None = None
    items: ItemLinks | None = None

    @classmethod
    def signed(cls, links: Links, reader_id: UUID, generation: int, day: date) -> Self:
        """All of them, signed for this reader and the mail's local day."""
        link = Link(reader_id, generation, day)
        return cls(items=ItemLinks(links, link), **{purpose: links.url(purpose, link) for purpose in _LABELS})

    def of_item(self, article: Article) -> Sequence[tuple[str, str]]:
        """What the reader can say of an item, each with its address."""
        return self.items.of(article) if self.items is not None else ()

    def labelled(self) -> Iterator[tuple[str, str]]:
        """Each link that is there, after what it does."""
        for purpose, label in _LABELS.items():
            address = getattr(self, purpose)
            if address is not None:
                yield label, address


def text_footer(links: MailLinks) -> str:
    """Return the links as lines of text."""
    return "\n".join(f"{label}: {address}" for label, address in links.labelled())


def with_footer(page: str, links: MailLinks, omitted: int) -> str:
    """Return the page with the links at its end, and before them how many items it leaves out, if it does."""
    anchors = " &middot; ".join(
        f'<a href="{escape(address)}" style="color: #6a6358; white-space: nowrap;">{label}</a>'
        for label, address in links.labelled()
    )
    note = f"<p {_PARAGRAPH}>{_omission_note(omitted, links)}</p>" if omitted else ""
    footer = (
        '<div class="mail-foot" style="max-width: 680px; margin: 0 auto; padding: 18px; text-align: center; '
        f"font-family: Georgia, 'Times New Roman', Times, serif; font-size: 13px; line-height: 1.7; color: #6a6358;\">"
        f"{note}<p {_PARAGRAPH}>{anchors}</p></div>"
    )
    return _before(_before(page, "</head>", _STYLE), "</body>", footer)


def _omission_note(count: int, links: MailLinks) -> str:
    items = "1 item is" if count == 1 else f"{count} items are"
    where = (
        f' <a href="{escape(links.page)}" style="color: #6a6358;">The page</a> has all of them.' if links.page else ""
    )
    return f"{items} left out here, because mail programs cut longer mails.{where}"


def _before(page: str, tag: str, addition: str) -> str:
    """Put `addition` before the last `tag`, or at the end of a page that has none."""
    head, found, tail = page.rpartition(tag)
    return f"{head}{addition}{found}{tail}" if found else page + addition
