"""Detects duplicates: one paper in two feeds, one agency's report in two newspapers."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from app.models.articles import Article, ArticleKind
from app.sources.arxiv_id import arxiv_id

# The beginnings of two texts suffice to tell whether they are duplicates.
_COMPARED_WORDS: Final = 48
_SHINGLE: Final = 3
_SKETCH: Final = 6
_SIMILAR: Final = 0.6
_FEWEST_WORDS: Final = 12
_FEWEST_TITLE_WORDS: Final = 4
# Limits the candidates for texts that begin with the same boilerplate.
_MOST_CANDIDATES: Final = 4


def preference(article: Article) -> tuple[bool, bool, int]:
    """Return a sort key that puts the best copy first: a paper, with its PDF, with the longest abstract."""
    return (article.kind is not ArticleKind.PAPER, article.pdf_url is None, -len(article.abstract))


class SeenBefore:
    """Detects an article that duplicates an earlier one, in time that does not grow with the number of articles.

    Articles are duplicates if they link to the same page, have the same title of at least four words, or if the
    beginnings of their texts share most sequences of three words (Jaccard similarity). Sketches find the candidates:
    similar texts share some of their smallest hashes (MinHash, Broder 1997).
    """

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._sketches: defaultdict[int, list[frozenset[int]]] = defaultdict(list)

    def repeats(self, article: Article, words: Sequence[int], title_words: int) -> bool:
        """Whether this duplicates an earlier article. If not, later articles are compared with it.

        `words` are the words of title and abstract; the first `title_words` belong to the title.
        """
        names = list(_names(article, words[:title_words]))
        shingles = _shingles(words[:_COMPARED_WORDS])
        sketch = sorted(shingles)[:_SKETCH]
        if not self._names.isdisjoint(names) or self._has_similar(shingles, sketch):
            return True
        self._names.update(names)
        for value in sketch:
            if len(self._sketches[value]) < _MOST_CANDIDATES:
                self._sketches[value].append(shingles)
        return False

    def _has_similar(self, shingles: frozenset[int], sketch: Sequence[int]) -> bool:
        candidates = {id(other): other for value in sketch for other in self._sketches.get(value, ())}
        return any(len(shingles & other) >= _SIMILAR * len(shingles | other) for other in candidates.values())


def _names(article: Article, title: Sequence[int]) -> list[str]:
    """Return the identifiers of an article: its paper's id or its page, and its title."""
    links = [link for link in (article.url, article.pdf_url) if link]
    papers = [paper for link in links if (paper := arxiv_id(link))]
    pages = [link.partition("#")[0].partition("?utm_")[0] for link in links]
    titles = [f"title {title[:_COMPARED_WORDS]}"] if len(title) >= _FEWEST_TITLE_WORDS else []
    return [*papers, *pages, *titles]


def _shingles(words: Sequence[int]) -> frozenset[int]:
    if len(words) < _FEWEST_WORDS:
        return frozenset()
    return frozenset(map(hash, zip(*(words[start:] for start in range(_SHINGLE)), strict=False)))
