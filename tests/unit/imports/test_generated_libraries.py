"""Generated libraries: every entry is accepted or rejected, whatever text surrounds it."""

import json

from hypothesis import given
from hypothesis import strategies as st

from app.imports.entries import AcceptedEntry
from app.imports.library import BIBTEX, CSL_JSON, RIS
from tests.support.libraries import entries

WORDS = st.text(st.sampled_from("abc é\u4e2d.:-'ß"), max_size=20)
BALANCED = st.recursive(
    st.one_of(WORDS, st.sampled_from(["$x$", r"\'e", r"\&", "#", "%", "\n", "\n@author", " @b c", '"q"', "~", "="])),
    lambda inner: st.lists(inner, max_size=4).map(lambda parts: "{" + " ".join(parts) + "}"),
    max_leaves=12,
)
KEYS = st.one_of(st.just(""), st.from_regex(r"[a-zA-Z0-9:_/.+-]{1,12}", fullmatch=True))
FIELDS = st.lists(
    st.tuples(st.sampled_from(["note", "year", "author", "abstract", "note", "x-y"]), BALANCED), max_size=4
)
BETWEEN = st.sampled_from(
    ["\n", "\n\n", "", " ", "% a comment\n", "mail me@example.org ", "\n@comment{x {y}}\n", "}", "\n,\n"]
)
BREAKAGES = st.sampled_from(["", "", "", "closing", "title"])


@st.composite
def bibtex(draw: st.DrawFn) -> tuple[str, list[bool]]:
    """A library and, for each of its entries, whether it is complete."""
    text, whole = draw(BETWEEN), []
    for _ in range(draw(st.integers(0, 6))):
        breakage = draw(BREAKAGES)
        title = "" if breakage == "title" else f"title = {{T {draw(BALANCED)}}},"
        fields = "".join(f"\n  {name} = {{{value}}}," for name, value in draw(FIELDS))
        end = "\n\n" if breakage == "closing" else "\n}" + draw(BETWEEN)
        text += f"\n@article{{{draw(KEYS)},\n  {title}{fields}{end}"
        whole.append(breakage != "title")
    return text, whole


@given(bibtex(), st.sampled_from([0, 13, 1_000]))
async def test_every_entry_of_bibtex_is_accounted_for(library: tuple[str, list[bool]], pieces: int) -> None:
    text, whole = library
    found = await entries(text, BIBTEX, pieces=pieces)
    assert len(found) == len(whole), text
    accepted = [isinstance(entry, AcceptedEntry) for entry in sorted(found, key=lambda entry: entry.line)]
    assert accepted == whole, text


VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), WORDS, st.sampled_from(['"', "\\", "{", "}", "[", "]}"])),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=8,
)
ITEMS = st.lists(
    st.dictionaries(st.sampled_from(["title", "author", "issued", "DOI", "id", "note"]), VALUES), max_size=6
)


@given(ITEMS, st.booleans(), st.sampled_from([None, 1]), st.sampled_from([0, 13]))
async def test_every_item_of_csl_json_is_accounted_for(
    items: list[dict[str, object]], wrapped: bool, indent: int | None, pieces: int
) -> None:
    library = json.dumps({"items": items} if wrapped else items, indent=indent)
    assert len(await entries(library, CSL_JSON, pieces=pieces)) == len(items)


@given(st.lists(st.tuples(WORDS, WORDS, st.booleans()), max_size=6), st.sampled_from([0, 13]))
async def test_every_entry_of_ris_is_accounted_for(papers: list[tuple[str, str, bool]], pieces: int) -> None:
    library = "".join(
        f"TY  - JOUR\nTI  - T{title}\nAU  - {author}\n" + ("ER  - \n\n" if ended else "")
        for title, author, ended in papers
    )
    found = await entries(library, RIS, pieces=pieces)
    assert [isinstance(entry, AcceptedEntry) for entry in found] == [True] * len(papers)
