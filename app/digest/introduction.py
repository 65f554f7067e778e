"""The paragraph that opens a digest: what there was that day, and what was chosen for whom."""

from collections import Counter
from datetime import date
from typing import Final

from app.models import EditionStatus
from app.ranking.ranking import Ranking

_MOST_THEMES: Final = 4


def introduction(source_date: date, ranking: Ranking, status: EditionStatus = EditionStatus.COMPLETED) -> str:
    """Say how many items the day had, how many were chosen, and which of the reader's interests they meet.

    `status` says whether all sources, some, or none could be read.
    """
    day = f"{source_date:%A}, {source_date.day} {source_date:%B %Y}"
    if not ranking.considered:
        which = "no source" if status is EditionStatus.COMPLETED else "no source that could be read"
        return f"Nothing to report: {which} had an item for {day}."
    return _introduction(f"that appeared on {day}", ranking)


def introduction_since(last: date | None, ranking: Ranking, status: EditionStatus = EditionStatus.COMPLETED) -> str:
    """Say the same of what is new to a reader whose last digest was made that day (None: there was none)."""
    since = f"since {last:%A}, {last.day} {last:%B %Y}" if last else "of the last week"
    if not ranking.considered:
        return _nothing_since(since, status, first=last is None)
    return _introduction(f"that are new {since}" if last else since, ranking)


def _nothing_since(since: str, status: EditionStatus, *, first: bool) -> str:
    """What was not read may have something new: nothing is said of it."""
    if status is EditionStatus.FAILED:
        return "There may be something new, but it could not be read."
    if first:
        which = "no source" if status is EditionStatus.COMPLETED else "no source that could be read"
        return f"Nothing to report yet: {which} had an item in the last week."
    return f"Nothing new {since}{'' if status is EditionStatus.COMPLETED else ' in the sources that could be read'}."


def _introduction(which: str, ranking: Ranking) -> str:
    chosen = len(ranking.papers) + len(ranking.news)
    if not chosen:
        return f"None of the {_count(ranking.considered, 'item')} {which} was close enough to your profile."
    parts = [_count(len(ranking.papers), "paper"), _count(len(ranking.news), "news item")]
    opening = (
        f"Of the {_count(ranking.considered, 'item')} {which}, "
        f"{' and '.join(part for part in parts if part)} {'was' if chosen == 1 else 'were'} chosen for you."
    )
    repeats = ranking.duplicates
    if repeats:
        opening += f" {_count(repeats, 'repeat')} {'was' if repeats == 1 else 'were'} left out."
    themes = Counter(interest for item in (*ranking.papers, *ranking.news) for interest in item.interests)
    if not themes:
        return f"{opening} None of them names one of your interests in full; these come closest."
    named = [f"{interest} ({count})" for interest, count in themes.most_common(_MOST_THEMES)]
    return f"{opening} What they meet of your interests: {', '.join(named)}."


def _count(number: int, noun: str) -> str:
    """`1 paper`, `1,204 papers`; empty for none."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}" if number else ""
