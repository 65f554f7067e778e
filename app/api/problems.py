"""Renders all errors as problem documents (RFC 9457), or as pages in a browser."""

from collections.abc import Callable
from http import HTTPStatus
from math import ceil
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.types import Scope

from app.errors import BroadsheetError, QuotaExceeded, TemporarilyUnavailable

MEDIA_TYPE = "application/problem+json"

RETRY_AFTER = 5
"""Seconds in the Retry-After header of a 503."""

log = structlog.get_logger(__name__)


class InvalidField(BaseModel):
    """One invalid field of a request."""

    location: str = Field(examples=["body.profile.name"])
    message: str = Field(examples=["String should have at least 1 character"])


class Problem(BaseModel):
    """An error as RFC 9457 defines it."""

    type: str = Field("about:blank", description="Always about:blank; see title and status.")
    title: str = Field(examples=["Task not found"])
    status: int = Field(ge=400, le=599, examples=[404])
    detail: str = Field(examples=["There is no task 0193f2b0-0000-7000-8000-000000000000."])
    instance: str | None = Field(None, description="The path of the request.", examples=["/v1/tasks"])
    errors: list[InvalidField] | None = Field(None, description="The invalid fields of an invalid request.")


ErrorPage = Callable[[Scope, Problem], Response | None]
"""Renders an error as a page if a browser made the request for one; None: the response is a problem document."""


def install_problem_handlers(app: FastAPI, error_page: ErrorPage | None = None) -> None:
    """Install handlers that render every expected error of `app` as a problem document, or with `error_page`."""
    app.state.error_page = error_page
    app.exception_handler(BroadsheetError)(_domain_error)
    app.exception_handler(RequestValidationError)(_invalid_request)
    app.exception_handler(HTTPException)(_http_exception)


def problem_response(problem: Problem, headers: dict[str, str] | None = None) -> JSONResponse:
    """Build the response for `problem`, with its status and media type."""
    body = problem.model_dump(exclude_none=True)
    return JSONResponse(body, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def error_response(scope: Scope, problem: Problem, headers: dict[str, str] | None = None) -> Response:
    """Build the response for `problem`: a page for a browser, otherwise the problem document."""
    error_page: ErrorPage | None = getattr(getattr(scope.get("app"), "state", None), "error_page", None)
    page = error_page(scope, problem) if error_page is not None else None
    if page is None:
        return problem_response(problem, headers)
    page.headers.update(headers or {})
    return page


def route_of(scope: Scope) -> str:
    """Return the template of the request's route, for logs: the path may contain a reader's signed link."""
    return getattr(scope.get("route"), "path", "unknown")


def unexpected_error(scope: Scope, error: Exception) -> Response:
    """Log the unexpected `error`, and build a 500 response that reveals nothing about it."""
    log.error("unexpected error", route=route_of(scope), exc_info=error)
    detail = "An unexpected error occurred; it was logged."
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    problem = Problem(title="Internal error", status=status, detail=detail, instance=scope["path"])
    return error_response(scope, problem)


async def _domain_error(request: Request, error: BroadsheetError) -> Response:
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("request failed", route=route_of(request.scope), error=str(error))
    problem = _problem(request, error.status, error.title, str(error))
    return error_response(request.scope, problem, retry_headers(error))


async def _invalid_request(request: Request, error: RequestValidationError) -> Response:
    fields = [_invalid_field(problem) for problem in error.errors()]
    problem = _problem(request, HTTPStatus.UNPROCESSABLE_ENTITY, "Invalid request", f"{len(fields)} invalid field(s).")
    return error_response(request.scope, problem.model_copy(update={"errors": fields}))


async def _http_exception(request: Request, error: HTTPException) -> Response:
    status = HTTPStatus(error.status_code)
    return error_response(
        request.scope, _problem(request, status, status.phrase, error.detail), dict(error.headers or {})
    )


def _problem(request: Request, status: HTTPStatus, title: str, detail: str) -> Problem:
    return Problem(title=title, status=status, detail=detail, instance=request.url.path)


def _invalid_field(problem: Any) -> InvalidField:
    return InvalidField(location=".".join(map(str, problem["loc"])), message=json_message(problem))


def json_message(problem: Any) -> str:
    """Return a validation message in JSON's terms: callers send lists, not Python tuples."""
    return str(problem["msg"]).replace("a valid tuple", "a valid list").replace("Tuple should", "List should")


def retry_headers(error: BroadsheetError) -> dict[str, str]:
    """Return `Retry-After` for an error that ends."""
    if isinstance(error, QuotaExceeded):
        return {"Retry-After": str(max(1, ceil(error.retry_after)))}
    if error.status is HTTPStatus.SERVICE_UNAVAILABLE:
        seconds = error.retry_after if isinstance(error, TemporarilyUnavailable) else RETRY_AFTER
        return {"Retry-After": str(max(1, round(seconds)))}
    return {}
