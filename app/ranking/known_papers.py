"""Articles that readers name, as their papers: completed from the service's own items."""

from collections.abc import Sequence

from app.models.articles import Article, Publication
from app.models.item_keys import item_keys
from app.persistence.items import Items
from app.persistence.reader_papers import PaperInput
from app.ranking.reader_paper import paper_of
from app.time_slice import MAX_STEP, TimeSlice


async def with_known_abstracts(
    described: Sequence[tuple[Article, Publication | None]], items: Items, *, max_step: float = MAX_STEP
) -> list[PaperInput]:
    """Convert articles to papers; complete those without an abstract from the stored items, where one matches.

    It holds the event loop for `max_step` seconds, and the time of one paper. Raises `SupabaseError`.
    """
    keys = {key for article, _ in described if not article.abstract for key in _strong_keys(article)}
    known = await items.find_by_keys(sorted(keys)) if keys else {}
    papers, time_slice = [], TimeSlice(max_step)
    for article, publication in described:
        paper = paper_of(article, publication)
        found = None if article.abstract else next(filter(None, map(known.get, _strong_keys(article))), None)
        papers.append(_merged(paper, paper_of(found)) if found is not None else paper)
        await time_slice.checkpoint()
    return papers


def _strong_keys(article: Article) -> list[str]:
    return [key for key in item_keys(article) if key.startswith(("arxiv:", "doi:"))]


def _merged(paper: PaperInput, known: PaperInput) -> PaperInput:
    if paper.arxiv_id and known.arxiv_id not in {None, paper.arxiv_id}:
        return paper  # Two arXiv ids are two papers, even with the same DOI.
    keys = {"keys": tuple(dict.fromkeys((*paper.keys, *known.keys)))}
    ids = {"arxiv_id": paper.arxiv_id or known.arxiv_id, "doi": paper.doi or known.doi}
    return known.model_copy(update=keys | ids | {"publication": paper.publication})
