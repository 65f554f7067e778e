"""The sentence that tells readers which sources could not be read."""

import pytest

from app.models.articles import EditionStatus
from app.sources.names import missing_sources

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
