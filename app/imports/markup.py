"""Removal of HTML and TeX from formats that have no markup, but often contain it."""

import re
from typing import Final

from app.sources.tex import from_mixed
from app.sources.text import MARKUP_PER_CHARACTER, plain_from_html

_TAGS: Final = re.compile(
    r"</?(?:i|b|em|strong|sub|sup|sc|span|p|br|div|italic|bold|title|jats:[a-z]{1,20})\b[^<>]{0,200}>|&(?:amp|lt|gt|quot|nbsp|#\d{1,6});"
)


def unmarked(text: str, limit: int) -> str:
    """Return text without tags and TeX. A single `<`, as in mathematics, stays."""
    text = text[: limit * MARKUP_PER_CHARACTER]
    return from_mixed(plain_from_html(text, limit) if _TAGS.search(text) else text)
