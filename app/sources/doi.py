"""Parses DOIs as sources write them: bare, with a prefix, or as a link."""

import re
from typing import Final
from urllib.parse import unquote

_MAX_LENGTH: Final = 300
_PREFIX = re.compile(r"(?:https?://(?:dx\.|www\.)?doi\.org/|info:doi/|doi:\s{0,5})", re.IGNORECASE)
# https://www.doi.org/doi-handbook/HTML/doi-name-syntax.html, limited to characters that registered DOIs have.
_DOI = re.compile(r"10\.\d{4,9}(?:\.\d{1,9}){0,3}/[^\s\"<>{}|\\^`\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,200}")


def doi(text: str | None) -> str | None:
    """Return the DOI at the beginning of a text, in lower case and without a prefix; None if there is none."""
    text = (text or "")[:_MAX_LENGTH].strip()
    prefix = _PREFIX.match(text)
    if prefix:
        text = text[prefix.end() :]
        text = unquote(text.partition("?")[0].partition("#")[0]) if prefix[0][:4].lower() == "http" else text
    first = text.split(maxsplit=1)[:1]
    found = _DOI.fullmatch(first[0].rstrip(".,;")) if first else None
    return found[0].lower() if found else None
