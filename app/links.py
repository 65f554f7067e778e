"""Links for readers, who have no account: signed for one reader and one purpose, revocable, and the same each time.

Signed by itsdangerous with a salt for each purpose. No clock is read when a link is made, so that a mail rendered twice
is the same to the byte; what ages is the day that a link may carry.
"""

import base64
import hashlib
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from http import HTTPStatus
from typing import Final
from uuid import UUID

from itsdangerous import BadData, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from app.errors import BroadsheetError

# A word, and for a purpose that concerns one thing that thing's name; all of it can stand in a path as it is.
_PURPOSE: Final = re.compile(r"[a-z]+(:[A-Za-z0-9._-]{1,100})?")
# The reader, the generation, and the day as days since 1970, or 0 for none.
_PAYLOAD: Final = struct.Struct(">16sIH")
_EPOCH: Final = date(1970, 1, 1)
_MAX_TOKEN: Final = 200


class InvalidLink(BroadsheetError):
    """The link was changed, is for something else, was revoked or is too old; the text never says which, nor whose."""

    status = HTTPStatus.NOT_FOUND
    title = "This link does not work"

    def __init__(self) -> None:
        super().__init__("This link does not work (any more). The newest mail has one that does.")


@dataclass(frozen=True, slots=True)
class Link:
    """What a signed link says: whose it is, of which generation, and the reader's local day for which it was made."""

    reader_id: UUID
    generation: int
    day: date | None = None

    def require(self, generation: int, *, today: date | None = None, max_age: timedelta | None = None) -> None:
        """Raise `InvalidLink` unless the link is of the reader's present generation and not older than `max_age`.

        With `max_age` a link without a day does not pass. A day ahead is no fault: readers in the east are.
        """
        if self.generation != generation:
            raise InvalidLink
        if max_age is not None and (today is None or self.day is None or today - self.day > max_age):
            raise InvalidLink


@dataclass(frozen=True, slots=True)
class ExportUrls:
    """The addresses of what a reader takes into other programs: the Atom feed, and what was saved as BibTeX."""

    feed: str
    saved: str


class Links:
    """Makes and reads links under `public_url`; the first secret signs, all of them verify."""

    def __init__(self, secrets: Sequence[str], public_url: str) -> None:
        if not secrets:
            raise ValueError("links cannot be signed without a secret: set LINK_SECRET")
        # itsdangerous signs with the last of its keys.
        self._secrets = [secret.encode() for secret in reversed(secrets)]
        self._public_url = public_url.rstrip("/")

    def url(self, purpose: str, link: Link) -> str:
        """Return the address for `purpose`: `<public_url>/r/<purpose>/<token>`."""
        return self._public_url + self.path(purpose, link)

    def path(self, purpose: str, link: Link) -> str:
        """Return the same without the host, for pages that lead from one to another."""
        return f"/r/{purpose}/{self.sign(purpose, link)}"

    def export_urls(self, reader_id: UUID, generation: int) -> ExportUrls:
        """Return the addresses that other programs keep: without a day, so they work until they are revoked."""
        link = Link(reader_id, generation)
        return ExportUrls(feed=self.url("feed", link), saved=self.url("saved", link))

    def sign(self, purpose: str, link: Link) -> str:
        """Return the token: 74 characters, none of which needs encoding in an address.

        Raises `ValueError` for a purpose of another form than `word` or `word:thing`.
        """
        if not _PURPOSE.fullmatch(purpose):
            raise ValueError(f"{purpose!r} is no purpose, such as unsubscribe or vote:2513.00001")
        days = (link.day - _EPOCH).days if link.day else 0
        payload = _PAYLOAD.pack(link.reader_id.bytes, link.generation, days)
        return self._signer(purpose).sign(base64.urlsafe_b64encode(payload).rstrip(b"=")).decode("ascii")

    def read(self, purpose: str, token: str) -> Link:
        """Return what the token says, if it was signed for `purpose`. Raises `InvalidLink`.

        Whether it still counts, `Link.require` says, once the reader is known.
        """
        if len(token) > _MAX_TOKEN or not token.isascii() or not _PURPOSE.fullmatch(purpose):
            raise InvalidLink
        try:
            value = self._signer(purpose).unsign(token)
            signature = token.rpartition(".")[2].encode()
            # A signature can be written in several ways, of which we write one: so a changed link is never taken.
            if base64_encode(base64_decode(signature)) != signature:
                raise InvalidLink
            reader_id, generation, days = _PAYLOAD.unpack(base64_decode(value))
        except (BadData, struct.error):
            raise InvalidLink from None
        return Link(UUID(bytes=reader_id), generation, _EPOCH + timedelta(days) if days else None)

    def _signer(self, purpose: str) -> Signer:
        return Signer(
            self._secrets, salt=f"broadsheet.link.{purpose}", key_derivation="hmac", digest_method=hashlib.sha256
        )
