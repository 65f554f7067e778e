"""The OpenAPI document: its texts, and what FastAPI does not say of errors, parameters and the server."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from app.api.paper_models import PapersRequest
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


LOCAL: dict[str, Any] = {
    "url": "http://127.0.0.1:8000",
    "description": "The API on this machine, as `make up` starts it",
}


def describe(app: FastAPI) -> None:
    """Complete the document: where the API is, errors as application/problem+json, parameters without null."""
    plain = app.openapi

    def described() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = plain()
            document["servers"] = [_server(app)]
            document["components"]["schemas"] |= _schemas(PapersRequest)
            for path in document["paths"].values():
                for operation in path.values():
                    _as_problems(operation["responses"])
                    _without_null(operation.get("parameters", []))
        assert app.openapi_schema is not None  # noqa: S101  (plain() has set it)
        return app.openapi_schema

    app.openapi = described  # type: ignore[method-assign]  # (FastAPI's documented way to extend the document)


def _server(app: FastAPI) -> dict[str, Any]:
    """The address for clients: a running server's own, or that of this machine in docs/openapi.json."""
    settings = getattr(app.state, "settings", None)
    if settings is None:
        return LOCAL
    return {"url": settings.public_url or "/", "description": "The server that this document was read from"}


def _schemas(model: type[BaseModel]) -> dict[str, Any]:
    """The schemas of a body that its route reads itself, so that FastAPI does not know it."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {model.__name__: schema, **schema.pop("$defs", {})}


def _as_problems(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        if int(status) >= HTTPStatus.BAD_REQUEST:
            response["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def _without_null(parameters: list[dict[str, Any]]) -> None:
    """Declare an optional parameter by `required: false` alone: no header and no URL can hold a null."""
    for parameter in parameters:
        schema = parameter["schema"]
        kept = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
        if len(kept) == 1:
            del schema["anyOf"]
            parameter["schema"] = kept[0] | schema
