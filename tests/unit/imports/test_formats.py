"""RIS, CSL JSON and plain lists: recognised, read, bounded, and never in one long step."""

import json

import pytest

from app.imports.entries import MAX_BYTES, MAX_ENTRIES, MAX_ENTRY, AcceptedEntry, LibraryUnreadable
from app.imports.library import BIBTEX, CSL_JSON, RIS
from app.sources.dates import PartialDate
from tests.support.libraries import STEP, accepted, entries, rejected
from tests.support.loop_blocking import longest_hold

RIS_LIBRARY = """\
TY  - JOUR
ID  - roe2002
TI  - On \\'etudes of $p<q$
AU  - Roe, Paul W., Jr.
AU  - van der Berg, Jan
AU  - The Group
T2  - Phys. Rev.
VL  - 12
IS  - 3
SP  - 377
EP  - 386
PY  - 2002
DA  - 2002/05/24/
DO  - https://doi.org/10.1000/A
AB  - One line
and its end
UR  - https://a.example/a b
ER  -

TY  - CHAP
T1  - A chapter
A1  - Roe, Jane
PY  - 1999///
TY  - THES
N1  - nothing names it
ER  -
"""
ITEM = {
    "id": "roe",
    "type": "article-journal",
    "title": "On <i>E. coli</i> &amp; $p<q$",
    "author": [{"family": "Berg", "given": "Jan", "non-dropping-particle": "van der"}, {"literal": "The Group"}],
    "issued": {"date-parts": [[2002, 5]]},
    "DOI": "10.1000/A",
    "container-title": "Phys. Rev.",
    "page": "377-386",
    "volume": 12,
    "issue": "3",
    "abstract": "<jats:p>Of storms.</jats:p>",
}


async def test_ris_becomes_papers() -> None:
    first, chapter, lost = await entries(RIS_LIBRARY)
    assert isinstance(first, AcceptedEntry)
    paper = first.article
    assert (first.line, first.key, paper.title) == (1, "roe2002", "On études of $p<q$")
    assert paper.authors == ("Paul W. Roe, Jr.", "Jan van der Berg", "The Group")
    assert (paper.doi, paper.url, paper.abstract) == ("10.1000/a", "https://a.example/a%20b", "One line and its end")
    assert first.publication.model_dump() == {
        "entry_type": "article", "container": "Phys. Rev.", "volume": "12", "issue": "3", "pages": "377-386",
        "publisher": "", "date": "2002-05-24",
    }  # fmt: skip
    assert isinstance(chapter, AcceptedEntry)
    assert (chapter.line, chapter.publication.entry_type, chapter.publication.date) == (20, "incollection", "1999")
    assert not isinstance(lost, AcceptedEntry)
    assert lost.line == 24


async def test_the_first_value_of_a_repeated_tag_counts() -> None:
    (entry,) = await accepted("TY  - JOUR\nTI  - \nTI  - T\nTI  - U\nDO  - 10.1000/a\nDO  - 10.1000/b\nER  -\n")
    assert (entry.article.title, entry.article.doi) == ("T", "10.1000/a")


@pytest.mark.parametrize("parts", [[2020, 0], [2020, 13], [2020, 21], [2020, 0, 0], ["2020", "99", "1"]])
async def test_an_impossible_month_keeps_the_year(parts: list[object]) -> None:
    (entry,) = await accepted(json.dumps([ITEM | {"issued": {"date-parts": [parts]}}]))
    assert entry.publication.date == "2020"


@pytest.mark.parametrize(
    "library",
    [json.dumps([ITEM]), json.dumps({"items": [ITEM]}), json.dumps([ITEM], indent=2), json.dumps(ITEM) + "\n"],
    ids=["array", "wrapped", "indented", "item"],
)
async def test_csl_json_becomes_papers(library: str) -> None:
    (entry,) = await accepted(library)
    paper, publication = entry.article, entry.publication
    assert (entry.key, paper.title) == ("roe", "On E. coli & $p<q$")
    assert (paper.authors, paper.doi) == (("Jan van der Berg", "The Group"), "10.1000/a")
    assert (paper.abstract, publication.date, publication.entry_type) == ("Of storms.", "2002-05", "article")
    assert (publication.container, publication.pages, publication.volume) == ("Phys. Rev.", "377-386", "12")


async def test_a_broken_item_of_csl_json_affects_no_others() -> None:
    items = [json.dumps(ITEM | {"id": name}) for name in "abcdef"]
    items[1] = items[1].replace('"id": "b"', '"id": "b",, ')
    items[3] = items[3].removesuffix("}")
    library = "[" + ",\n".join(items) + "]"
    assert [entry.key for entry in await accepted(library)] == ["a", "c", "e", "f"]
    assert [(entry.line, entry.key) for entry in await rejected(library)] == [(2, "b"), (4, "")]


@pytest.mark.parametrize(("item", "key"), [('"id" : "roe"', "roe"), ('"title": "roe"', ""), ('"id": 7', "")])
async def test_a_broken_item_has_the_key_that_is_readable(item: str, key: str) -> None:
    (entry,) = await rejected(f"[{{{item},, }}]")
    assert (entry.line, entry.key) == (1, key)


LISTED = {
    "10.1000/A": ("10.1000/a", None),
    "doi: 10.1000/a": ("10.1000/a", None),
    "https://doi.org/10.1000/a, ": ("10.1000/a", None),
    "https://journal.example/doi/full/10.1000/a?x=1": ("10.1000/a", None),
    "arXiv:2005.14165v2": (None, "2005.14165"),
    "2005.14165": (None, "2005.14165"),
    "arxiv 2005.14165": (None, "2005.14165"),
    "- https://arxiv.org/pdf/2005.14165 (GPT-3)": (None, "2005.14165"),
    "hep-th/9901001": (None, "hep-th/9901001"),
}


@pytest.mark.parametrize("line", LISTED)
async def test_a_line_of_a_list_is_a_paper(line: str) -> None:
    (entry,) = await accepted(f"\n# a comment\n{line}\n")
    assert (entry.line, entry.article.doi, entry.article.arxiv_id) == (3, *LISTED[line])


async def test_a_line_without_an_identifier_is_rejected() -> None:
    library = "10.1000/a 10.1000/b\nhttps://a.example/x\nsome words\n10.1000/c 10.x/bad 10.1/bad\n" + "x" * 5_000
    assert [entry.line for entry in await accepted(library)] == [1, 1, 4]
    assert [(entry.line, entry.key[:10]) for entry in await rejected(library)] == [
        *((2, "https://a."), (3, "some words"), (4, "10.1/bad"), (5, "")),
    ]


ENCODED = {
    "utf-8": "@misc{a, title={Žofie \u2013 Müller}}".encode(),
    "utf-8 with its mark": "@misc{a, title={Žofie \u2013 Müller}}".encode("utf-8-sig"),
    "utf-16": "@misc{a, title={Žofie \u2013 Müller}}".encode("utf-16"),
    "utf-16 without a mark": "@misc{a, title={Žofie \u2013 Müller}}".encode("utf-16-be"),
    "cp1252": "@misc{a, title={Žofie \u2013 Müller}}".encode("cp1252"),
    "named": "% Encoding: Cp1250\n@misc{a, title={Žofie \u2013 Müller}}".encode("cp1250"),
    "mixed": "@misc{a, title={Žofie \u2013 ".encode() + "Müller}}".encode("latin-1"),
}


@pytest.mark.parametrize("name", ENCODED)
@pytest.mark.parametrize("pieces", [0, 1, 3])
async def test_the_encoding_of_a_library_is_detected(name: str, pieces: int) -> None:
    (entry,) = await entries(ENCODED[name], pieces=pieces)
    assert isinstance(entry, AcceptedEntry)
    assert entry.article.title == "Žofie \u2013 Müller"


@pytest.mark.parametrize("content", ["<?xml version='1.0'?><xml/>", "%PDF-1.7", "PK\x03\x04", "a\0b", " <html>"])
async def test_a_file_of_another_kind_is_refused(content: str) -> None:
    with pytest.raises(LibraryUnreadable, match="neither BibTeX"):
        await entries(content)


async def test_the_error_names_the_limit_of_a_library() -> None:
    assert len(await accepted("10.1000/a\n" * MAX_ENTRIES)) == MAX_ENTRIES
    with pytest.raises(LibraryUnreadable, match=f"more than {MAX_ENTRIES} entries"):
        await entries("10.1000/a\n" * (MAX_ENTRIES + 1))
    with pytest.raises(LibraryUnreadable, match=f"more than {MAX_BYTES} bytes"):
        await entries(b" " * (MAX_BYTES + 1))


async def test_an_empty_file_has_no_entries() -> None:
    for media_type in ("", BIBTEX, RIS, CSL_JSON, "text/plain"):
        assert await entries("", media_type) == []
        assert await entries(" \n\r\n ", media_type) == []


HOSTILE: dict[str, str | bytes] = {
    "json: nothing but braces": "[" + "{" * 1_000_000,
    "json: pairs of braces": "[" + "{}," * 15_000,
    "json: deep": '[{"a":' * 40_000,
    "json: deep lists": '[{"a":' + "[" * 200_000 + "]" * 200_000 + "}]",
    "json: quotes": '[{"' + '","' * 300_000,
    "json: backslashes": '[{"' + "\\" * 900_001,
    "json: a long number": '[{"id": ' + "9" * 100_000 + "}]",
    "json: many authors": json.dumps([ITEM | {"author": [{"family": "A"}] * 10_000}]),
    "json: begun items": '[{"id":"a"' + ',{"id":"a"' * 9_000,
    "json: one object of many items": '[{"items":[' + '{"title":"T"},' * 15_000 + '{"title":"T"}]}]',
    "ris: lines": "TY  - JOUR\n" + "AU  - A, B\n" * 50_000,
    "ris: one long line": "TY  - JOUR\nTI  - " + "x " * 900_000,
    "ris: begun": "TY  - JOUR\n" * 15_000,
    "ris: markup": "TY  - JOUR\nTI  - x\nAB  - " + "<i>" * 60_000 + "\n",
    "list: words": "10.1000/a " * 100_000,
    "list: one word": "a" * 1_500_000,
    "list: lines": "\n" * 500_000,
    "list: links": ("https://a.example/" + "/doi/10.1" * 400 + "\n") * 300,
    "bytes that are no utf-8": b"@misc{a, title={" + b"\xe9" * 200_000 + b"}}",
    "utf-16 of halves": b"\xff\xfe" + b"\x00\xd8" * 400_000,
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_no_format_holds_the_loop(name: str) -> None:
    found, hold = await longest_hold(lambda: entries(HOSTILE[name]), STEP)
    assert not isinstance(found, Exception) or isinstance(found, LibraryUnreadable), found
    assert hold < STEP


async def test_entries_too_large_for_ris_and_json_are_rejected() -> None:
    ris = "TY  - JOUR\nTI  - T\nAB  - " + "x" * MAX_ENTRY + "\nER  - \nTY  - JOUR\nTI  - U\nER  - \n"
    library = json.dumps([ITEM | {"note": "x" * MAX_ENTRY}, ITEM])
    for text in (ris, library):
        found = await entries(text)
        assert [isinstance(entry, AcceptedEntry) for entry in found] == [False, True], text[:20]


def test_a_partial_date_shows_only_known_parts() -> None:
    assert [str(PartialDate(2002)), str(PartialDate(2002, 5)), str(PartialDate(2002, 5, 4))] == [
        *("2002", "2002-05", "2002-05-04"),
    ]
