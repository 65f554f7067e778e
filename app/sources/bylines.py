"""The byline of a paper and its sections: one wording for mails, digest pages and readers' pages."""

from collections.abc import Sequence
from typing import Final, Protocol

from app.models.articles import SAMPLE_CATEGORY

_SHOWN_AUTHORS: Final = 4
_SHOWN_SECTIONS: Final = 3


class HasAuthors(Protocol):
    """A paper, or an article of an edition."""

    @property
    def authors(self) -> Sequence[str]:
        """The names in the order of the paper."""


class HasCategories(Protocol):
    """An article of an edition."""

    @property
    def categories(self) -> Sequence[str]:
        """The categories in the order of the source."""


def byline(paper: HasAuthors) -> str:
    """Return `By Ada, Bob`; of more than four authors, the first four and the number of the others. Empty for none."""
    names = paper.authors[:_SHOWN_AUTHORS]
    others = len(paper.authors) - len(names)
    more = f" and {others} others" if others > 1 else " and another" if others else ""
    return f"By {', '.join(names)}{more}" if names else ""


def categories_of(article: HasCategories) -> list[str]:
    """Return the article's categories without the mark of the sample edition."""
    return [name for name in article.categories if name != SAMPLE_CATEGORY]


def sections(article: HasCategories) -> str:
    """Return the first three categories, such as `cs.LG, stat.ML`."""
    return ", ".join(categories_of(article)[:_SHOWN_SECTIONS])
