"""The mail with a link that a reader requested: to download or to delete everything about them."""

from datetime import datetime
from email.message import EmailMessage
from typing import Final
from uuid import UUID

from app.config.mail_address import Mailbox
from app.links import Link, Links
from app.mail.footer import MailLinks
from app.mail.letter import LetterLink, letter_page, letter_text
from app.mail.message import Mail, MessageKey, build_message
from app.persistence.own_data import LinkKind
from app.sources.text import plain

LINK_PURPOSES: Final[dict[LinkKind, str]] = {"download_link": "download", "delete_link": "delete"}
"""The purpose in the address of each kind of link; the id of the link follows it."""

_SUBJECTS: Final[dict[LinkKind, str]] = {
    "download_link": "Download your data from Broadsheet",
    "delete_link": "Delete your data from Broadsheet",
}
_REQUESTS: Final[dict[LinkKind, str]] = {
    "download_link": "You requested a link to download everything that Broadsheet has stored about you:",
    "delete_link": "You requested a link to delete everything that Broadsheet has stored about you:",
}
_IGNORE: Final = (
    "If you did not request it, ignore this mail: nothing changes. Do not forward it while the link is valid."
)


def purpose_of(kind: LinkKind, link_id: UUID) -> str:
    """Return the purpose for which a link is signed."""
    return f"{LINK_PURPOSES[kind]}:{link_id}"


def link_url(links: Links, kind: LinkKind, link_id: UUID, link: Link) -> str:
    """Return the address of a link."""
    return links.url(purpose_of(kind, link_id), link)


def link_message(
    kind: LinkKind,
    url: str,
    *,
    key: MessageKey,
    sender: Mailbox,
    recipient: Mailbox,
    date: datetime,
    links: MailLinks,
) -> EmailMessage:
    """Return the mail. It has no other link. `date` is when the link was requested."""
    greeting = f"Hello {plain(recipient.name, 100)},"
    valid = f"The link is valid for 15 minutes from your request at {date:%H:%M} UTC on {date:%Y-%m-%d}."
    paragraphs = (_REQUESTS[kind], LetterLink(_SUBJECTS[kind], url), valid, _IGNORE)
    return build_message(
        Mail(
            key=key,
            sender=sender,
            recipient=recipient,
            date=date,
            subject=_SUBJECTS[kind],
            text=letter_text((greeting, *paragraphs)),
            page=letter_page(greeting, paragraphs),
            links=links,
        )
    )
