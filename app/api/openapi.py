"""The OpenAPI document's prose, and its errors as what they are: problem documents."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from app.api.problems import MEDIA_TYPE

DESCRIPTION = """
Post a task, then wait for its end (`Prefer: wait=20`), follow its events, or be called back. Every error is a problem
document (RFC 9457); every answer carries `X-Request-ID`, which the logs carry too.
"""

TAGS: list[dict[str, Any]] = [
    {"name": "digests", "description": "A reader's digest of a day."},
    {"name": "fetches", "description": "The fetching of a day's papers and news."},
    {"name": "readers", "description": "For whom digests are written by themselves."},
    {"name": "deliveries", "description": "What became of the mails."},
    {"name": "tasks", "description": "Everything that was asked for."},
    {"name": "callbacks", "description": "The telling of a task's end."},
    {"name": "admin", "description": "The operator's hand."},
    {"name": "editions", "description": "What each day brought."},
    {"name": "health", "description": "For the machines that look after this one."},
]


def describe_problems(app: FastAPI) -> None:
    """Have the document say that errors come as application/problem+json."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            for path in document["paths"].values():
                for operation in path.values():
                    _as_problems(operation["responses"])
        assert app.openapi_schema is not None  # noqa: S101  (plain() has set it)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # (FastAPI's documented way to extend the document)


def _as_problems(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        if int(status) >= HTTPStatus.BAD_REQUEST:
            response["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
