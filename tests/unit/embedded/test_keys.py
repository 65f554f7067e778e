"""Tokens of the emulator: verified once, and refused when they expire, also those that were verified before."""

import time

import jwt
import pytest

from embedded.postgrest.auth import Keys
from embedded.postgrest.errors import Refused

SECRET = "s" * 40


def bearer(seconds: float, **claims: object) -> dict[str, str]:
    """The header with a user's token that is valid for some seconds."""
    token = jwt.encode({"role": "authenticated", "exp": time.time() + seconds, **claims}, SECRET, algorithm="HS256")
    return {"authorization": f"Bearer {token}"}


def test_a_token_is_refused_when_it_has_expired(monkeypatch: pytest.MonkeyPatch) -> None:
    keys, headers, now = Keys(SECRET), bearer(600), time.time()
    assert keys.caller(headers).role == "authenticated"
    monkeypatch.setattr(time, "time", lambda: now + 599)
    assert keys.caller(headers).role == "authenticated"
    monkeypatch.setattr(time, "time", lambda: now + 601)
    with pytest.raises(Refused) as refused:
        keys.caller(headers)
    assert refused.value.status == 401
    assert b"JWT expired" in refused.value.body


def test_each_of_many_tokens_has_its_own_caller() -> None:
    keys = Keys(SECRET)
    headers = [bearer(600, sub=str(number)) for number in range(600)]
    for number, each in [*enumerate(headers), *enumerate(headers)]:
        assert f'"sub": "{number}"' in keys.caller(each).claims
