"""Filters in the URL of a list."""

from collections.abc import Collection
from urllib.parse import urlencode

from fastapi import Request


def selected(request: Request, name: str, allowed: Collection[str]) -> str | None:
    """Return the query parameter `name` if it is one of `allowed`; None means all."""
    value = request.query_params.get(name, "")
    return value if value in allowed else None


def list_url(path: str, **values: str | None) -> str:
    """Return the URL of a list with these filters, without those that are None."""
    return f"{path}?{urlencode({name: value for name, value in values.items() if value is not None})}"
