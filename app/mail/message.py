"""Builds a whole mail; the same inputs give the same bytes, whenever and wherever it is built."""

import binascii
import hashlib
from dataclasses import dataclass
from datetime import date, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Final
from uuid import UUID

from app.mail.footer import MailLinks
from app.mail.headers import MailPolicy
from app.mail_address import Mailbox
from app.sources.text import plain, safe_link

MAX_SUBJECT: Final = 200
_MAX_NAME: Final = 80
_POLICY: Final = MailPolicy()


@dataclass(frozen=True, slots=True)
class MessageKey:
    """What makes a mail the one that it is: its reader, the local day, and its kind. Providers take it as their key."""

    reader_id: UUID
    day: date
    kind: str = "digest"

    def __str__(self) -> str:
        """Return the key as text; it can stand in a header and as a file's name."""
        return f"{self.kind}-{self.day.isoformat()}-{self.reader_id}"


@dataclass(frozen=True, slots=True)
class Mail:
    """Everything that a mail is made of. `date` needs a time zone; names, subject, text and page may hold anything."""

    key: MessageKey
    sender: Mailbox
    recipient: Mailbox
    date: datetime
    subject: str
    text: str
    page: str
    links: MailLinks


def build_message(mail: Mail) -> EmailMessage:
    """Return the mail: plain text and page as alternatives, and the headers by which mail programs end it in one click.

    List-Unsubscribe and List-Unsubscribe-Post are RFC 8058's, List-Id RFC 2919's, Auto-Submitted RFC 3834's. One click
    needs https; without it the link is there alone. Raises `ValueError` for a `date` without a zone or an unsafe link.
    """
    if mail.date.tzinfo is None:
        raise ValueError(f"the mail's date {mail.date} has no time zone")
    unsubscribe = safe_link(mail.links.unsubscribe)
    if unsubscribe is None or len(unsubscribe) > 900:  # noqa: PLR2004  (a header's line ends at 998)
        raise ValueError("the link to unsubscribe is no http(s) address that fits into a header")
    message = EmailMessage(policy=_POLICY)
    message["From"] = _address(mail.sender)
    message["To"] = _address(mail.recipient)
    message["Subject"] = _line(mail.subject, MAX_SUBJECT)
    message["Date"] = mail.date
    message["Message-ID"] = f"<{mail.key}@{mail.sender.domain}>"
    message["List-Id"] = f"<digest.{mail.sender.domain}>"
    message["List-Unsubscribe"] = f"<{unsubscribe}>"
    if unsubscribe.startswith("https://"):
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message["Auto-Submitted"] = "auto-generated"
    message["MIME-Version"] = "1.0"
    message["Content-Type"] = f'multipart/alternative; boundary="{_boundary(mail.key)}"'
    message.attach(_part("plain", mail.text))
    message.attach(_part("html", mail.page))
    return message


def _address(mailbox: Mailbox) -> Address:
    return Address(_line(mailbox.name, _MAX_NAME), addr_spec=mailbox.address)


def _line(text: str, limit: int) -> str:
    # Text that looks like an encoded word would be decoded, by the standard library at once: line ends and all.
    return plain(text, limit).replace("=?", "= ?")


def _boundary(key: MessageKey) -> str:
    # Quoted-printable text never holds an equals sign before an underscore, so no content can end a part.
    return f"=_{hashlib.sha256(str(key).encode()).hexdigest()[:32]}"


def _part(subtype: str, text: str) -> EmailMessage:
    part = EmailMessage(policy=_POLICY)
    part["Content-Type"] = f'text/{subtype}; charset="utf-8"'
    part["Content-Transfer-Encoding"] = "quoted-printable"
    lines = "\r\n".join(text.replace("\0", "").splitlines()) + "\r\n"
    # The standard library's set_content encodes in Python: 30 times as slow, which the loop would feel.
    part.set_payload(binascii.b2a_qp(lines.encode("utf-8", "replace"), istext=True).decode("ascii"))
    return part
