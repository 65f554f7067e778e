"""The names by which copies of a paper or of a piece of news are known as one."""

import hashlib
import re
import unicodedata
from collections.abc import Iterator
from typing import Final

from app.models import Article

_ARXIV_DOI: Final = "10.48550/arxiv."
# What is looked at of a title; NFKC makes up to 18 characters of one.
_MAX_TITLE: Final = 400
_FEWEST_WORDS, _FEWEST_LETTERS = 4, 20
_GENERIC = re.compile(
    r"((author|publisher) )?(correction|erratum|corrigendum|retraction|addendum|expression of concern)\b"
    r"|(this|last|the) (week|month|day|year)\b|(weekly|daily|monthly|morning|evening)\b|(guest )?editorial\b|podcast\b"
    r"|(in|front|back) (this issue|matter)\b|(issue|journal) information\b|table of contents\b|letters? to the editor\b"
    r"|news (and|in|of)\b|call for papers\b|book reviews?\b|(introduction|preface) to the\b|proceedings of\b"
)
"""How titles begin that many items bear."""


def item_keys(article: Article) -> list[str]:
    """Return what the article is known by, strongest first: arXiv id, DOI, its source's own id, title. Never none.

    A DOI that arXiv gave is the arXiv id. A source's own id (an RSS guid) is the same on other days.
    """
    return list(_keys(article))


def strongest_key(article: Article) -> str:
    """Return the first of its keys, without making the others."""
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
        # A source's name holds no line break.
        yield "from:" + _hash(f"{article.source}\n{article.external_id}")
    title = title_key(article.title)
    if title:
        yield f"title:{_hash(title)}"


def title_key(title: str) -> str | None:
    """Return a title's letters and digits alone, without case and accents; None if it is too short or too general.

    So "Pré-training: A  Survey of $k$-NN" and "Pretraining — a survey of k-NN" are one.
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
