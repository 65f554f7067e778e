"""Signed links for readers, who have no account: for one reader and one purpose, revocable, deterministic.

itsdangerous signs them with one salt per purpose. Signing uses no clock, so that a mail rendered twice has the same
bytes; a link that expires contains a day.
"""

import base64
import hashlib
import hmac
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from functools import lru_cache, partial
from http import HTTPStatus
from typing import Final
from uuid import UUID

from itsdangerous import BadData, HMACAlgorithm, Signer
from itsdangerous.encoding import base64_decode, base64_encode

from app.errors import BroadsheetError

# A word, or a word and a name; both need no encoding in a path.
_PURPOSE: Final = re.compile(r"[a-z]+(:[A-Za-z0-9._-]{1,100})?")
# The reader, the generation, and the day as days since 1970, or 0 for none.
_PAYLOAD: Final = struct.Struct(">16sIH")
_EPOCH: Final = date(1970, 1, 1)
_MAX_TOKEN: Final = 200
_SIGNATURE_BYTES: Final = 16
_MAX_SIGNERS: Final = 2048
"""Three for each item of a day; one takes less than a kilobyte."""


class _ShortSignature(HMACAlgorithm):
    """HMAC-SHA-256 with 128 bits (RFC 2104, section 5): a mail has a link for each button of each item."""

    def get_signature(self, key: bytes, value: bytes) -> bytes:
        # The same as the library's, which creates an object for each signature and takes three times as long.
        return hmac.digest(key, value, "sha256")[:_SIGNATURE_BYTES]


class _PurposeSigner(Signer):
    """Signs for one purpose, whose key it derives once; the library derives it for each signature."""

    def __init__(self, secrets: Sequence[bytes], purpose: str) -> None:
        super().__init__(
            secrets,
            salt=f"broadsheet.link.{purpose}",
            key_derivation="hmac",
            digest_method=hashlib.sha256,
            algorithm=_SHORT_SIGNATURE,
        )
        self._keys: dict[str | bytes | None, bytes] = {}

    def derive_key(self, secret_key: str | bytes | None = None) -> bytes:
        if secret_key not in self._keys:
            self._keys[secret_key] = super().derive_key(secret_key)
        return self._keys[secret_key]


CONFIRM: Final = "confirm"
"""The purpose of the link that confirms an e-mail address. It opens no other page."""
CONFIRM_WITHIN: Final = timedelta(days=7)
"""How long such a link is valid; the database has the same limit (`confirm_reader`)."""


class InvalidLink(BroadsheetError):
    """The link was altered, has another purpose, was revoked or is too old; the text does not say which."""

    status = HTTPStatus.NOT_FOUND

    def __init__(self) -> None:
        super().__init__("This link is no longer valid. Use the link in the newest mail.")


_SHORT_SIGNATURE: Final = _ShortSignature(hashlib.sha256)


@dataclass(frozen=True, slots=True)
class Link:
    """The content of a signed link: the reader, the generation, and optionally the reader's local day."""

    reader_id: UUID
    generation: int
    day: date | None = None

    def require(self, generation: int, *, today: date | None = None, max_age: timedelta | None = None) -> None:
        """Raise `InvalidLink` unless the link has the reader's current generation and is not older than `max_age`.

        With `max_age`, a link without a day is invalid. A day in the future is valid, because of time zones.
        """
        if self.generation != generation:
            raise InvalidLink
        if max_age is not None and (today is None or self.day is None or today - self.day > max_age):
            raise InvalidLink


@dataclass(frozen=True, slots=True)
class ExportUrls:
    """URLs for a reader's other programs: the Atom feed, and the saved papers as BibTeX."""

    feed: str
    saved: str


class Links:
    """Signs and verifies links under `public_url`; the first secret signs, all of them verify."""

    def __init__(self, secrets: Sequence[str], public_url: str) -> None:
        if not secrets:
            raise ValueError("no secret to sign links: set LINK_SECRET")
        # itsdangerous signs with its last key.
        self._secrets = [secret.encode() for secret in reversed(secrets)]
        self._public_url = public_url.rstrip("/")
        # A mail has a link for each button of each item, and the mails of a morning have the same items.
        self._signer = lru_cache(maxsize=_MAX_SIGNERS)(partial(_PurposeSigner, self._secrets))

    def url(self, purpose: str, link: Link) -> str:
        """Return the URL for `purpose`: `<public_url>/r/<purpose>/<token>`."""
        return self._public_url + self.path(purpose, link)

    def path(self, purpose: str, link: Link) -> str:
        """Return the URL's path, for links between pages."""
        return f"/r/{purpose}/{self.sign(purpose, link)}"

    def export_urls(self, reader_id: UUID, generation: int) -> ExportUrls:
        """Return the URLs for other programs. They contain no day, so they are valid until revoked."""
        link = Link(reader_id, generation)
        return ExportUrls(feed=self.url("feed", link), saved=self.url("saved", link))

    def sign(self, purpose: str, link: Link) -> str:
        """Return the token: 53 characters that need no encoding in a URL.

        Raises `ValueError` if `purpose` does not have the form `word` or `word:name`.
        """
        if not _PURPOSE.fullmatch(purpose):
            raise ValueError(f"{purpose!r} is not a purpose such as unsubscribe or vote:2513.00001")
        days = (link.day - _EPOCH).days if link.day else 0
        payload = _PAYLOAD.pack(link.reader_id.bytes, link.generation, days)
        return self._signer(purpose).sign(base64.urlsafe_b64encode(payload).rstrip(b"=")).decode("ascii")

    def read(self, purpose: str, token: str) -> Link:
        """Return the token's content if it was signed for `purpose`. Raises `InvalidLink`.

        The caller then reads the reader and checks `Link.require`.
        """
        if len(token) > _MAX_TOKEN or not token.isascii() or not _PURPOSE.fullmatch(purpose):
            raise InvalidLink
        try:
            value = self._signer(purpose).unsign(token)
            signature = token.rpartition(".")[2].encode()
            # Base64 has several encodings of one signature; only ours is accepted, so an altered link never is.
            if base64_encode(base64_decode(signature)) != signature:
                raise InvalidLink
            reader_id, generation, days = _PAYLOAD.unpack(base64_decode(value))
        except (BadData, struct.error):
            raise InvalidLink from None
        return Link(UUID(bytes=reader_id), generation, _EPOCH + timedelta(days) if days else None)
