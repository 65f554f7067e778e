"""The type and publisher of an imported entry, for each type of each format, and their export."""

import json

import pytest

from app.digest.bibtex import bibtex_entries
from app.digest.ris import ris_entries
from app.imports.library import RIS
from tests.support.libraries import accepted, paper_of_entry

OF_RIS = {
    "article": ("JOUR", "MGZN", "NEWS", "EJOUR", "JFULL", "INPR"),
    "book": ("BOOK", "EBOOK", "EDBOOK"),
    "incollection": ("CHAP", "ECHAP"),
    "inproceedings": ("CONF", "CPAPER"),
    "phdthesis": ("THES",),
    "techreport": ("RPRT",),
    "unpublished": ("UNPB", "MANSCPT"),
    "misc": ("GEN", "DATA"),
}
OF_CSL = {
    "article": ("article-journal", "article-magazine", "article-newspaper", "journal-article"),
    "book": ("book",),
    "incollection": ("chapter",),
    "inproceedings": ("paper-conference", "proceedings-article"),
    "phdthesis": ("thesis",),
    "techreport": ("report",),
    "unpublished": ("manuscript",),
    "misc": ("webpage", "dataset"),
}
TO_RIS = {
    "JOUR": ("article",),
    "BOOK": ("book",),
    "CHAP": ("incollection", "inbook"),
    "CPAPER": ("inproceedings", "conference"),
    "CONF": ("proceedings",),
    "THES": ("phdthesis", "mastersthesis"),
    "RPRT": ("techreport",),
    "UNPB": ("unpublished",),
    "GEN": ("misc", "online"),
}
PUBLISHERS = {
    "school": ("phdthesis", "mastersthesis", "thesis"),
    "institution": ("techreport",),
    "publisher": ("book", "article"),
}


@pytest.mark.parametrize("kind", OF_RIS)
async def test_types_of_ris_are_read(kind: str) -> None:
    library = "".join(f"TY  - {each}\nTI  - A title\nER  -\n" for each in OF_RIS[kind])
    assert [entry.publication.entry_type for entry in await accepted(library, RIS)] == [kind] * len(OF_RIS[kind])


@pytest.mark.parametrize("kind", OF_CSL)
async def test_types_of_csl_json_are_read(kind: str) -> None:
    library = json.dumps([{"id": "a", "title": "A title", "type": each} for each in OF_CSL[kind]])
    assert [entry.publication.entry_type for entry in await accepted(library)] == [kind] * len(OF_CSL[kind])


@pytest.mark.parametrize("kind", TO_RIS)
async def test_types_of_bibtex_become_those_of_ris(kind: str) -> None:
    library = "".join(f"@{each}{{k{number}, title={{A title}}}}\n" for number, each in enumerate(TO_RIS[kind]))
    exported = list(ris_entries(map(paper_of_entry, await accepted(library))))
    assert [entry.partition("\n")[0] for entry in exported] == [f"TY  - {kind}"] * len(TO_RIS[kind])


@pytest.mark.parametrize("field", ["publisher", "school", "institution", "organization"])
async def test_each_publisher_of_bibtex_is_read(field: str) -> None:
    (entry,) = await accepted(rf"@misc{{a, title={{T}}, {field}={{Univ. of {{\O}}rsted}}}}")
    assert entry.publication.publisher == "Univ. of Ørsted"


@pytest.mark.parametrize("field", PUBLISHERS)
async def test_a_publisher_is_exported_in_its_field(field: str) -> None:
    for kind in PUBLISHERS[field]:
        (entry,) = await accepted(f"@{kind}{{a, title={{T}}, publisher={{Example}}}}")
        (exported,) = bibtex_entries([paper_of_entry(entry)])
        assert f"  {field} = {{Example}},\n" in exported, kind


@pytest.mark.parametrize(
    "kind", ["inproceedings", "incollection", "inbook", "conference", "proceedings", "inreference"]
)
async def test_what_is_in_a_book_is_exported_with_its_title(kind: str) -> None:
    (entry,) = await accepted(f"@{kind}{{a, title={{T}}, booktitle={{The Book}}}}")
    (exported,) = bibtex_entries([paper_of_entry(entry)])
    assert "  booktitle = {The Book},\n" in exported
