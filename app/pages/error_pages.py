"""Routes that render errors as a page or a line of text instead of problem JSON."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from app.errors import BroadsheetError, NotFound

ErrorRenderer = Callable[[Request, BroadsheetError], Response]


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
                    return render_error(request, NotFound("There is no page at this address."))

            return handle_with_error_page

    return ErrorRenderingRoute
