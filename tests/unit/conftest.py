"""A reader's profile, and articles with the values that a test sets."""

from datetime import UTC, datetime
from typing import Any

import pytest

from app.models.articles import Article, ArticleKind
from app.models.profiles import Profile
from tests.support.articles import MakeArticle


@pytest.fixture
def reader() -> Profile:
    return Profile(
        name="Ada",
        title="Graph learning engineer",
        goals="Follow protein folding.",
        interests=("graph neural networks", "robustness", "C++"),
        categories=("cs.LG", "math"),
    )


@pytest.fixture
def make_article() -> MakeArticle:
    """Build an article; calls without `external_id` build different articles."""
    count = 0

    def make(**changes: Any) -> Article:
        nonlocal count
        count += 1
        plain: dict[str, Any] = {
            "source": "arxiv",
            "external_id": f"2513.{count:05d}",
            "kind": ArticleKind.PAPER,
            "title": f"Untitled {count}",
            "published_at": datetime(2025, 3, 4, 12, tzinfo=UTC),
        }
        return Article.model_validate(plain | changes)

    return make
