"""The introduction of a digest: how many items the day had, and which were selected."""

from collections import Counter
from datetime import date
from typing import Final

from app.models.articles import EditionStatus
from app.ranking.ranking import Ranking

_MAX_INTERESTS: Final = 4


def introduction(source_date: date, ranking: Ranking, status: EditionStatus = EditionStatus.COMPLETED) -> str:
    """Return how many items the day had, how many were selected, and which of the reader's interests they cover.

    `status` tells whether all, some or none of the sources were read.
    """
    day = f"{source_date:%A}, {source_date.day} {source_date:%B %Y}"
    if not ranking.considered:
        which = "no source" if status is EditionStatus.COMPLETED else "no source that could be read"
        return f"Nothing to report: {which} had an item for {day}."
    return _introduction(f"that appeared on {day}", ranking)


def introduction_since(last: date | None, ranking: Ranking, status: EditionStatus = EditionStatus.COMPLETED) -> str:
    """Return the introduction for items that are new since the reader's last digest. None: there was none."""
    since = f"since {last:%A}, {last.day} {last:%B %Y}" if last else "of the last week"
    if not ranking.considered:
        return _nothing_since(since, status, first=last is None)
    return _introduction(f"that are new {since}" if last else since, ranking)


def _nothing_since(since: str, status: EditionStatus, *, first: bool) -> str:
    """Return the introduction without new items. It makes no claim about sources that were not read."""
    if status is EditionStatus.FAILED:
        return "No source could be read, so new items may be missing."
    if first:
        which = "no source" if status is EditionStatus.COMPLETED else "no source that could be read"
        return f"Nothing to report yet: {which} had an item in the last week."
    return f"Nothing new {since}{'' if status is EditionStatus.COMPLETED else ' in the sources that could be read'}."


def _introduction(which: str, ranking: Ranking) -> str:
    chosen = len(ranking.papers) + len(ranking.news)
    if not chosen:
        return f"None of the {_count(ranking.considered, 'item')} {which} matched your interests closely enough."
    parts = [_count(len(ranking.papers), "paper"), _count(len(ranking.news), "news item")]
    opening = (
        f"Of the {_count(ranking.considered, 'item')} {which}, "
        f"{' and '.join(part for part in parts if part)} {'was' if chosen == 1 else 'were'} selected for you."
    )
    repeats = ranking.duplicates
    if repeats:
        opening += f" {_count(repeats, 'repeat')} {'was' if repeats == 1 else 'were'} omitted."
    interests = Counter(interest for item in (*ranking.papers, *ranking.news) for interest in item.interests)
    if not interests:
        return f"{opening} None of them matches one of your interests fully; these are the closest."
    named = [f"{interest} ({count})" for interest, count in interests.most_common(_MAX_INTERESTS)]
    return f"{opening} Your interests covered: {', '.join(named)}."


def _count(number: int, noun: str) -> str:
    """Format a count, such as `1 paper` or `1,204 papers`; empty for 0."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}" if number else ""
