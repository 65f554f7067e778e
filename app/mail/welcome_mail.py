"""The optional welcome mail of a new reader."""

from dataclasses import replace
from datetime import datetime
from email.message import EmailMessage
from typing import Final

from app.config.mail_address import Mailbox
from app.mail.footer import MailLinks, text_footer, with_footer
from app.mail.letter import letter_page, letter_text
from app.mail.message import Mail, MessageKey, build_message
from app.sources.text import plain

_TEXT: Final = "You will receive your digests of new research at this address. "
_PAGES: Final = "Use the links below to change your preferences or schedule, to pause, or to unsubscribe."
_NO_PAGES: Final = "Use the link below to unsubscribe."


def welcome_message(
    *, key: MessageKey, sender: Mailbox, recipient: Mailbox, date: datetime, links: MailLinks
) -> EmailMessage:
    """Return the mail. The arguments are those of `digest_message`."""
    links = replace(links, page=None)  # there is no digest yet
    greeting = f"Welcome, {plain(recipient.name, 100)}."
    message = _TEXT + (_PAGES if links.preferences else _NO_PAGES)
    return build_message(
        Mail(
            key=key,
            sender=sender,
            recipient=recipient,
            date=date,
            subject="Welcome to Broadsheet",
            text=letter_text([greeting, message, f"-- \n{text_footer(links)}"]),
            page=with_footer(letter_page(greeting, [message]), links, 0),
            links=links,
        )
    )
