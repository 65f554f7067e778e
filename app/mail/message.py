"""Building of complete mails. The same inputs always give the same bytes."""

import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, datetime
from email.headerregistry import Address
from email.message import EmailMessage, MIMEPart
from functools import lru_cache
from typing import Any, Final
from uuid import UUID

from app.config.mail_address import Mailbox
from app.mail.encoding import Encoded, encode
from app.mail.footer import MailLinks
from app.mail.header_encoding import MailPolicy
from app.sources.text import plain, safe_link

MAX_SUBJECT: Final = 200
_MAX_NAME: Final = 80
_POLICY: Final = MailPolicy()
_MAILTO: Final = re.compile(r"mailto:[\w.%~-]+@[\w.-]+\?subject=Unsubscribe", re.ASCII)


@dataclass(frozen=True, slots=True)
class MessageKey:
    """Identifies a mail by reader, local day and kind. It is the idempotency key at providers."""

    reader_id: UUID
    day: date
    kind: str = "digest"

    def __str__(self) -> str:
        """Return the key as text that is valid in a header and as a file name."""
        return f"{self.kind}-{self.day.isoformat()}-{self.reader_id}"


@dataclass(frozen=True, slots=True)
class Mail:
    """The content of a mail. `date` needs a time zone. Names, subject, text and page may contain any characters."""

    key: MessageKey
    sender: Mailbox
    recipient: Mailbox
    date: datetime
    subject: str
    text: str | Encoded
    page: str | Encoded
    links: MailLinks | None
    """None for a mail that a person requested and that belongs to no list."""


def build_message(mail: Mail) -> EmailMessage:
    """Return the mail: plain text and page as alternatives, with the headers for one-click unsubscribe.

    Raises `ValueError` for a `date` without a time zone or an unsafe link.
    """
    message = _head(mail)
    for subtype, text in (("plain", mail.text), ("html", mail.page)):
        message.attach(_part(subtype, text if isinstance(text, Encoded) else encode(text)))
    return message


def message_bytes(message: MIMEPart) -> bytes:
    """Return the same as `message.as_bytes()` in a tenth of the time, for mails of `build_message`."""
    head = b"".join(_POLICY.fold_binary(name, value) for name, value in message.raw_items()) + b"\r\n"
    if not message.is_multipart():
        return head + str(message.get_payload()).encode("ascii")
    boundary = f"--{message.get_boundary()}".encode("ascii")
    parts = [message_bytes(part) for part in message.iter_parts()]
    return head + b"".join(boundary + b"\r\n" + part + b"\r\n" for part in parts) + boundary + b"--\r\n"


def _head(mail: Mail) -> EmailMessage:
    """Return the mail without its parts.

    Headers follow RFC 8058 (List-Unsubscribe, List-Unsubscribe-Post), RFC 2919 (List-Id) and RFC 3834 (Auto-Submitted).
    One-click unsubscribe needs https. Raises `ValueError` for a `date` without a time zone or an unsafe link.
    """
    if mail.date.tzinfo is None:
        raise ValueError(f"the mail's date {mail.date} has no time zone")
    message = EmailMessage(policy=_POLICY)
    message["From"] = _from(mail.sender)
    message["To"] = _address(mail.recipient)
    message["Subject"] = _line(mail.subject, MAX_SUBJECT)
    message["Date"] = mail.date
    message["Message-ID"] = f"<{mail.key}@{mail.sender.domain}>"
    for name, value in _list_headers(mail):
        message[name] = value
    message["Auto-Submitted"] = "auto-generated"
    message["MIME-Version"] = "1.0"
    message["Content-Type"] = f'multipart/alternative; boundary="{_boundary(mail.key)}"'
    return message


def _list_headers(mail: Mail) -> Iterator[tuple[str, str]]:
    if mail.links is None:
        return
    unsubscribe = _unsubscribe_link(mail.links.unsubscribe)
    yield "List-Id", f"<digest.{mail.sender.domain}>"
    yield "List-Unsubscribe", f"<{unsubscribe}>"
    if unsubscribe.startswith("https://"):
        yield "List-Unsubscribe-Post", "List-Unsubscribe=One-Click"


def _unsubscribe_link(link: str) -> str:
    """Return the link if it is safe in a header. Raises `ValueError`."""
    checked = link if _MAILTO.fullmatch(link) else safe_link(link)
    if checked is None or len(checked) > 900:  # noqa: PLR2004  (a header line has at most 998)
        raise ValueError("the unsubscribe link is not a mailto: or http(s) URL of at most 900 characters")
    return checked


@lru_cache(maxsize=16)
def _from(sender: Mailbox) -> Any:
    """Return the parsed header: all mails of a process have the same sender."""
    return _POLICY.header_factory("From", _address(sender))


def _address(mailbox: Mailbox) -> Address:
    return Address(_line(mailbox.name, _MAX_NAME), addr_spec=mailbox.address)


def _line(text: str, limit: int) -> str:
    # The standard library would decode text that looks like an encoded word, including line ends.
    return plain(text, limit).replace("=?", "= ?")


def _boundary(key: MessageKey) -> str:
    # Neither quoted-printable text nor base64 contains `=_`, so no content can end a part.
    return f"=_{hashlib.sha256(str(key).encode()).hexdigest()[:32]}"


def _part(subtype: str, encoded: Encoded) -> EmailMessage:
    part = EmailMessage(policy=_POLICY)
    part["Content-Type"] = f'text/{subtype}; charset="utf-8"'
    part["Content-Transfer-Encoding"] = encoded.transfer_encoding
    part.set_payload(encoded.payload)
    return part
