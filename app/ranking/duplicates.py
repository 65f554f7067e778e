"""The same story told twice: one paper in two feeds, one agency's report in two newspapers."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from app.models import Article, ArticleKind
from app.sources.arxiv_id import arxiv_id

# What two texts begin with tells them apart; comparing more of them finds nothing else.
_COMPARED_WORDS: Final = 48
_SHINGLE: Final = 3
_SKETCH: Final = 6
_SIMILAR: Final = 0.6
_FEWEST_WORDS: Final = 12
_FEWEST_TITLE_WORDS: Final = 4
# Boilerplate that opens many texts would otherwise make each a candidate for all.
_MOST_CANDIDATES: Final = 4


def preference(article: Article) -> tuple[bool, bool, int]:
    """Return a sort key that puts the copy worth keeping first: a paper, with its PDF, with the longest abstract."""
    return (article.kind is not ArticleKind.PAPER, article.pdf_url is None, -len(article.abstract))


class SeenBefore:
    """Recognises an article that repeats one of those before it, in time that does not grow with their number.

    Articles are the same if they link to the same page or have the same title of some length, or if the beginnings
    of their texts share most runs of three words (Jaccard similarity). Candidates for that come from sketches: texts
    that are alike share some of their smallest hashes (MinHash, Broder 1997).
    """

    def __init__(self) -> None:
        self._names: set[str] = set()
        self._sketches: defaultdict[int, list[frozenset[int]]] = defaultdict(list)

    def repeats(self, article: Article, words: Sequence[int], title_words: int) -> bool:
        """Whether this repeats an earlier article; if not, later ones are compared with it.

        `words` are those of title and abstract; the first `title_words` are the title's.
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
    """What an article is called: its paper's identifier or its page, and its title."""
    links = [link for link in (article.url, article.pdf_url) if link]
    papers = [paper for link in links if (paper := arxiv_id(link))]
    pages = [link.partition("#")[0].partition("?utm_")[0] for link in links]
    titles = [f"title {title[:_COMPARED_WORDS]}"] if len(title) >= _FEWEST_TITLE_WORDS else []
    return [*papers, *pages, *titles]


def _shingles(words: Sequence[int]) -> frozenset[int]:
    if len(words) < _FEWEST_WORDS:
        return frozenset()
    return frozenset(map(hash, zip(*(words[start:] for start in range(_SHINGLE)), strict=False)))
