"""Profiles: what a reader wants to read."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, TypeGuard

from pydantic import ConfigDict, Field, StringConstraints, field_validator

from app.models.arxiv_categories import category_problem
from app.models.values import Frozen, Language, ShortText

MAX_ITEMS = 50
"""Maximum number of papers, and of news items, in a digest."""


MAX_GOALS = 2000
"""Characters of a profile's goals."""

MAX_INTERESTS = MAX_EXCLUDED = 30
MAX_FOLLOWED = 50
MAX_CATEGORIES = 20


CategoryName = Annotated[str, StringConstraints(pattern=r"^[a-z-]{2,12}(\.[A-Za-z-]{2,20})?$")]
"""An arXiv category such as `cs.AI` or `hep-th`, or an archive such as `math`."""


class Preferences(Frozen):
    """What a person wants to read. The database has the same limits (`profile_is_valid`); a test compares them."""

    title: Annotated[str, StringConstraints(strip_whitespace=True, max_length=200)] = ""
    goals: Annotated[str, StringConstraints(strip_whitespace=True, max_length=MAX_GOALS)] = ""
    interests: tuple[ShortText, ...] = Field(default=(), max_length=MAX_INTERESTS)
    categories: tuple[CategoryName, ...] = Field(default=(), max_length=MAX_CATEGORIES)
    authors: tuple[ShortText, ...] = Field(default=(), max_length=MAX_FOLLOWED)
    """New papers of these authors are always included."""
    exclude: tuple[ShortText, ...] = Field(default=(), max_length=MAX_EXCLUDED)
    """Articles with these words or phrases are not included."""
    language: Language = "en"
    """A model writes the summaries in this language. Excerpts keep the language of their abstract."""


class DigestSize(Frozen):
    """The most papers and news items of a digest."""

    max_papers: int = Field(12, ge=0, le=MAX_ITEMS)
    max_news: int = Field(6, ge=0, le=MAX_ITEMS)


class Named(Frozen):
    """Something with a person's name."""

    name: ShortText


class Profile(Preferences, Named):
    """The profile for which a digest is ranked and written."""


class RatedPaper(Frozen):
    """A paper that a reader rated; `vector` is its text's vector, by `app.ranking.vectors.vector_of`."""

    title: str
    liked: bool
    rated_at: datetime
    vector: str


def known_categories(values: object) -> object:
    """Return `values` if arXiv has all of these categories. Raises `ValueError`, with the nearest valid names.

    Values that are no texts are left to the field's own validation.
    """
    names = [value for value in values[:MAX_CATEGORIES] if isinstance(value, str)] if _is_list(values) else []
    problems = [problem for name in names if (problem := category_problem(name)) is not None]
    if problems:
        raise ValueError("; ".join(problems))
    return values


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple)


class ProfileRequest(Profile):
    """A profile in a request: unknown fields and categories are refused."""

    model_config = ConfigDict(extra="forbid")

    _categories_are_known = field_validator("categories", mode="before")(known_categories)
