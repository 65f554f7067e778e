"""Exports of papers whose every text is hostile: each paper is one entry, with its own fields and no others."""

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pybtex.database import parse_string

from app.digest.bibtex import bibtex_entries
from app.digest.math_commands import ARGUMENTS, SIZES, SYMBOLS
from app.digest.ris import ris_entries
from app.imports.library import BIBTEX, RIS
from app.models.articles import Publication
from app.persistence.reader_papers import ReaderPaper
from tests.support.libraries import MOMENT, accepted
from tests.support.tex_reader import ALLOWED_IN_TEXT, read_tex

PIECES = st.sampled_from(
    [
        *(
            "\n",
            "\r\n",
            "\u2028",
            "\x85",
            "\x0b",
            "\x1e",
            "\nER  - \nTY  - JOUR\nTI  - Another",
            "ER  - ",
            "TY  - JOUR",
        ),
        *("\n@article{x, title={y}}", "@article{x,", "@", "}", "{", "},\n note = {x", '"', ",", "=", "#", "%", "\\"),
        *("$", "$x$", "\\(", "\\)", "^^5c", "\\input{x}", " and ", "é", "x", " ", "1-2", "2026", "--", "family=x"),
    ]
)
TEXT = st.lists(PIECES, max_size=12).map("".join)
TYPES = st.one_of(TEXT, st.sampled_from(["article", "string", "preamble", "comment", "control", "xdata", "Article"]))
FIELDS = ("container", "volume", "issue", "pages", "publisher", "date")
COMMANDS = ALLOWED_IN_TEXT | SYMBOLS | SIZES | ARGUMENTS.keys()


def paper_of(values: dict[str, Any]) -> ReaderPaper:
    publication = Publication(entry_type=values["kind"], **dict.fromkeys(FIELDS, values["text"]))
    return ReaderPaper.model_validate(
        {"paper_id": "00000000-0000-0000-0000-000000000001", "kind": "paper", "origin": "manual", "created_at": MOMENT}
        | {"title": values["text"], "abstract": values["other"], "authors": [values["other"], values["text"]]}
        | {"url": f"https://a.example/{values['text']}", "arxiv_id": values["other"]}
        | {"doi": f"10.1000/{values['other']}", "publication": publication}
    )


PAPERS = st.lists(
    st.fixed_dictionaries({"kind": TYPES, "text": TEXT, "other": TEXT}).map(paper_of), min_size=1, max_size=3
)


@given(PAPERS)
async def test_hostile_papers_are_as_many_bibtex_entries(papers: list[ReaderPaper]) -> None:
    exported = "\n".join(bibtex_entries(papers))
    assert len(parse_string(exported, "bibtex").entries) == len(papers)
    assert len(await accepted(exported, BIBTEX)) == len(papers)
    begun = 0
    for line in exported.splitlines():
        if re.fullmatch(r"@[a-z]+\{[a-z0-9-]+,", line):
            begun += 1
        elif line not in {"", "}"}:
            field = re.fullmatch(r"  ([a-zA-Z]+) = (?:\{(.*)\}|[a-z]{3}),", line)
            assert field is not None, line
            if field[1] not in {"title", "url", "author", "doi"}:
                assert read_tex(field[2] or "") <= COMMANDS
    assert begun == len(papers)


@given(PAPERS)
def test_hostile_authors_and_links_stay_in_their_fields(papers: list[ReaderPaper]) -> None:
    for entry in parse_string("\n".join(bibtex_entries(papers)), "bibtex").entries.values():
        assert read_tex(entry.fields["title"][1:-1]) <= COMMANDS
        assert not re.search(r"[\\{}$^~\"\s]", entry.fields.get("url", "") + entry.fields.get("doi", ""))
    for name in re.findall(r"  author = \{(.*)\},", "\n".join(bibtex_entries(papers))):
        assert read_tex(re.sub(r"\{(?!\})|(?<!\{)\}", "", name)) <= ALLOWED_IN_TEXT, "without the groups of whole names"


@given(PAPERS)
async def test_hostile_papers_are_as_many_ris_entries(papers: list[ReaderPaper]) -> None:
    exported = "".join(ris_entries(papers))
    lines = exported.splitlines()
    assert lines == exported.split("\n")[:-1]
    assert all(re.match(r"[A-Z][A-Z0-9]  - ", line) for line in lines)
    assert [line[:2] for line in lines].count("TY") == [line[:2] for line in lines].count("ER") == len(papers)
    assert len(await accepted(exported, RIS)) == len(papers)
