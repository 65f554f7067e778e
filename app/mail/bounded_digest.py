"""A digest whose texts are short enough for a mail, whatever was stored."""

from collections.abc import Iterable
from typing import Any, Final

from app.models.digests import Digest, DigestItem
from app.sources.text import MAX_CATEGORY, MAX_NAME, MAX_TITLE, plain
from app.time_slice import TimeSlice

MAX_INTRODUCTION: Final = 1_500
MAX_SUMMARY: Final = 2_000
MAX_POINTS, MAX_POINT = 6, 500
MAX_REASON: Final = 400
_MAX_ERRORS, _MAX_ERROR = 10, 200


async def bounded(digest: Digest, time_slice: TimeSlice) -> Digest:
    """Return the digest with texts of bounded length, so that at least its best item fits in a mail.

    Yields to the event loop between items.
    """
    errors = list(digest.source_errors.items())[:_MAX_ERRORS]
    items = []
    for item in (*digest.papers, *digest.news):
        items.append(_bounded_item(item))
        await time_slice.checkpoint()
    papers = len(digest.papers)
    return digest.model_copy(
        update={
            "introduction": plain(digest.introduction, MAX_INTRODUCTION),
            "source_errors": {plain(name, MAX_NAME): plain(reason, _MAX_ERROR) for name, reason in errors},
            "papers": tuple(items[:papers]),
            "news": tuple(items[papers:]),
        }
    )


def _bounded_item(item: DigestItem) -> DigestItem:
    article = item.article
    changes = _longer({"summary": (item.summary, MAX_SUMMARY), "reason": (item.reason, MAX_REASON)})
    if len(item.key_points) > MAX_POINTS or _is_longer(item.key_points, MAX_POINT):
        changes["key_points"] = tuple(plain(point, MAX_POINT) for point in item.key_points[:MAX_POINTS])
    of_article = _longer({"title": (article.title, MAX_TITLE), "source": (article.source, MAX_NAME)})
    if _is_longer(article.authors, MAX_NAME):
        of_article["authors"] = tuple(plain(name, MAX_NAME) for name in article.authors)
    if _is_longer(article.categories, MAX_CATEGORY):
        of_article["categories"] = tuple(plain(name, MAX_CATEGORY) for name in article.categories)
    if of_article:
        changes["article"] = article.model_copy(update=of_article)
    return item.model_copy(update=changes) if changes else item


def _longer(texts: dict[str, tuple[str, int]]) -> dict[str, Any]:
    """Return the texts that exceed their limits, shortened."""
    return {name: plain(text, limit) for name, (text, limit) in texts.items() if len(text) > limit}


def _is_longer(texts: Iterable[str], limit: int) -> bool:
    return any(len(text) > limit for text in texts)
