"""Errors as pages: for routes that render their own, and for every other error that a browser gets."""

from collections.abc import Callable, Coroutine, Mapping
from http import HTTPStatus
from typing import Any, Final

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.datastructures import Headers
from starlette.types import Scope

from app.api.problems import MEDIA_TYPE, Problem
from app.errors import BroadsheetError, NotFound
from app.pages.accept import prefers_html
from app.pages.rendering import PageRenderer

ErrorRenderer = Callable[[Request, BroadsheetError], Response]

_API_PATHS: Final = ("/v1", "/metrics", "/healthz", "/readyz")
"""Programs read the responses of these paths and of all paths below them."""
NO_PAGE: Final = "There is no page at this address."
_TEXTS: Final[Mapping[int, tuple[str, str]]] = {
    HTTPStatus.NOT_FOUND: ("Page not found", NO_PAGE),
    HTTPStatus.METHOD_NOT_ALLOWED: ("Not possible here", "This address does not accept this kind of request."),
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: ("Too large", "What you sent is too large. Nothing was changed."),
    HTTPStatus.UNPROCESSABLE_ENTITY: ("Invalid values", "Some of the values are invalid. Nothing was changed."),
    HTTPStatus.TOO_MANY_REQUESTS: ("Too many requests", "Nothing was changed. Please try again in a minute."),
    HTTPStatus.INTERNAL_SERVER_ERROR: (
        "Server error",
        "An error occurred on our server. Your change may not have been saved. Repeating an action is safe.",
    ),
    HTTPStatus.SERVICE_UNAVAILABLE: (
        "Temporary error",
        "The server cannot respond now. Your change may not have been saved. Please try again in a minute.",
    ),
}
"""Title and text of the page by status. Other errors show the title and text that programs get."""


def error_page_of(pages: PageRenderer) -> Callable[[Scope, Problem], Response | None]:
    """Return a function that renders an error as a page, or returns None where programs get a problem document."""

    def error_page(scope: Scope, problem: Problem) -> Response | None:
        path = scope["path"]
        is_api = any(path == prefix or path.startswith(f"{prefix}/") for prefix in _API_PATHS)
        if is_api or not prefers_html(Headers(scope=scope).get("accept", ""), MEDIA_TYPE, "application/json"):
            return None
        title, text = page_texts(problem.status, problem.title, problem.detail)
        return pages.page("error.html.j2", status_code=problem.status, title=title, text=text)

    return error_page


def page_texts(status: int, title: str, text: str) -> tuple[str, str]:
    """Return title and text of the page for a status; the given ones if none are written for it."""
    return _TEXTS.get(status, (title, text))


def error_rendering_route(render_error: ErrorRenderer) -> type[APIRoute]:
    """Return a route class that renders errors with `render_error`. Invalid path or query values become `NotFound`."""

    class ErrorRenderingRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handle_with_error_page(request: Request) -> Response:
                try:
                    return await handle(request)
                except BroadsheetError as error:
                    return render_error(request, error)
                except RequestValidationError:
                    return render_error(request, NotFound(NO_PAGE))

            return handle_with_error_page

    return ErrorRenderingRoute
