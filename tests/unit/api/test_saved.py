"""Exports of saved papers hold one page of them in memory."""

import re
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest

from app.api.saved import Writer, saved_bibtex, written
from app.digest.bibtex import bibtex_entries
from app.digest.ris import ris_entries
from app.errors import SupabaseUnavailable
from app.persistence.reader_papers import ReaderPaper, ReaderPapers
from tests.support.rows import ID, PAPER


class ReadPapers(ReaderPapers):
    """Records how many pages of two papers were read; the third one cannot be read."""

    def __init__(self) -> None:
        self.read = 0

    async def saved_pages(self, reader_id: UUID) -> AsyncIterator[tuple[ReaderPaper, ...]]:  # noqa: ARG002  (its names)
        for _ in range(2):
            self.read += 1
            yield tuple(ReaderPaper.model_validate(PAPER | {"paper_id": uuid4()}) for _ in range(2))
        raise SupabaseUnavailable("gone")


async def test_an_export_reads_a_page_when_the_last_one_is_sent() -> None:
    papers = ReadPapers()
    content = await saved_bibtex(papers, UUID(ID))
    for page in (1, 2):
        assert (await anext(content)).count("@") == 2
        assert papers.read == page


async def test_an_export_that_cannot_be_completed_ends_with_an_error() -> None:
    content = await saved_bibtex(ReadPapers(), UUID(ID))
    with pytest.raises(SupabaseUnavailable):
        _ = [text async for text in content]


def paper(title: str) -> ReaderPaper:
    values = PAPER | {"paper_id": uuid4(), "title": title, "authors": ["Emmy Noether"], "publication": {"date": "1918"}}
    return ReaderPaper.model_validate(values)


async def export(write: Writer, *pages: tuple[ReaderPaper, ...]) -> str:
    async def others() -> AsyncIterator[tuple[ReaderPaper, ...]]:
        for page in pages[1:]:
            yield page

    return "".join([text async for text in written(pages[0], others(), write)])


@pytest.mark.parametrize("write", [bibtex_entries, ris_entries])
async def test_an_export_of_pages_is_that_of_all_its_papers(write: Writer) -> None:
    papers = tuple(paper(title) for title in ("Invariants", "Rings", "Invariants", "Invariants", "Rings"))
    whole = await export(write, papers)
    for size in (1, 2, 4):
        assert await export(write, *(papers[at : at + size] for at in range(0, len(papers), size))) == whole


@pytest.mark.parametrize(("write", "key"), [(bibtex_entries, r"^@\w+\{(\S+),$"), (ris_entries, r"^ID  - (\S+)$")])
async def test_papers_of_two_pages_have_different_keys(write: Writer, key: str) -> None:
    text = await export(write, (paper("Invariants"),), (paper("Invariants"), paper("Rings")), (paper("Rings"),))
    assert re.findall(key, text, re.MULTILINE) == [
        *("noether1918invariants", "noether1918invariants-a", "noether1918rings", "noether1918rings-a")
    ]
