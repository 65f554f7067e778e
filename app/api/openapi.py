"""The OpenAPI document: its texts, and what FastAPI omits about errors, parameters and the server."""

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel

from app.api.paper_models import PapersRequest
from app.api.problems import MEDIA_TYPE

DESCRIPTION = """
Create a task, then wait for its end (`Prefer: wait=20`), stream its events, or receive a callback. Every error is a
problem document (RFC 9457). Every response carries `X-Request-ID`, which the logs contain too. Lists take `limit` and
`cursor`; `next_cursor` is null on the last page.
"""

TAGS: list[dict[str, Any]] = [
    {"name": "digests", "description": "Digests: a reader's selection of one day's papers and news."},
    {"name": "fetches", "description": "Fetches of a day's papers and news."},
    {"name": "readers", "description": "Readers, who get digests on a schedule, and their papers."},
    {"name": "imports", "description": "Imports of libraries: papers that readers bring from reference managers."},
    {"name": "deliveries", "description": "Mails and their status."},
    {"name": "tasks", "description": "Tasks of all kinds."},
    {"name": "callbacks", "description": "Callbacks that report the end of a task."},
    {"name": "admin", "description": "Operators' actions."},
    {"name": "editions", "description": "Fetched days: items and errors of each source."},
    {"name": "health", "description": "Health checks and metrics."},
]


LOCAL_SERVER: dict[str, Any] = {
    "url": "http://127.0.0.1:8000",
    "description": "The local API that `make up` starts",
}


def describe(app: FastAPI) -> None:
    """Complete the document: the server's URL, errors as application/problem+json, parameters without null."""
    plain = app.openapi

    def completed() -> dict[str, Any]:
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

    app.openapi = completed  # type: ignore[method-assign]  # (FastAPI's documented way to extend the document)


def _server(app: FastAPI) -> dict[str, Any]:
    """Return the server's URL: that of the running server, or in docs/openapi.json that of a local one."""
    settings = getattr(app.state, "settings", None)
    if settings is None:
        return LOCAL_SERVER
    return {"url": settings.public_url or "/", "description": "The server that served this document"}


def _schemas(model: type[BaseModel]) -> dict[str, Any]:
    """Return the schemas of a body that its route parses itself, so that FastAPI does not know them."""
    schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
    return {model.__name__: schema, **schema.pop("$defs", {})}


def _as_problems(responses: dict[str, Any]) -> None:
    for status, response in responses.items():
        if int(status) >= HTTPStatus.BAD_REQUEST:
            response["content"] = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def _without_null(parameters: list[dict[str, Any]]) -> None:
    """Declare an optional parameter only by `required: false`: headers and URLs cannot contain null."""
    for parameter in parameters:
        schema = parameter["schema"]
        kept = [each for each in schema.get("anyOf", []) if each != {"type": "null"}]
        if len(kept) == 1:
            del schema["anyOf"]
            parameter["schema"] = kept[0] | schema
