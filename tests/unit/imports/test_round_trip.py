"""An imported library is exported in the same form, and an import of the export gives the same papers."""

from hypothesis import given
from hypothesis import strategies as st

from app.digest.bibtex import bibtex_entries
from app.digest.ris import ris_entries
from app.imports.library import BIBTEX, RIS
from app.models.articles import Publication
from app.sources.text import plain
from tests.support.libraries import accepted, entries, facts, paper_of_entry

LIBRARY = r"""@article{a, title={On $p<q$ \& 50\% of {LLM}s -- a $k$-NN study},
  author={Roe, Jr., Paul W. and {The A and B Group} and
  G{\"o}del, Kurt and van der Berg, Jan}, journal={Phys. Rev. \& Co.}, volume={12}, number={3}, pages={377--386},
  year={2002}, month=may, day={24},
  abstract={It costs \$5 to \$10; \textbackslash x \{y\} a\_b \~{} `q'. $\{x_1 \mid x^2\}$},
  doi={10.1002/(SICI)1099-0000(199803)19:4<377::AID-XYZ1>3.0.CO;2-P}, url={https://a.example/~x--y_1?b=%20&c=d#e}}
@inproceedings{b, title={Second}, booktitle={Proc. \emph{X}}, year=2001, publisher={P {\&} Q}, pages={e12}}
@phdthesis{c, title={A thesis}, school={Univ. of {\O}rsted}, year={1999}, month=11}
@book{d, title={A book}, date={2003-05}, publisher={P}, eprint={hep-th/9901001}, archiveprefix={arXiv}}
@misc{e, eprint={2005.14165}}
"""


async def test_bibtex_is_exported_as_it_was_imported() -> None:
    before = await accepted(LIBRARY)
    exported = "\n".join(bibtex_entries(map(paper_of_entry, before)))
    after = await accepted(exported, BIBTEX)
    assert facts(after)[:4] == facts(before)[:4]
    assert (after[4].article.arxiv_id, after[4].article.title) == ("2005.14165", "arXiv:2005.14165")


async def test_an_exported_entry_keeps_its_type_and_fields() -> None:
    before = await accepted(LIBRARY)
    first, second, thesis, book, _ = bibtex_entries(map(paper_of_entry, before))
    for line in (
        r"title = {{On $p<q$ \& 50\% of LLMs – a $k$-NN study}},",  # noqa: RUF001  (TeX writes it)
        r"author = {Roe, Jr., Paul W. and {The A and B Group} and Kurt Gödel and Jan van der Berg},",
        r"journal = {Phys. Rev. \& Co.},",
        "volume = {12},",
        "number = {3},",
        "pages = {377--386},",
        "year = {2002},\n  month = may,\n  day = {24},",
    ):
        assert line in first
    assert first.startswith("@article{roe2002")
    assert "booktitle = {Proc. X}," in second
    assert "month" not in second, "no month is invented"
    assert "school = {Univ. of Ørsted}," in thesis
    assert "year = {2003},\n  month = may,\n" in book


async def test_ris_is_exported_as_it_was_imported() -> None:
    before = await accepted(LIBRARY)
    exported = "\n".join(ris_entries(map(paper_of_entry, before)))
    after = await accepted(exported, RIS)
    kept = [(entry.article.title, entry.article.authors, entry.article.doi, entry.article.abstract) for entry in before]
    assert [(e.article.title, e.article.authors, e.article.doi, e.article.abstract) for e in after][:4] == kept[:4]
    assert [entry.publication for entry in after][:4] == [entry.publication for entry in before][:4]
    assert [entry.article.arxiv_id for entry in after] == [entry.article.arxiv_id for entry in before]
    assert "AU  - Roe, Paul W., Jr." in exported
    assert "AU  - The A and B Group" in exported
    assert "AU  - van der Berg, Jan" in exported


PIECES = st.sampled_from(
    [
        "$",
        "$x^2$",
        "\\",
        "{",
        "}",
        "&",
        "%",
        "#",
        "_",
        "~",
        "^",
        "<",
        ">",
        "--",
        "``",
        "''",
        "?`",
        "é",
        "a",
        " ",
        "5 ",
        '"',
        "\\(x\\)",
        "\\input",
        r"$\frac12$",
        "^^5c",
    ]
)
TEXT = st.lists(PIECES, max_size=25).map("".join)


@given(TEXT, TEXT)
async def test_any_title_and_abstract_come_back(title: str, abstract: str) -> None:
    (entry,) = await accepted("@article{a, title={T}, journal={J}, year=2020}")
    article = entry.article.model_copy(update={"title": plain(title, 300) or "T", "abstract": plain(abstract, 6_000)})
    paper = paper_of_entry(entry).model_copy(update={"title": article.title, "abstract": article.abstract})
    (back,) = await entries("".join(bibtex_entries([paper])), BIBTEX)
    assert facts([back]) == [(article, Publication(entry_type="article", container="J", date="2020"))]
