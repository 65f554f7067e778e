"""The built application has no callable that FastAPI would run in a thread, and the check finds each kind of them."""

from collections.abc import Callable, Iterator
from functools import partial
from http import HTTPStatus
from typing import Annotated, Any, cast

import pytest
from fastapi import APIRouter, Depends, FastAPI, Response, Security
from fastapi.security.base import SecurityBase
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp

from app.main import create_app
from tests.support.applications import described_paths
from tests.support.built_application import operations, routes_of, synchronous_callables


def test_every_callable_is_a_coroutine_function() -> None:
    assert synchronous_callables(create_app()) == []


def test_the_check_covers_every_documented_operation() -> None:
    documented = {(method.upper(), path) for path, methods in described_paths().items() for method in methods}
    assert operations(create_app(), documented=True) == documented


def test_the_check_covers_the_pages() -> None:
    assert {("POST", "/r/home/{token}/{day}"), ("GET", "/ops/events"), ("GET", "/docs")} <= operations(create_app())


def dependency() -> None:
    """FastAPI runs it in a thread."""


def generator() -> Iterator[None]:
    yield


class Class:
    """A class as a dependency."""


class Scheme(SecurityBase):
    """A security scheme without a coroutine."""

    def __init__(self) -> None:
        self.scheme_name = "scheme"

    def __call__(self) -> None:
        """FastAPI runs it in a thread."""


async def nested(_: Annotated[None, Depends(dependency)]) -> None:
    """A coroutine function with a dependency."""


SYNCHRONOUS: list[Callable[..., Any]] = [dependency, generator, Class, Scheme(), nested, partial(dependency)]


@pytest.mark.parametrize("called", SYNCHRONOUS, ids=lambda each: getattr(each, "__name__", type(each).__name__))
def test_a_synchronous_dependency_is_found(called: Callable[..., Any]) -> None:
    inner, outer, app = APIRouter(), APIRouter(dependencies=[Security(called)]), FastAPI()

    @inner.get("/synchronous")
    async def endpoint() -> None: ...

    outer.include_router(inner, prefix="/inner")
    app.include_router(outer)
    (found,) = synchronous_callables(app)
    assert found.startswith("/inner/synchronous: ")


def test_a_synchronous_endpoint_is_found() -> None:
    app = FastAPI()
    app.add_api_route("/synchronous", dependency)
    mounted = Starlette(routes=[Route("/mounted", lambda _request: Response())])
    app.mount("/below", mounted)
    assert [found.partition(":")[0] for found in synchronous_callables(app)] == ["/mounted", "/synchronous"]
    assert len(list(routes_of(app))) == len(FastAPI().routes) + 2


def test_a_synchronous_exception_handler_is_found() -> None:
    app = FastAPI()
    app.add_exception_handler(HTTPStatus.NOT_FOUND, lambda _request, _error: Response())
    (found,) = synchronous_callables(app)
    assert found.startswith("handler of 404")


def test_a_synchronous_middleware_is_found() -> None:
    class SynchronousMiddleware:
        def __init__(self, app: ASGIApp) -> None: ...

        def __call__(self, *_: Any) -> None: ...

    app = FastAPI()
    app.add_middleware(cast("Any", SynchronousMiddleware))
    (found,) = synchronous_callables(app)
    assert found.endswith("SynchronousMiddleware.__call__")
