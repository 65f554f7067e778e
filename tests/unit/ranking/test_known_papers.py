"""What our own items say of a paper that a reader names: used for the same paper, and for no other one."""

from collections.abc import Sequence
from typing import Any

from app.api.paper_models import PapersRequest
from app.models.articles import Article, Publication
from app.persistence.reader_papers import PaperInput
from app.ranking.known_papers import with_known_abstracts

DOI = "10.1038/ice"
KNOWN: dict[str, Any] = {"title": "Radar reads ice", "abstract": "All of it.", "liked": True, "doi": DOI}
PUBLISHED = Publication(entry_type="article", container="Ice", date="2026")


def article_of(**paper: Any) -> Article:
    (one,) = PapersRequest.model_validate({"papers": [paper]}).papers
    return one.article


class KnownItems:
    """Knows one article under its DOI."""

    def __init__(self, article: Article) -> None:
        self._article = article

    async def find_by_keys(self, _keys: Sequence[str]) -> dict[str, Article]:
        return {f"doi:{DOI}": self._article}


async def paper_of(named: dict[str, Any], known: dict[str, Any]) -> PaperInput:
    items: Any = KnownItems(article_of(**KNOWN, **known))
    (paper,) = await with_known_abstracts([(article_of(liked=True, **named), PUBLISHED)], items)
    return paper


async def test_two_arxiv_ids_stay_two_papers_whatever_doi_they_share() -> None:
    paper = await paper_of({"arxiv_id": "2611.00001", "doi": DOI}, {"arxiv_id": "2611.00002"})
    assert (paper.arxiv_id, paper.title, paper.abstract) == ("2611.00001", None, "")
    assert not [key for key in paper.keys if "2611.00002" in key]


async def test_a_paper_of_the_same_names_gets_what_is_known() -> None:
    for known in ({"arxiv_id": "2611.00001"}, {}):
        paper = await paper_of({"arxiv_id": "2611.00001", "doi": DOI}, known)
        assert (paper.arxiv_id, paper.title, paper.abstract) == ("2611.00001", "Radar reads ice", "All of it.")


async def test_a_known_paper_keeps_the_publication_of_its_entry() -> None:
    for known in ({"arxiv_id": "2611.00001"}, {"arxiv_id": "2611.00002"}):
        paper = await paper_of({"arxiv_id": "2611.00001", "doi": DOI}, known)
        assert paper.publication == PUBLISHED
