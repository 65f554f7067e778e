"""Libraries that nobody wrote, with what must become of each of their entries."""

from dataclasses import dataclass

from hypothesis import strategies as st

WORDS = ("ice", "radar", "{Whales}", "\\'{e}t\\'{e}", "\u00fcber", "$x^2$", "\\& more", "\u4e2d\u6587")
BETWEEN = (
    "\n",
    "\n\n",
    "% a comment\n",
    "some text between, me@example.org\n",
    "@comment{x}\n",
    "@string{j = {J. Ice}}\n",
)


@dataclass(frozen=True)
class GeneratedLibrary:
    """A BibTeX file in pieces, and its entries: different papers, repeated ones, and rejected ones by their keys."""

    pieces: tuple[bytes, ...]
    entries: int
    papers: int
    repeated: int
    rejected_keys: frozenset[str]

    @property
    def rejected(self) -> int:
        return len(self.rejected_keys)


@st.composite
def libraries(draw: st.DrawFn) -> GeneratedLibrary:
    """Up to 260 entries, more than a batch: some of them again, some without anything that names a paper."""
    papers = draw(st.lists(st.integers(0, 200), max_size=260))
    text, lost = draw(st.sampled_from(BETWEEN)), set[str]()
    for place, number in enumerate(papers):
        if draw(st.integers(0, 9)) == 0:
            lost.add(f"lost{place}")
            text += f"@article{{lost{place}, year = {{2021}}}}"
        else:
            text += _entry(number, draw(st.sampled_from(WORDS)))
        text += draw(st.sampled_from(BETWEEN))
    sound = len(papers) - len(lost)
    different = len({n for place, n in enumerate(papers) if f"lost{place}" not in lost})
    content = text.encode("latin-1", "ignore") if draw(st.booleans()) else text.encode()
    size = draw(st.sampled_from((997, 4_001, 100_000)))
    pieces = tuple(content[start : start + size] for start in range(0, len(content), size))
    return GeneratedLibrary(pieces, len(papers), different, sound - different, frozenset(lost))


def _entry(number: int, word: str) -> str:
    return (
        f"@article{{paper{number},\n title = {{The paper {number} of them says {word}}},\n"
        f" doi = {{10.5555/generated.{number}}},\n abstract = {{About {word} and {number}.}}\n}}"
    )
