"""Parses the parameters of arXiv's query API: https://info.arxiv.org/help/api/user-manual.html."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Final, NoReturn

from app.sources.arxiv_id import ABSTRACT_PAGE, arxiv_id

MAX_RESULTS: Final = 2_000
_RANGE: Final = re.compile(r"submittedDate:\[(\d{12}) TO (\d{12})\]")
_SORTS: Final = ("relevance", "lastUpdatedDate", "submittedDate")
_ORDERS: Final = ("ascending", "descending")
_ID: Final = re.compile(r"[\w./-]{1,40}")


class BadQuery(Exception):
    """A parameter that arXiv rejects; `name` is arXiv's name of the error."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


@dataclass(frozen=True, slots=True)
class ArxivQuery:
    """A query: papers by identifier, or those submitted from `since` to `until`, or both conditions."""

    day: date
    """The day of the papers."""
    since: datetime | None
    until: datetime | None
    ids: tuple[str, ...] | None
    start: int
    limit: int
    descending: bool

    @classmethod
    def parse(cls, parameters: Mapping[str, str], today: date) -> "ArxivQuery":
        """Parse a request's parameters; a query without a day means `today`. Raises `BadQuery`."""
        search, ids = parameters.get("search_query", ""), _ids(parameters.get("id_list", ""))
        if not search and ids is None:
            raise BadQuery("incorrect_query", "search_query and id_list are both empty")
        since, until = _range(search)
        _check(parameters, "sortBy", _SORTS, "relevance")
        descending = _check(parameters, "sortOrder", _ORDERS, "descending") == "descending"
        return cls(
            day=since.date() if since else today,
            since=since,
            until=until,
            ids=ids,
            start=_number(parameters, "start", "0", 10**9),
            limit=_number(parameters, "max_results", "10", MAX_RESULTS),
            descending=descending and "sortBy" in parameters,
        )


def _ids(listed: str) -> tuple[str, ...] | None:
    """The identifiers without versions; None if there is no list."""
    if not listed:
        return None
    found = []
    for name in listed.split(","):
        identifier = arxiv_id(f"{ABSTRACT_PAGE}{name}") if _ID.fullmatch(name) else None
        if identifier is None:
            raise BadQuery(f"incorrect_id_format_for_{name}", f"incorrect id format for {name}")
        found.append(identifier)
    return tuple(found)


def _range(search: str) -> tuple[datetime | None, datetime | None]:
    """The first and the last minute of `submittedDate`; None if the query has none."""
    if "submittedDate:" not in search:
        return None, None
    found = _RANGE.search(search)
    try:
        return (_minute(found[1]), _minute(found[2])) if found else _unreadable(search)
    except ValueError:
        return _unreadable(search)


def _minute(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%d%H%M").replace(tzinfo=UTC)


def _unreadable(search: str) -> NoReturn:
    raise BadQuery("incorrect_date", f"submittedDate cannot be read: {search}")


def _number(parameters: Mapping[str, str], name: str, default: str, limit: int) -> int:
    text = parameters.get(name, default)
    if not text.isdecimal():
        raise BadQuery(f"{name}_must_be_an_integer", f"{name} must be an integer from 0, not {text}")
    if len(text) > 9 or int(text) > limit:  # noqa: PLR2004  (more digits than any limit has)
        raise BadQuery(f"{name}_too_large", f"{name} is {text}: the maximum is {limit}")
    return int(text)


def _check(parameters: Mapping[str, str], name: str, allowed: tuple[str, ...], default: str) -> str:
    value = parameters.get(name, default)
    if value not in allowed:
        raise BadQuery(f"incorrect_{name}", f"{name} is {value}: it must be one of {', '.join(allowed)}")
    return value
