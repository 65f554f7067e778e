"""The API's application for tests, created once because describing its hundred routes takes longer than most tests."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from fastapi import FastAPI

from app.config import ApiSettings
from app.main import create_app

_AT_REST: list[FastAPI] = []
"""Applications that no test uses now; two concurrent tests do not share one."""


@contextmanager
def application(settings: ApiSettings) -> Iterator[FastAPI]:
    """An application with these settings; its counters may include other tests, its routes do not."""
    app = _AT_REST.pop() if _AT_REST else create_app()
    routes = list(app.router.routes)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("app.main.load_settings", lambda _wanted: settings)
        yield app
    app.router.routes[:] = routes
    _AT_REST.append(app)


@cache
def described_document() -> dict[str, Any]:
    """The OpenAPI document."""
    return create_app().openapi()


def described_paths() -> dict[str, Any]:
    """The paths of the OpenAPI document."""
    paths: dict[str, Any] = described_document()["paths"]
    return paths
