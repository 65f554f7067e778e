"""BibTeX input: parsed as papers or refused with the line, and never in one long step."""

import random

import pytest

from app.ranking.reader_paper import paper_of
from app.sources.bibtex import MAX_ENTRIES, MOST_NAMED, BibtexReader
from tests.support.bibtex import SOUND
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
    "nested commands": "\n".join("@a{k, title={" + r"\sqrt{" * 600 + "}}" for _ in range(300)),
}


async def read(text: str) -> BibtexReader:
    reader = BibtexReader()
    await reader.read(text)
    return reader


async def test_entries_become_papers_with_their_identifiers() -> None:
    brown, doe, eprint = (await read(SOUND)).entries
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


async def test_an_error_names_the_line_and_the_key() -> None:
    bad = (await read("@misc{a, title={A sound one}}\n\n@misc{b, year=1}\n@misc{c, title={x\n@misc{d, title}\n")).bad
    assert [(each.line, each.key) for each in bad] == [(3, "b"), (4, "c"), (5, "d")]
    assert len((await read("@misc{b, year=1}\n" * 50)).bad) == MOST_NAMED
    many = await read("".join(f"@misc{{k{n}, title={{T{n}}}}}\n" for n in range(MAX_ENTRIES + 1)))
    assert "more than 500 entries" in str(many.bad[0])


@pytest.mark.parametrize("name", HOSTILE)
async def test_parsing_does_not_hold_the_loop(name: str) -> None:
    """The limit is about ten times the duration of a step."""
    reader, hold = await longest_hold(lambda: read(HOSTILE[name]), 0.1)
    assert not isinstance(reader, Exception), reader
    assert hold < 0.1


async def test_any_input_is_parsed_or_refused() -> None:
    chance = random.Random(7)
    pieces = [
        "@",
        "{",
        "}",
        '"',
        "\\",
        "\n@article{k,",
        "title=",
        ",",
        "#",
        "$",
        "(",
        ")",
        "\0",
        "é",
        " and ",
    ]
    for _ in range(300):
        text = "@misc{k, title={" + "".join(chance.choices(pieces, k=chance.randrange(200)))
        reader = await read(text)
        assert all(entry.article.title or entry.article.arxiv_id for entry in reader.entries)
