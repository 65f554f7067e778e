"""Who may call: the `X-API-Key` header, compared in constant time with every key there is."""

import hmac
from collections.abc import Sequence
from http import HTTPStatus

from fastapi.security import APIKeyHeader
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from app.api.problems import Problem, problem_response

KEY_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="One of the keys in API_KEYS.")
"""Describes the header in the OpenAPI document; `RequireKey` is what asks for it."""

KEYED = ("/v1", "/metrics")
"""What needs a key, and everything below it."""


class RequireKey:
    """Answers 401 to a request without a known key, before anything else of it is looked at: its body least of all."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        if scope["type"] != "http" or not _is_keyed(scope["path"]):
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).get("x-api-key")
        if given is not None and is_known(given, scope["app"].state.settings.api_keys):
            await self._app(scope, receive, send)
        else:
            await _unauthorized(scope, receive, send)


def is_known(given: str, keys: Sequence[SecretStr]) -> bool:
    """Compare with every key, also after one has matched: the time it takes tells nothing."""
    matches = [hmac.compare_digest(given.encode(), key.get_secret_value().encode()) for key in keys]
    return any(matches)


def _is_keyed(path: str) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in KEYED)


async def _unauthorized(scope: Scope, receive: Receive, send: Send) -> None:
    problem = Problem(
        title="Unauthorized",
        status=HTTPStatus.UNAUTHORIZED,
        detail="The header X-API-Key is missing or holds no known key.",
        instance=scope["path"],
    )
    response = problem_response(problem, {"WWW-Authenticate": 'ApiKey header="X-API-Key"'})
    await response(scope, receive, send)
