"""The files of shared/inputs, each with the result that its README states."""

import os
from pathlib import Path

import pytest

from app.digest.bibtex import bibtex_entries
from app.digest.ris import ris_entries
from app.imports.entries import AcceptedEntry, RejectedEntry
from app.imports.library import BIBTEX, RIS
from app.sources.arxiv_atom import read_page
from app.sources.feed_entry import FeedItem, read_item
from app.sources.fetcher import Fetched
from app.sources.xml import read_feed
from tests.support.libraries import accepted, entries, facts, paper_of_entry

REPOSITORY = Path(__file__).parents[3]
INPUTS = Path(os.environ.get("BROADSHEET_SHARED", REPOSITORY.parent / "shared")) / "inputs"
FEED = "https://h.example/feeds/all.xml"

TITLES = {
    "accents-budget.bib": [f"Zależność {number}" for number in range(80)],
    "dup-field.bib": ["A study", "Second"],
    "no-key.bib": ["A study", "Second"],
    "double-comma.bib": ["A report"],
    "one-without-title.bib": ["First", "Third"],
    "brace-name.bib": ["T"],
    "suffix-name.bib": ["T"],
    "concat.bib": ["Acts of the Society 2020"],
    "date-and-year.bib": ["T"],
    "sici-doi.bib": ["T"],
    "at-in-field.bib": ["First", "Second"],
    "first-not-on-line.bib": ["First", "Second"],
}
LINKS = {
    "undeclared-prefix.xml": ["http://a.example/1", "http://a.example/2"],
    "blank-line-first.xml": ["http://a.example/1"],
    "xml-base.xml": ["http://blog.example/y/post/1"],
    "dcterms-date.xml": ["http://a.example/1"],
    "spaced-link.xml": ["http://a.example/a%20b", "http://a.example/a%7Cb"],
}


def shared(name: str) -> bytes:
    path = INPUTS / name
    if not path.is_file():
        pytest.skip(f"there is no {path}; BROADSHEET_SHARED names another folder")
    return path.read_bytes()


async def feed(name: str) -> list[FeedItem]:
    page = Fetched(FEED, None, shared(name))
    return await read_feed(page, ("{*}item", "{*}entry"), lambda item: read_item(item, FEED), limit=99, lenient=True)


def test_every_shared_input_has_a_test() -> None:
    shared("README")
    names = {path.name for path in INPUTS.iterdir()} - {"README"}
    assert names == {*TITLES, *LINKS, "arxiv-tex-title.xml"}


@pytest.mark.parametrize("name", TITLES)
async def test_a_shared_library_has_the_stated_result(name: str) -> None:
    found = await accepted(shared(name))
    assert [entry.article.title for entry in found] == TITLES[name]
    first = found[0].article
    match name:
        case "accents-budget.bib":
            assert {entry.article.authors for entry in found} == {("Józef Wójcik",)}
        case "brace-name.bib":
            assert first.authors == ("Organisation for Co-operation and Development", "Jane Roe")
        case "suffix-name.bib":
            assert first.authors == ("Paul W. Roe, Jr.", "M. L. King")
        case "double-comma.bib" | "date-and-year.bib":
            assert first.published_at is not None
            assert first.published_at.year == {"double-comma.bib": 2020, "date-and-year.bib": 2002}[name]
        case "sici-doi.bib":
            assert first.doi == "10.1002/(sici)1099-0000(199803)19:4<377::aid-xyz1>3.0.co;2-p"
        case _:
            pass


async def test_the_shared_entry_without_a_title_is_named() -> None:
    found = await entries(shared("one-without-title.bib"))
    assert [(entry.line, entry.key) for entry in found if isinstance(entry, RejectedEntry)] == [(4, "b")]


@pytest.mark.parametrize("name", LINKS)
async def test_a_shared_feed_has_the_stated_result(name: str) -> None:
    items = await feed(name)
    assert [item.url for item in items] == LINKS[name]
    if name == "dcterms-date.xml":
        assert str(items[0].published_at) == "2026-11-28 00:00:00+00:00"


async def test_an_interest_matches_a_name_in_tex() -> None:
    page = Fetched(FEED, None, shared("arxiv-tex-title.xml"))
    (article,) = (await read_page(page, limit=9)).articles
    assert article.title == "Solitons of a Schrödinger equation with $p<q$"
    assert article.abstract == "Pólya's idea."


@pytest.mark.parametrize("name", TITLES)
async def test_a_shared_library_comes_back_from_its_export(name: str) -> None:
    before = [entry for entry in await entries(shared(name)) if isinstance(entry, AcceptedEntry)]
    papers = [paper_of_entry(entry) for entry in before]
    assert facts(await accepted("\n".join(bibtex_entries(papers)), BIBTEX)) == facts(before)
    assert facts(await accepted("\n".join(ris_entries(papers)), RIS)) == facts(before)
