"""Item keys: copies of one paper, or of one news item, share at least one of them."""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from app.models.articles import Article

_ARXIV_DOI: Final = "10.48550/arxiv."
# Characters of a title that are used. NFKD expands one character to up to 18.
_MAX_TITLE: Final = 400
_FEWEST_WORDS, _FEWEST_LETTERS = 4, 20
_GENERIC = re.compile(
    r"((author|publisher) )?(correction|erratum|corrigendum|retraction|addendum|expression of concern)\b"
    r"|(this|last|the) (week|month|day|year)\b|(weekly|daily|monthly|morning|evening)\b|(guest )?editorial\b|podcast\b"
    r"|(in|front|back) (this issue|matter)\b|(issue|journal) information\b|table of contents\b|letters? to the editor\b"
    r"|news (and|in|of)\b|call for papers\b|book reviews?\b|(introduction|preface) to the\b|proceedings of\b"
)
"""Beginnings of titles that many different items share."""


def item_keys(article: Article) -> list[str]:
    """Return the article's keys, strongest first: arXiv id, DOI, the source's own id, title. Never empty.

    A DOI issued by arXiv counts as the arXiv id. A source's own id (an RSS guid) stays the same on other days.
    """
    return list(_keys(article))


def strongest_key(article: Article) -> str:
    """Return the strongest key without computing the others."""
    return next(_keys(article))


def _keys(article: Article) -> Iterator[str]:
    paper = article.arxiv_id
    if article.doi and article.doi.startswith(_ARXIV_DOI):
        paper = paper or article.doi.removeprefix(_ARXIV_DOI)
    if paper:
        yield f"arxiv:{paper.casefold()}"
    if article.doi and not article.doi.startswith(_ARXIV_DOI):
        yield f"doi:{article.doi}"
    if article.external_id != paper:
        # A source's name contains no line break.
        yield "from:" + _hash(f"{article.source}\n{article.external_id}")
    title = title_key(article.title)
    if title:
        yield f"title:{_hash(title)}"


def title_key(title: str) -> str | None:
    """Return a title's letters and digits without case and accents; None if it is too short or too generic.

    So "Pré-training: A  Survey of $k$-NN" and "Pretraining — a survey of k-NN" have the same key.
    """
    decomposed = unicodedata.normalize("NFKD", title[:_MAX_TITLE]).casefold()
    bare = "".join(character for character in decomposed if not unicodedata.combining(character))
    words = re.sub(r"[^\w]|_", " ", bare).split()
    joined = "".join(words)
    if len(words) < _FEWEST_WORDS or len(joined) < _FEWEST_LETTERS or _GENERIC.match(" ".join(words)):
        return None
    return joined


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:32]
