"""Operators' sessions: a signed cookie that every process takes which has the same keys, and the token of its forms.

What signs is the API key by which somebody signed in (itsdangerous, a salt for each use). So there is no further secret
to set, any process reads what another one wrote, and a key that is taken out of the settings takes its sessions along.
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
"""How long a session lasts, however much is done in it."""

_MAX_COOKIE: Final = 300


class SignedOut(BroadsheetError):
    """There is no session (any more): the text never says why."""

    status = HTTPStatus.FORBIDDEN
    title = "Signed out"

    def __init__(self) -> None:
        super().__init__("You are not signed in, or not any longer.")


@dataclass(frozen=True)
class Session:
    """A signed-in operator: who it is, until when (seconds since 1970), and the token that every form must carry."""

    session_id: str
    who: str
    until: int
    form_token: str


class Sessions:
    """Begins and reads sessions of the callers who are admins by the settings."""

    def __init__(self, settings: ApiSettings, *, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock

    def begin(self, key: str) -> str | None:
        """Return the cookie of a new session, if `key` is an admin's; None: it is not."""
        caller = find_caller(key, self._settings)
        if caller is None or not caller.admin:
            return None
        until = int(self._clock() + LIFETIME.total_seconds())
        value = f"{caller.name}.{secrets.token_urlsafe(16)}.{until}"
        return _signer([key], "session").sign(value).decode("ascii")

    def read(self, cookie: str) -> Session:
        """Return the session that a cookie is of. Raises `SignedOut`. Whether it was ended, the database knows."""
        who = cookie.partition(".")[0]
        keys = self._keys_of_admin(who)
        if len(cookie) > _MAX_COOKIE or not cookie.isascii() or not keys:
            raise SignedOut
        try:
            value = _signer(keys, "session").unsign(cookie).decode("ascii")
        except BadSignature:
            raise SignedOut from None
        _, session_id, until = value.split(".")
        if self._clock() >= int(until):
            raise SignedOut
        form_token = _signer(keys, "form").get_signature(session_id).decode("ascii")
        return Session(session_id, who, int(until), form_token)

    def is_form_of(self, session: Session, token: str) -> bool:
        """Whether a form with this token was made for the session, and for no other."""
        return _signer(self._keys_of_admin(session.who), "form").verify_signature(session.session_id, token)

    def seconds_left(self, session: Session) -> float:
        """How long the session lasts from now on."""
        return session.until - self._clock()

    def _keys_of_admin(self, who: str) -> list[str]:
        if who not in self._settings.admins:
            return []
        return [key.get_secret_value() for name, key in self._settings.api_keys if name == who]


def _signer(keys: list[str], use: str) -> Signer:
    # itsdangerous signs with the last of several keys, and takes what any of them signed.
    return Signer(keys, salt=f"broadsheet.ops.{use}", key_derivation="hmac", digest_method=hashlib.sha256)
