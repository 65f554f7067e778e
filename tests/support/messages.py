"""Mails, and what a reader sees of them."""

import email
import email.policy
import re
from email.message import EmailMessage
from typing import Any

from app.mail.footer import MailLinks
from app.mail.message import Mail
from tests.support.digest_items import ENVELOPE

LINKS = MailLinks(unsubscribe="https://digest.example.org/r/unsubscribe/" + "A" * 30 + "." + "B" * 22)


HEADERS = [
    "From", "To", "Subject", "Date", "Message-ID", "List-Id", "List-Unsubscribe", "List-Unsubscribe-Post",
    "Auto-Submitted", "MIME-Version", "Content-Type",
]  # fmt: skip


def mail_of(**changes: Any) -> Mail:
    plain = {"subject": "Ice remembers", "text": "Read this.\n", "page": "<p>Read this.</p>\n", "links": LINKS}
    return Mail(**(ENVELOPE | plain | changes))


def parsed(message: EmailMessage) -> EmailMessage:
    """Parse it with the strictest policy of the standard library, and check every part and header for defects."""
    read = email.message_from_bytes(message.as_bytes(), policy=email.policy.strict)
    assert isinstance(read, EmailMessage)
    for part in read.walk():
        assert part.defects == []
        assert [header for header, value in part.items() if value.defects] == []
    return read


HOSTILE = [
    "Eve\r\nBcc: everybody@example.org",
    "Eve\nSubject: won",
    "Eve\x00\x0b\x0c\x1b[31m",
    "\ud800\udfff lone",
    "Eve\u2028Bcc: x@y.z\u2029\x85Cc: x@y.z",
    "=?utf-8?b?RXZlDQpCY2M6IHhAeS56?=",
    "=?utf-8?q?=0D=0ABcc:_x@y.z?=",
    '"Eve" <eve@example.org>, Mallory',
    'Eve "quote\\" <x@y.z> (comment), ; : @ [x]',
    "x" * 100_000,
    "word " * 50_000,
    "🦉" * 3_000,
    "שלום עולם " * 300,
    "\u202eevil\u202c \u2066x\u2069 \u200f",
    "é" * 75 + " " + "w" * 75,
    " leading and trailing ",
    "-- \r\n.\r\n.",
    "",
]


def check_mail(message: EmailMessage) -> EmailMessage:
    data = message.as_bytes()
    read = parsed(message)
    assert read.keys() == HEADERS
    assert [address.addr_spec for address in read["From"].addresses] == ["digest@broadsheet.example"]
    assert [address.addr_spec for address in read["To"].addresses] == ["ada@example.org"]
    assert [part.get_content_type() for part in read.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    head = data.partition(b"\r\n\r\n")[0]
    assert data.isascii()
    assert b"\0" not in data
    assert re.search(rb"(?<!\r)\n|\r(?!\n)", data) is None
    assert max(map(len, data.split(b"\r\n"))) <= 998
    assert max(map(len, data.partition(b"\r\n\r\n")[2].split(b"\r\n"))) <= 78
    assert max(len(word) for word in re.findall(rb"=\?[^?]*\?.\?[^?]*\?=", head) or [b""]) <= 75
    return read
