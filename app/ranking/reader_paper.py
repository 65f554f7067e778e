"""Converts an article to a reader's paper, with its keys and its vector."""

import hashlib

from app.models.articles import Article, Publication
from app.models.item_keys import item_keys
from app.persistence.reader_papers import PaperInput
from app.ranking.vectors import vector_of

_ARXIV, _AT_SOURCE = "arxiv:", "from:"


def paper_of(article: Article, publication: Publication | None = None) -> PaperInput:
    """Return the article as a reader's paper. Takes one or two milliseconds to compute its vector.

    An article without an id at its source (`external_id`), for example from BibTeX, has only its other keys. Without
    any key, its exact title is the key, so that it is the same paper when it is sent again.
    """
    keys = tuple(key for key in item_keys(article) if article.external_id or not key.startswith(_AT_SOURCE))
    # A DOI that arXiv assigned contains the arXiv id.
    by_doi = next((key.removeprefix(_ARXIV) for key in keys if key.startswith(_ARXIV)), None)
    return PaperInput(
        keys=keys or (f"given:{hashlib.sha256(article.title.casefold().encode()).hexdigest()[:32]}",),
        kind=article.kind,
        title=article.title or None,
        abstract=article.abstract,
        authors=article.authors,
        url=article.url,
        published_at=article.published_at,
        arxiv_id=article.arxiv_id or by_doi,
        doi=article.doi,
        origin=article.source,
        vector=vector_of(article.title, article.abstract),
        publication=publication,
    )
