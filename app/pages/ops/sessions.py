"""Operator sessions: a signed cookie, and the token of its forms.

The operator's API key signs both (itsdangerous, with a salt for each use). So no other secret is needed, every process
with the same keys accepts the cookie, and removing a key from the settings ends its sessions.
"""

import hashlib
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from http import HTTPStatus
from typing import Final

from itsdangerous import BadSignature, Signer

from app.api.auth import find_caller
from app.config import ApiSettings
from app.errors import BroadsheetError

LIFETIME: Final = timedelta(hours=1)
"""Lifetime of a session. Activity does not extend it."""

_MAX_COOKIE: Final = 300


class SignedOut(BroadsheetError):
    """There is no valid session. The text does not reveal the reason."""

    status = HTTPStatus.FORBIDDEN
    title = "Signed out"

    def __init__(self) -> None:
        super().__init__("You are not signed in, or your session has expired.")


@dataclass(frozen=True)
class Session:
    """A signed-in operator, the expiry in seconds since 1970, and the token that every form must carry."""

    session_id: str
    operator: str
    expires_at: int
    form_token: str


class Sessions:
    """Creates and verifies sessions of callers whom the settings name as admins."""

    def __init__(self, settings: ApiSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock

    def begin(self, key: str) -> str | None:
        """Return the cookie of a new session, or None if `key` is not an admin's."""
        caller = find_caller(key, self._settings)
        if caller is None or not caller.admin:
            return None
        expires_at = int(self._clock() + LIFETIME.total_seconds())
        value = f"{caller.name}.{secrets.token_urlsafe(16)}.{expires_at}"
        return _signer([key], "session").sign(value).decode("ascii")

    def read(self, cookie: str) -> Session:
        """Return the session of a cookie. Raises `SignedOut`. Sign-outs are recorded in the database, not here."""
        operator = cookie.partition(".")[0]
        keys = self._keys_of_admin(operator)
        if len(cookie) > _MAX_COOKIE or not cookie.isascii() or not keys:
            raise SignedOut
        try:
            value = _signer(keys, "session").unsign(cookie).decode("ascii")
        except BadSignature:
            raise SignedOut from None
        _, session_id, expires_at = value.split(".")
        if self._clock() >= int(expires_at):
            raise SignedOut
        form_token = _signer(keys, "form").get_signature(session_id).decode("ascii")
        return Session(session_id, operator, int(expires_at), form_token)

    def is_valid_form_token(self, session: Session, token: str) -> bool:
        """Whether this form token belongs to this session."""
        return _signer(self._keys_of_admin(session.operator), "form").verify_signature(session.session_id, token)

    def seconds_left(self, session: Session) -> float:
        """Return the seconds until the session expires."""
        return session.expires_at - self._clock()

    def _keys_of_admin(self, operator: str) -> list[str]:
        if operator not in self._settings.admins:
            return []
        return [key.get_secret_value() for name, key in self._settings.api_keys if name == operator]


def _signer(keys: list[str], use: str) -> Signer:
    # itsdangerous signs with the last key and verifies with all of them.
    return Signer(keys, salt=f"broadsheet.ops.{use}", key_derivation="hmac", digest_method=hashlib.sha256)
