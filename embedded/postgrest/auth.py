"""Authentication: turns a verified JWT, or the `sb_secret_` key in the apikey header, into a role and its claims."""

import hashlib
import hmac
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

import jwt

from embedded.postgrest.errors import Refused

ROLES = ("anon", "authenticated", "service_role")
FAR_FUTURE = 4_102_444_800
"""2100-01-01 in Unix seconds: the keys of an emulator do not expire."""

_CACHED_TOKENS = 256

EXPIRED = "JWT expired"
_MESSAGES: dict[type[Exception], str] = {
    jwt.ExpiredSignatureError: EXPIRED,
    jwt.InvalidSignatureError: "JWSError JWSInvalidSignature",
}


@dataclass(frozen=True)
class Caller:
    """The database role of a request, its claims as JSON, and when they expire (Unix seconds)."""

    role: str
    claims: str
    expires: float = FAR_FUTURE

    @property
    def anonymous(self) -> bool:
        """Whether the request has no signed-in user."""
        return self.role == "anon"


class Keys:
    """The keys of one emulator, all derived from its JWT secret, so that a restart does not change them."""

    def __init__(self, jwt_secret: str) -> None:
        self._jwt_secret = jwt_secret
        self.service_role = self._token("service_role")
        self.anon = self._token("anon")
        digest = hmac.new(jwt_secret.encode(), b"secret key", hashlib.sha256).hexdigest()
        self.secret = f"sb_secret_{digest[:32]}"
        self._service = Caller("service_role", json.dumps({"role": "service_role"}))
        self._anon = Caller("anon", json.dumps({"role": "anon"}))
        self._verified: dict[str, Caller] = {}

    def caller(self, headers: Mapping[str, str]) -> Caller:
        """Identify the caller of a request. Raises `Refused` (401, PGRST301) for an invalid token."""
        authorization = headers.get("authorization", "")
        if not authorization:
            is_secret = hmac.compare_digest(headers.get("apikey", "").encode(), self.secret.encode())
            return self._service if is_secret else self._anon
        token = authorization.partition(" ")[2] if authorization.lower().startswith("bearer ") else authorization
        caller = self._verified.get(token)
        if caller is None:
            caller = self._verify(token)
            if len(self._verified) >= _CACHED_TOKENS:
                self._verified.clear()
            self._verified[token] = caller
        if caller.expires <= time.time():
            raise _invalid(EXPIRED)
        return caller

    def _token(self, role: str) -> str:
        return jwt.encode({"role": role, "iss": "embedded", "exp": FAR_FUTURE}, self._jwt_secret, algorithm="HS256")

    def _verify(self, token: str) -> Caller:
        try:
            claims = jwt.decode(token, self._jwt_secret, algorithms=["HS256"], options={"verify_aud": False})
        except jwt.InvalidTokenError as error:
            raise _invalid(_MESSAGES.get(type(error), f"JWSError: {error}")) from None
        role = claims.get("role", "anon")
        if role not in ROLES:
            raise Refused(HTTPStatus.UNAUTHORIZED, "PGRST301", f"the role {role!r} of the token is not one of {ROLES}")
        return Caller(role, json.dumps(claims), float(claims.get("exp", FAR_FUTURE)))


def _invalid(message: str) -> Refused:
    challenge = f'Bearer error="invalid_token", error_description="{message}"'
    return Refused(HTTPStatus.UNAUTHORIZED, "PGRST301", message, headers=(("www-authenticate", challenge),))
