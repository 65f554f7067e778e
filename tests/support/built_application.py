"""The operations of a built FastAPI application, and every callable that FastAPI would run in a thread."""

import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette.routing import BaseRoute, Mount

Operation = tuple[str, str]
"""A method and the template of a path."""


def is_asynchronous(call: Callable[..., Any]) -> bool:
    """Whether the event loop runs `call`: a coroutine function, or an instance whose `__call__` is one.

    A class is always called in a thread.
    """
    while isinstance(call, partial):
        call = call.func
    if inspect.isclass(call):
        return False
    return any(
        inspect.iscoroutinefunction(each) or inspect.isasyncgenfunction(each)
        for each in (call, getattr(call, "__call__", None))  # noqa: B004  (its function is wanted, not whether it has one)
    )


def routes_of(app: FastAPI) -> Iterator[RouteContext]:
    """Every route, also of included routers and mounted applications."""
    yield from _expanded(app.routes)


def operations(app: FastAPI, *, documented: bool = False) -> set[Operation]:
    """Every method of every path, or only those in the OpenAPI document."""
    routes = (route for route in routes_of(app) if not documented or route.include_in_schema)
    return {(method, str(route.path)) for route in routes for method in route.methods or ()}


def synchronous_callables(app: FastAPI) -> list[str]:
    """Every endpoint, dependency, exception handler and middleware of `app` that is not a coroutine function."""
    return sorted({f"{where}: {_name(call)}" for where, call in _callables(app) if not is_asynchronous(call)})


def _expanded(routes: list[BaseRoute]) -> Iterator[RouteContext]:
    for route in iter_route_contexts(routes):
        if isinstance(route.original_route, Mount):
            yield from _expanded(route.original_route.routes)
        else:
            yield route


def _callables(app: FastAPI) -> Iterator[tuple[str, Callable[..., Any]]]:
    for route in routes_of(app):
        if isinstance(route.original_route, APIRoute):
            yield from ((f"{route.path}", call) for call in _calls_of(route.dependant))
        else:
            assert route.endpoint is not None, route
            yield f"{route.path}", route.endpoint
    yield from ((f"handler of {error}", handler) for error, handler in app.exception_handlers.items())
    for middleware in app.user_middleware:
        yield "middleware", getattr(middleware.cls, "__call__")  # noqa: B004, B009  (the function of its instances)


def _calls_of(dependant: Dependant) -> Iterator[Callable[..., Any]]:
    """The endpoint and all its dependencies."""
    assert dependant.call is not None
    yield dependant.call
    for dependency in dependant.dependencies:
        yield from _calls_of(dependency)


def _name(call: Callable[..., Any]) -> str:
    return f"{getattr(call, '__module__', '')}.{getattr(call, '__qualname__', repr(call))}"
