"""Routes that answer an error in their own way: as a page, or in a line of text."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute

from app.errors import BroadsheetError, NotFound

Refusal = Callable[[Request, BroadsheetError], Response]


def answering(refusal: Refusal) -> type[APIRoute]:
    """The class of routes whose errors are answered by `refusal`; an address that no page leads to is a `NotFound`."""

    class AnsweringRoute(APIRoute):
        def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
            handle = super().get_route_handler()

            async def handled(request: Request) -> Response:
                try:
                    return await handle(request)
                except BroadsheetError as error:
                    return refusal(request, error)
                except RequestValidationError:
                    return refusal(request, NotFound("No page of ours leads to this address."))

            return handled

    return AnsweringRoute
