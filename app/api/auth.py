"""Who may call: the `X-API-Key` header, compared in constant time with every key there is."""

import hmac
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated

from fastapi import Request, Security
from fastapi.security import APIKeyHeader
from pydantic import SecretStr

from app.errors import BroadsheetError

_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="One of the keys in API_KEYS.")


class Unauthorized(BroadsheetError):
    """The request carries no key, or one that is not known."""

    status = HTTPStatus.UNAUTHORIZED
    title = "Unauthorized"


async def require_key(request: Request, given: Annotated[str | None, Security(_HEADER)] = None) -> None:
    """Let the request through if its key is one of the settings'. Raises `Unauthorized`."""
    if given is None or not is_known(given, request.app.state.settings.api_keys):
        raise Unauthorized("The header X-API-Key is missing or holds no known key.")


def is_known(given: str, keys: Sequence[SecretStr]) -> bool:
    """Compare with every key, also after one has matched: the time it takes tells nothing."""
    matches = [hmac.compare_digest(given.encode(), key.get_secret_value().encode()) for key in keys]
    return any(matches)
