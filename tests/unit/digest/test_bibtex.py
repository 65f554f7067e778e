"""BibTeX of saved papers, read back by a maintained parser for any title and author."""

import re
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pybtex.database import Entry, Person, parse_string

from app.digest.bibtex import bibtex_entries
from app.models.articles import ArticleKind
from app.persistence.reader_papers import ReaderPaper
from app.sources.text import MAX_NAME, MAX_TITLE, plain

MOMENT = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)
NAMED = {
    "textbackslash": "\\",
    "textbraceleft": "{",
    "textbraceright": "}",
    "textasciitilde": "~",
    "textasciicircum": "^",
    "textless": "<",
    "textgreater": ">",
    "textbar": "|",
}
PARTS = ("first", "middle", "prelast", "last", "lineage")
AWKWARD = st.text(st.sampled_from("\\{}$&%#_~^<>|-'`,?!\"@ aAéß∀🦄\u202e\n\x01"), max_size=30)
NAMES = st.sampled_from(["and", "a AND b", "others", "{", "}}", "\\", ",", "x, y, z", "A. Team", "d'Or, Éva"])
WHATEVER = st.one_of(st.text(max_size=60), AWKWARD, NAMES)


def paper(title: str | None = "On Graphs", **changes: Any) -> ReaderPaper:
    values: dict[str, Any] = {"paper_id": UUID(int=1), "kind": ArticleKind.PAPER, "title": title, "abstract": ""}
    values |= {"authors": ("Ada Lovelace",), "origin": "arxiv", "published_at": MOMENT, "created_at": MOMENT}
    return ReaderPaper.model_validate(values | changes)


def entries(*papers: ReaderPaper) -> list[tuple[str, Entry]]:
    """Parse it with pybtex, which refuses unbalanced braces and repeated keys."""
    return list(parse_string("\n".join(bibtex_entries(papers)), "bibtex").entries.items())


def printed(field: str) -> str:
    """Render a field as LaTeX does, with the few commands that it may contain."""
    pieces = re.split(r"(?<!\\)(\$(?:[^$\\]|\\.)+\$|\\\(.+?\\\))", field)
    return "".join(piece if place % 2 else printed_text(piece) for place, piece in enumerate(pieces))


def printed_text(field: str) -> str:
    """What LaTeX makes of what is no formula."""
    text = re.sub(r"\\([a-z]+)\{\}", lambda match: f"\0{match[1]}\0", field).replace("{}", "")
    assert re.search(r"(?<!\\)[$&%#_~^]|[{}]|\\[^$&%#_]", text) is None, "only what is escaped"
    text = re.sub(r"\\([$&%#_])", r"\1", text)
    return re.sub("\0([a-z]+)\0", lambda match: NAMED[match[1]], text)


def letters(person: Person) -> list[str]:
    """The printed parts of a name, in any order."""
    parts = [piece for part in PARTS for piece in person.get_part(part)]
    pieces = [piece[1:-1] if piece.startswith("{") and not piece.startswith("{}") else piece for piece in parts]
    return sorted(re.sub(r"[\s,]", "", printed("".join(pieces))))


@given(st.lists(st.tuples(WHATEVER, st.lists(WHATEVER, max_size=3)), min_size=1, max_size=4))
def test_any_title_and_author_is_read_back(papers: list[tuple[str, list[str]]]) -> None:
    found = entries(*(paper(title, authors=tuple(authors)) for title, authors in papers))
    assert len(found) == len(papers)
    for (key, entry), (title, authors) in zip(found, papers, strict=True):
        assert re.fullmatch("[a-z0-9-]+", key)
        braced = entry.fields["title"]
        assert (braced[0], braced[-1]) == ("{", "}"), "its capitals stay"
        assert printed(braced[1:-1]) == (plain(title, MAX_TITLE) or "Without a title")
        names = [name for name in (plain(each, MAX_NAME) for each in authors) if name]
        persons = entry.persons.get("author", [])
        assert [letters(person) for person in persons] == [sorted(re.sub(r"[\s,]", "", name)) for name in names]


def test_an_entry_has_every_known_field() -> None:
    known = paper(
        "Über BERT & 50% of {LLMs} -- a $k$-NN study",
        authors=(
            "Erwin Schrödinger",
            "Noether, Emmy",
            "Us and Them",
            "ATLAS Collaboration",
            "van der Berg, J.",
        ),
        url="https://arxiv.org/abs/2511.01234?a=1_2&b=%20#x",
        doi="10.1000/a_b(c)<1>",
        arxiv_id="2511.01234",
    )
    assert list(bibtex_entries([known])) == [ENTRY]
    ((_, entry),) = entries(known)
    assert [str(person) for person in entry.persons["author"]] == [
        *("Schrödinger, Erwin", "Noether, Emmy", "{Us and Them}", "{ATLAS Collaboration}"),
        "van der Berg, J.",
    ]
    assert entry.fields["month"] == "November"


ENTRY = r"""@misc{schrodinger2026uber,
  title = {{Über BERT \& 50\% of \textbraceleft{}LLMs\textbraceright{} -{}- a $k$-NN study}},
  author = {Erwin Schrödinger and Noether, Emmy and {Us and Them} and {ATLAS Collaboration} and van der Berg, J.},
  year = {2026},
  month = nov,
  doi = {10.1000/a_b(c)<1>},
  eprint = {2511.01234},
  archivePrefix = {arXiv},
  url = {https://arxiv.org/abs/2511.01234?a=1_2&b=%20#x},
}
"""


MACROS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


@pytest.mark.parametrize("number", range(1, 13))
def test_a_month_is_the_macro_of_every_style(number: int) -> None:
    (written,) = bibtex_entries([paper(published_at=MOMENT.replace(month=number))])
    assert f"\n  month = {MACROS[number - 1]},\n" in written
    ((_, entry),) = entries(paper(published_at=MOMENT.replace(month=number)))
    assert entry.fields["month"] == f"{MOMENT.replace(month=number):%B}"


def test_unknown_and_unsafe_fields_are_omitted() -> None:
    bare = paper(None, authors=(), published_at=None, arxiv_id="hep-th/9901001")
    hostile = paper(
        "}\n@misc{evil,", authors=("",), published_at=None, doi="10.1000/}x", arxiv_id="1,}", url="https://x.org/}{\\"
    )
    (key, entry), (_, other) = entries(bare, hostile)
    assert (key, entry.fields["title"]) == ("anonymousarxivhepth9901001", "{arXiv:hep-th/9901001}")
    assert dict(entry.fields) | {"title": ""} == {
        "title": "",
        "eprint": "hep-th/9901001",
        "archivePrefix": "arXiv",
        "primaryClass": "hep-th",
    }
    assert {name: other.fields[name] for name in other.fields if name != "title"} == {
        "note": r"https://doi.org/10.1000/\%7Dx"
    }
    assert list(bibtex_entries([])) == []


def test_keys_are_unique_and_stable() -> None:
    papers = [paper("The graphs"), paper("On the Graphs!"), paper("Graphs", authors=("Lovelace, A.",)), paper("Trees")]
    keys = [key for key, _ in entries(*papers)]
    assert keys == ["lovelace2026graphs", "lovelace2026graphs-a", "lovelace2026graphs-b", "lovelace2026trees"]
    many = [key for key, _ in entries(*papers, *(papers[0] for _ in range(800)))]
    assert (many[:4], len(set(many))) == (keys, 804)
    assert many[30] == "lovelace2026graphs-ac"
