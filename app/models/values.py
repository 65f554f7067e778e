"""Values that the domain's models share, and their base."""

import re
from collections.abc import Awaitable, Callable
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict, StringConstraints

ReportProgress = Callable[[str, float], Awaitable[None]]
"""Reports progress: called with a message for people and a number from 0 to 1."""


def _without_nul(value: object) -> object:
    """Remove NUL characters, which PostgreSQL cannot store; refuse a text that has only these and blanks."""
    if not isinstance(value, str):
        return value
    kept = value.replace("\0", "")
    if value and not kept.strip():
        raise ValueError("it contains only blanks and NUL characters")
    return kept


MAX_SHORT_TEXT = 100
"""Characters of a name, an interest or another phrase."""

ShortText = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_SHORT_TEXT),
    BeforeValidator(_without_nul),
]


LANGUAGE_PATTERN = r"^[a-z]{2,3}(-[A-Z][a-z]{3})?(-([A-Z]{2}|[0-9]{3}))?$"
"""A language tag of BCP 47 with a language, a script and a region at most: the tag is part of prompts."""


_SCRIPT, _MAX_TAG = 4, 11


def _language(value: object) -> object:
    """Write a tag in the usual case (RFC 5646, 2.1.1). Refuses anything else."""
    if not isinstance(value, str):
        return value
    first, *others = value[: _MAX_TAG + 1].split("-")
    tag = "-".join([first.lower(), *(each.title() if len(each) == _SCRIPT else each.upper() for each in others)])
    if not value.isascii() or not re.fullmatch(LANGUAGE_PATTERN[1:-1], tag):
        raise ValueError("it is not a language tag of BCP 47, such as en, de, pt-BR or zh-Hant")
    return tag


Language = Annotated[str, StringConstraints(pattern=LANGUAGE_PATTERN), BeforeValidator(_language)]
"""The language in which a model writes summaries."""


class Frozen(BaseModel):
    """Base of the domain's models: immutable.

    They ignore unknown fields, because rows and payloads may come from a newer schema or process.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")
