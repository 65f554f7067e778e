"""Filters in the URL of a list."""

from collections.abc import Collection
from datetime import date
from urllib.parse import urlencode

from fastapi import Request

from app.pages.limits import MAX_FILTER
from app.persistence.json_values import clean_text


def selected(request: Request, name: str, allowed: Collection[str]) -> str | None:
    """Return the query parameter `name` if it is one of `allowed`; None means all."""
    value = request.query_params.get(name, "")
    return value if value in allowed else None


def text_filter(request: Request, name: str) -> str | None:
    """Return the query parameter `name` as a text that the database can store, cut to size; None if it is empty."""
    return clean_text(request.query_params.get(name, "")).strip()[:MAX_FILTER] or None


def day_filter(request: Request, name: str) -> date | None:
    """Return the query parameter `name` as a day; None if it is empty or no day."""
    try:
        return date.fromisoformat(request.query_params.get(name, ""))
    except ValueError:
        return None


def list_url(path: str, **values: str | None) -> str:
    """Return the URL of a list with these filters, without those that are None."""
    return f"{path}?{urlencode({name: value for name, value in values.items() if value is not None})}"
