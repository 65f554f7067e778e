"""BibTeX input: parsed as papers or rejected with the line, and never in one long step."""

import random

import pytest

from app.imports.entries import MAX_ENTRY, LibraryUnreadable
from app.imports.library import BIBTEX
from app.ranking.reader_paper import paper_of
from tests.support.bibtex import SOUND
from tests.support.libraries import STEP, accepted, entries, rejected
from tests.support.loop_blocking import longest_hold

HOSTILE = {
    "deep braces": "@article{a, title={" + "{" * 1_900_000,
    "a megabyte on one line": "@article{a, title={" + "word " * 300_000 + "}}",
    "entries on one line": "@article{a,title={T}} " * 9_000,
    "nothing but @": "@" * 1_900_000,
    "begun and never ended": "@a{\n" * 9_000,
    "a string that many fields name": '@string{a="' + "x" * 40_000 + '"}\n@misc{b' + ",f=a" * 1_200 + "}",
    "strings of strings": "".join(f"@string{{s{n + 1} = s{n} # s{n}}}\n" for n in range(900))
    + "@misc{b, title = s899}",
    "NUL": "@article{\0a, title={\0" + "\0" * 40_000 + "}}",
    "lines": "\n" * 1_900_000 + "@",
    "commands": "\n".join(
        f"@a{{k{n}, title={{T{n}}}, abstract={{{chr(92)}{chr(34)}o{'{a}' * 900}}}}}" for n in range(400)
    ),
    "an abstract of commands": "@a{k, title={T}, abstract={" + r"\'o" * 5_000 + "}}",
    "quotes": '@misc{a, title = "' + 'a" ' * 80_000 + '"}',
    "parts": "@misc{a, title = " + '"x" # ' * 40_000 + '"y"}',
    "nested commands": "\n".join("@a{k, title={" + r"\sqrt{" * 600 + "}}" for _ in range(300)),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_parsing_does_not_hold_the_loop(name: str) -> None:
    found, hold = await longest_hold(lambda: entries(HOSTILE[name], BIBTEX), STEP)
    assert not isinstance(found, Exception) or isinstance(found, LibraryUnreadable), found
    assert hold < STEP


async def test_entries_become_papers_with_their_identifiers() -> None:
    brown, doe, eprint = await accepted(SOUND)
    paper = brown.article
    assert (brown.line, brown.key, paper.arxiv_id) == (3, "brown2020", "2005.14165")
    assert paper.title == "Language Models are Few-Shot Learners"
    assert paper.abstract == r"We pay $x^2 \log n$ at 50% of études"
    assert (paper.authors, paper.url) == (("Tom B. Brown", "Kurt Gödel"), None)
    assert paper.published_at is not None
    assert paper.published_at.year == 2020
    assert (doe.article.title, doe.article.doi) == ("A title with <b>markup</b> & all", "10.1145/abc.1")
    assert doe.article.authors == ("C. F. Gauss",)
    assert (eprint.line, paper_of(eprint.article).keys) == (7, ("arxiv:hep-th/9901001",))
    assert [key.partition(":")[0] for key in paper_of(paper).keys] == ["arxiv", "title"]


TITLES = {
    "a field twice": ("@article{a, title={T}, Author-Email={x}, Author-Email={y}}", ["T"]),
    "an empty field": ("@article{a, , title={T},, year=2020,}", ["T"]),
    "an empty title before the title": ("@article{a, title={}, title={T}}", ["T"]),
    "a title twice": ("@article{a, title={T}, title={U}}", ["T"]),
    "an empty title after the title": ("@article{a, title={T}, title={}}", ["T"]),
    "no key": ("@article{\n title={T}\n}\n@article{title={U}}", ["T", "U"]),
    "a key without a comma": ("@article{a\n title={T}}", ["T"]),
    "a key with blanks": ("@article{a b c,\n title={T}}", ["T"]),
    "a comma too few": ("@article{a, title={T} year={2020}}", ["T"]),
    "an @ that begins a line": (
        "@article{a, title={T}, abstract={to\n@author or\n@you{}}}\n@article{b, title={U}}",
        ["T", "U"],
    ),
    "an entry in an abstract": (
        "@a{a, title={T}, abstract={{as\n@article{x, title={X}}\n}}}\n@a{b, title={U}}",
        ["T", "U"],
    ),
    "text before an entry": ("% Encoding: UTF-8 @article{a, title={T}} and @article{b, title={U}}", ["T", "U"]),
    "parentheses": ('@article(a, title="T (1)", note="x)")\n@article{b, title={U}}', ["T (1)", "U"]),
    "strings": (
        '@string{s = "S"} @string(t = s # " and T")\n@misc{a, title = "On " # t # { of } # 2020}',
        ["On S and T of 2020"],
    ),
    "a string that nobody gave": ("@misc{a, title = unknown}", ["unknown"]),
    "quotes within quotes": ('@misc{a, title = "He said "no" twice", year = 2020}', ['He said "no" twice']),
    "an accent within quotes": ('@misc{a, title = "G\\"odel", year = 2020}', ["Gödel"]),
    "a comment": ("@comment{jabref-meta: @article{x, title={X}};}\n@misc{a, title={T}}", ["T"]),
    "a preamble": ('@preamble{"\\newcommand{\\x}{y}"}\n@misc{a, title={T}}', ["T"]),
    "the last brace is missing": ("@misc{a, title={T}, year={2020}\n\n@misc{b, title={U}}", ["T", "U"]),
    "a brace too many": ("@misc{a, title={T}}, year={2020}}\n@misc{b, title={U}}", ["T", "U"]),
    "a subtitle": ("@book{a, title={T}, subtitle={U}}", ["T: U"]),
    "a book's own title": ("@proceedings{a, booktitle={Proc. T}}", ["Proc. T"]),
    "a type with a mark": ("@book_section{a, title={T}}", ["T"]),
    "the ends of lines of old": ("@misc{a,\r title={T}\r}\r\r@misc{b,\r title={U}\r}\r", ["T", "U"]),
}


@pytest.mark.parametrize("name", TITLES)
async def test_common_mistakes_are_accepted(name: str) -> None:
    library, titles = TITLES[name]
    assert [entry.article.title for entry in await accepted(library)] == titles
    assert await rejected(library) == []


@pytest.mark.parametrize("size", [1, 7, 100, 9_000])
async def test_pieces_may_end_anywhere(size: int) -> None:
    library = SOUND + "".join(text for text, _ in TITLES.values() if "\r" not in text)
    assert await entries(library, pieces=size) == await entries(library)


async def test_an_error_names_the_line_and_the_key() -> None:
    library = (
        "@misc{a, title={A sound one}}\n\n@misc{b, year=1}\n@misc{c, title={x\n@misc{d, title}\n@article no, brace"
    )
    found = [(each.line, each.key) for each in await rejected(library)]
    assert found == [(3, "b"), (4, "c"), (5, "d"), (6, "")]


async def test_a_step_may_end_within_the_start_of_an_entry() -> None:
    for padding in range(0, 700, 9):
        library = "@misc{a, title={T}\n" + " " * padding + "\n\n@misc{b, title={U}}" + "\n" * 650
        assert [entry.key for entry in await accepted(library)] == ["a", "b"], padding


async def test_a_field_that_contains_others_is_rejected() -> None:
    library = "@misc{a,\n title={T {x},\n year={2020},\n}\n\n@misc{b, title={U}}"
    assert [(each.key, each.reason) for each in await rejected(library)] == [
        ("a", "a brace is not closed: one field holds others")
    ]
    assert [each.key for each in await accepted(library)] == ["b"]


async def test_entries_that_are_too_large_affect_no_others() -> None:
    long = "@misc{a, title={" + "x " * MAX_ENTRY + "}}\n"
    deep = "@misc{b, title={" + "{" * 200 + "}" * 200 + "}}\n"
    marks = "@misc{c, title={" + "{}" * 40_000 + "}}\n"
    library = long + deep + marks + "@misc{d, title={T}}"
    assert [each.key for each in await rejected(library)] == ["a", "b", "c"]
    assert [(each.key, each.line) for each in await accepted(library)] == [("d", 4)]


async def test_missing_fields_come_from_the_crossref() -> None:
    library = """@inproceedings{p, crossref={c}, title={T}} @inproceedings{q, title={U}, crossref={c}, year=1999}
    @proceedings{c, title={Proc.}, year=2001, publisher={P}}
    @inproceedings{r, title={V}, crossref={C}} @article{s, title={W}, crossref={none}}"""
    found = {each.key: each.publication for each in await accepted(library)}
    assert {key: (each.container, each.date, each.publisher) for key, each in found.items()} == {
        "p": ("Proc.", "2001", "P"),
        "q": ("Proc.", "1999", "P"),
        "r": ("Proc.", "2001", "P"),
        "s": ("", "", ""),
        "c": ("", "2001", "P"),
    }


async def test_the_first_of_two_entries_with_a_key_is_the_parent() -> None:
    library = "@book{b, title={B}, year=2001} @book{b, title={C}, year=2002} @inbook{c, title={T}, crossref={b}}"
    chapter = next(each for each in await accepted(library) if each.key == "c")
    assert (chapter.publication.container, chapter.publication.date) == ("B", "2001")


async def test_xdata_provides_fields_and_is_not_an_entry() -> None:
    library = "@xdata{x, publisher={P}, xdata={y}} @book{b, title={T}, xdata={x}} @xdata{y, date={2003-05}}"
    (book,) = await accepted(library)
    assert (book.publication.publisher, book.publication.date) == ("P", "2003-05")
    assert await rejected(library) == []


async def test_a_cycle_of_references_ends() -> None:
    library = "@misc{a, title={T}, crossref={b}} @misc{b, title={U}, crossref={a}} @misc{c, title={V}, crossref={c}}"
    assert sorted(each.article.title for each in await accepted(library)) == ["T", "U", "V"]


DATES = {
    "year={2002}, date={24-26 May, 2002}": "2002-05-24",
    "year={2002}, date={unclear}": "2002",
    "year=2020, month=nov": "2020-11",
    'year=2020, month="28 nov"': "2020-11-28",
    "year=2020, month=nov # {~3}": "2020-11-03",
    "year={2020}, month={11}, day={3}": "2020-11-03",
    "date={2020-11-03/2020-11-05}": "2020-11-03",
    "date={2020-11}": "2020-11",
    "year={c. 1998}": "1998",
    "year={1998/1999}": "1998",
    r"year={\noopsort{1973a}1975}": "1975",
    "year={in press}": "",
    "year={2020}, month={Spring}": "2020",
}


@pytest.mark.parametrize("fields", DATES)
async def test_dates_are_as_precise_as_the_entry(fields: str) -> None:
    (entry,) = await accepted(f"@misc{{a, title={{T}}, {fields}}}")
    assert entry.publication.date == DATES[fields]


async def test_identifiers_are_found_in_all_usual_fields() -> None:
    fields = {
        r"url={https://arxiv.org/abs/2005.14165v2}": ("2005.14165", None),
        r"journal={CoRR}, volume={abs/1706.03762}": ("1706.03762", None),
        r"note={arXiv:1412.6980 [cs.LG]}": ("1412.6980", None),
        r"doi={10.48550/arXiv.2005.14165}": ("2005.14165", "10.48550/arxiv.2005.14165"),
        r"eprint={1234.5678}, eprinttype={jstor}": (None, None),
        r"url={https://doi.org/10.1000/X_1}": (None, "10.1000/x_1"),
        r"doi={10.1000/x\_1}": (None, "10.1000/x_1"),
        r"doi={http://doi.acm.org/10.1145/1.2}": (None, "10.1145/1.2"),
        r"doi={10.1002/(SICI)1-2(1998)1:4{$<$}3::AID-X{\textgreater}3.0.CO;2-P}": (
            None,
            "10.1002/(sici)1-2(1998)1:4<3::aid-x>3.0.co;2-p",
        ),
    }
    for text, expected in fields.items():
        (entry,) = await accepted(f"@misc{{a, title={{T}}, {text}}}")
        assert (entry.article.arxiv_id, entry.article.doi) == expected, text


async def test_urls_are_extracted_from_tex_commands() -> None:
    for field in (
        r"howpublished={\url{http://a.example/~x--y_1}}",
        r"url={http://a.example/\~{}x--y\_1}",
        "note={see http://a.example/~x--y_1}",
    ):
        (entry,) = await accepted(f"@misc{{a, title={{T}}, {field}}}")
        assert entry.article.url == "http://a.example/~x--y_1", field


async def test_no_number_of_commands_leaves_accents_as_tex() -> None:
    entry = "@misc{{k{0}, title={{Zale\\.zno\\'s\\'c {0}}}, author={{W\\'ojcik, J\\'ozef}}, abstract={{{1}}}}}\n"
    library = "".join(entry.format(number, r"\'Srednio " * 600) for number in range(200))
    found = await accepted(library)
    assert {each.article.authors for each in found} == {("Józef Wójcik",)}
    assert [each.article.title for each in found] == [f"Zależność {number}" for number in range(200)]
    assert all(
        each.article.abstract.startswith("Średnio Średnio") and "\\" not in each.article.abstract for each in found
    )


async def test_random_text_is_parsed_without_an_exception() -> None:
    chance = random.Random(7)
    pieces = ["@", "{", "}", '"', "\\", "\n@article{k,", "title=", ",", "#", "$", "(", ")", "\0", "é", " and "]
    for _ in range(300):
        text = "@misc{k, title={" + "".join(chance.choices(pieces, k=chance.randrange(200)))
        for entry in await accepted(text.replace("\0", ""), BIBTEX):
            assert entry.article.title or entry.article.arxiv_id or entry.article.doi


NAMES = {
    "Chen, Xi": "Xi Chen",
    "Roe, V": "V Roe",
    "Roe, VI": "VI Roe",
    "Roe, III": "Roe, III",
    "Roe, Jr., Paul W.": "Paul W. Roe, Jr.",
    "Roe, III, Paul": "Paul Roe, III",
    "Roe, Paul, V": "Paul Roe, V",
    "Roe, JR": "Roe, JR",
    "{The A, B and C Group}": "The A, B and C Group",
    "family=Roe, given=Xi, suffix=Jr.": "Xi Roe, Jr.",
    "prefix=van der, family=Berg, given=Jan": "Jan van der Berg",
    # Three parts without a suffix, and more than three, are no form of BibTeX.
    "Roe, Paul, Ann": "Roe, Paul, Ann",
    "Roe, Paul, Ann, Jr.": "Roe, Paul, Ann, Jr.",
    f"Roe, Paul, {'a' * 120}": f"Roe, Paul, {'a' * 108}…",
    f"{'r' * 120}, Paul, Ann, Jr.": f"{'r' * 119}…",
}


@pytest.mark.parametrize("name", NAMES)
async def test_a_name_is_not_read_as_a_suffix(name: str) -> None:
    (entry,) = await accepted(f"@misc{{a, title={{T}}, author={{{name} and Doe, Jane}}}}")
    assert entry.article.authors == (NAMES[name], "Jane Doe")
