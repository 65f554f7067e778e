"""Words as numbers: cheap to count, to compare and to hash, and the same in every process."""

from collections.abc import Sequence
from typing import Final

from app.digest.profile_terms import Stems, words

_BEGINNING: Final = 2


class Vocabulary(dict[str, int]):
    """Numbers words in the order of their first appearance, and knows which of them are terms of a profile."""

    def __init__(self, terms: Sequence[str], stems: Stems) -> None:
        super().__init__()
        self._stems = stems
        self._numbers = {term: number for number, term in enumerate(terms, start=1)}
        # Stemming changes the end of a word: one that begins like no term is none, and need not be stemmed.
        self._beginnings = {term[:_BEGINNING] for term in terms}
        self._term_of: list[int] = []

    def __missing__(self, word: str) -> int:
        number = self[word] = len(self)
        stem = self._stems.of(word) if word[:_BEGINNING] in self._beginnings else ""
        self._term_of.append(self._numbers.get(stem, 0))
        return number

    def words(self, text: str) -> list[int]:
        """Return the text's words as numbers."""
        return list(map(self.__getitem__, words(text)))

    def terms(self, words: Sequence[int]) -> list[int]:
        """Return for each word n + 1 if it is the n-th term, 0 if it is none."""
        term_of = self._term_of
        return [term_of[word] for word in words]
