"""What a list was asked for: one of the words that there are, or all."""

from collections.abc import Collection
from urllib.parse import urlencode

from fastapi import Request


def chosen(request: Request, name: str, words: Collection[str]) -> str | None:
    """The word that the address names, if it is one; None: all."""
    word = request.query_params.get(name, "")
    return word if word in words else None


def query(path: str, **values: str | None) -> str:
    """The address of a list with these filters; those that are None are left out."""
    return f"{path}?{urlencode({name: value for name, value in values.items() if value is not None})}"
