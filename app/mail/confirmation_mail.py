"""The mail that asks for the confirmation of an address: the only mail that an unconfirmed reader gets.

A stranger may have entered the address, so the mail contains nothing that was entered besides the address itself.
"""

from datetime import datetime
from email.message import EmailMessage
from typing import Final

from app.config.mail_address import Mailbox
from app.mail.letter import LetterLink, letter_page, letter_text
from app.mail.message import Mail, MessageKey, build_message

SUBJECT: Final = "Confirm your e-mail address"
_REQUEST: Final = (
    "This address was entered to receive Broadsheet, a personal digest of new research. To confirm this, open the page "
    "below and press its button."
)
_OTHERWISE: Final = (
    "The link is valid for a week. If you did not request this, ignore this mail: without your confirmation, no digest "
    "is sent."
)


def confirmation_message(
    *, key: MessageKey, sender: Mailbox, recipient: Mailbox, date: datetime, link: str
) -> EmailMessage:
    """Return the mail with the signed `link`. It has no links to other pages, and the recipient no name."""
    paragraphs = (_REQUEST, LetterLink("Confirm the address", link), _OTHERWISE)
    return build_message(
        Mail(
            key=key,
            sender=sender,
            recipient=Mailbox(recipient.address),
            date=date,
            subject=SUBJECT,
            text=letter_text(paragraphs),
            page=letter_page(SUBJECT, paragraphs),
            links=None,
        )
    )
