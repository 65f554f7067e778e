"""What readers read about sources: their names, and the sentence about those that could not be read."""

import pytest

from app.models.articles import EditionStatus
from app.sources.names import missing_sources, paper_origin, source_name

FEEDS = [f"feed:{name}" for name in ("a", "b", "c", "d", "e", "f")]


@pytest.mark.parametrize(
    ("status", "failed", "sentence"),
    [
        (EditionStatus.COMPLETED, [], ""),
        (EditionStatus.PARTIAL, [], "Some sources could not be read."),
        (EditionStatus.PARTIAL, ["arxiv"], "arXiv could not be read: new items from there are missing here."),
        (EditionStatus.PARTIAL, ["arxiv", "feed:Nature"],
         "arXiv and Nature could not be read: new items from there are missing here."),
        (EditionStatus.PARTIAL, FEEDS[:4], "a, b, c and d could not be read: new items from there are missing here."),
        (EditionStatus.PARTIAL, FEEDS[:5],
         "a, b, c, d and 1 other could not be read: new items from there are missing here."),
        (EditionStatus.PARTIAL, FEEDS,
         "a, b, c, d and 2 others could not be read: new items from there are missing here."),
        (EditionStatus.FAILED, ["arxiv"],
         "No source could be read in time. A later digest will have the new items."),
    ],
)  # fmt: skip
def test_one_sentence_names_the_missing_sources(status: EditionStatus, failed: list[str], sentence: str) -> None:
    assert missing_sources(status, failed) == sentence


def test_readers_see_the_names_of_sources() -> None:
    names = {source: source_name(source) for source in ("arxiv", "biorxiv", "medrxiv", "newsapi", "feed:nature")}
    assert [*names.values()] == ["arXiv", "bioRxiv", "medRxiv", "NewsAPI", "nature"]


def test_readers_see_where_a_paper_came_from() -> None:
    origins = {origin: paper_origin(origin) for origin in ("zotero", "library", "manual", "crossref", "arxiv")}
    assert [*origins.values()] == [
        "your Zotero library",
        "an imported file",
        "a program or an administrator",
        "Crossref",
        "arXiv",
    ]
