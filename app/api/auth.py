"""Authentication: finds the caller of the `X-API-Key` header, comparing it in constant time with every known key."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, cast

from fastapi import Depends, Request
from fastapi.security import APIKeyHeader
from pydantic import SecretStr
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from app.api.problems import Problem, problem_response
from app.config import ApiSettings
from app.errors import AdminRequired

KEY_HEADER = APIKeyHeader(name="X-API-Key", auto_error=False, description="One of the keys in API_KEYS.")
"""Describes the header in the OpenAPI document; `RequireKey` enforces it."""

PROTECTED_PATHS = ("/v1", "/metrics")
"""These paths and all paths below them require a key."""


@dataclass(frozen=True)
class Caller:
    """The owner of a request's key."""

    name: str
    admin: bool

    @property
    def visible_owner(self) -> str | None:
        """The owner whose tasks the caller may see; None means all owners."""
        return None if self.admin else self.name


class RequireKey:
    """Responds with 401 to a request without a known key, before anything else of it is read, such as its body.

    Stores the caller in the request's state and adds its name to the log lines of the request.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI entry point."""
        if scope["type"] != "http" or not _is_protected(scope["path"]):
            await self._app(scope, receive, send)
            return
        key = Headers(scope=scope).get("x-api-key")
        caller = find_caller(key, scope["app"].state.settings) if key is not None else None
        if caller is None:
            await _unauthorized(scope, receive, send)
            return
        scope.setdefault("state", {})["caller"] = caller
        with bound_contextvars(caller=caller.name):
            await self._app(scope, receive, send)


def find_caller(key: str, settings: ApiSettings) -> Caller | None:
    """Return the caller who owns `key`, or None."""
    name = _owner_of(key, settings.api_keys)
    return None if name is None else Caller(name, name in settings.admins)


def _owner_of(candidate: str, keys: Sequence[tuple[str, SecretStr]]) -> str | None:
    """Compare with every key, even after a match, so that the duration reveals nothing."""
    matches = [hmac.compare_digest(candidate.encode(), key.get_secret_value().encode()) for _, key in keys]
    return next((name for (name, _), same in zip(keys, matches, strict=True) if same), None)


async def get_caller(request: Request) -> Caller:
    """Return the caller of the request, which `RequireKey` has stored."""
    return cast(Caller, request.state.caller)


CallerOf = Annotated[Caller, Depends(get_caller)]


async def require_admin(caller: CallerOf) -> Caller:
    """Return the caller if it is an admin. Raises `AdminRequired`."""
    if not caller.admin:
        raise AdminRequired(f"{caller.name} is not an admin: add it to ADMINS.")
    return caller


AdminOf = Annotated[Caller, Depends(require_admin)]


def _is_protected(path: str) -> bool:
    return any(path == prefix or path.startswith(f"{prefix}/") for prefix in PROTECTED_PATHS)


async def _unauthorized(scope: Scope, receive: Receive, send: Send) -> None:
    problem = Problem(
        title="Unauthorized",
        status=HTTPStatus.UNAUTHORIZED,
        detail="The header X-API-Key is missing or contains no known key.",
        instance=scope["path"],
    )
    response = problem_response(problem, {"WWW-Authenticate": 'ApiKey header="X-API-Key"'})
    await response(scope, receive, send)
