"""Orders tests by their relevance for a fault: by the words that a test shares with the fault's description (BM25)."""

import ast
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import bm25s
import Stemmer

WORD = re.compile(r"[a-z]+")
NAME_WEIGHT = 3
"""How often a test's name counts: it says what is tested; the test's body says which objects take part."""

FEW = 10


class RelevantTests:
    """The tests of some files and folders, which can be searched by their words. A pattern is relative to `root`."""

    def __init__(self, root: Path, patterns: Sequence[str]) -> None:
        self._stem = Stemmer.Stemmer("english").stemWords
        found = dict(_tests(root, patterns))
        self._names = list(found)
        self._patterns = patterns
        self._index = bm25s.BM25()
        self._index.index([self._words(text) for text in found.values()], show_progress=False)

    def runs(self, description: str) -> list[list[str]]:
        """Return three runs: the few tests that are most relevant, all tests of their files, and all tests."""
        scores = self._index.get_scores(self._words(description))
        ordered = [name for _, name in sorted(zip(-scores, self._names, strict=True))]
        files = list(dict.fromkeys(name.partition("::")[0] for name in ordered[:FEW]))
        return [ordered[:FEW], files, [*self._patterns]]

    def _words(self, text: str) -> list[str]:
        return list(self._stem(WORD.findall(text.lower())))


def _tests(root: Path, patterns: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield the name and the text of each test."""
    for pattern in patterns:
        for path in sorted(root.glob(pattern)):
            for file in sorted(path.rglob("test_*.py")) if path.is_dir() else [path]:
                source = file.read_text(encoding="utf-8")
                for node in ast.parse(source).body:
                    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                        text = f"{node.name} " * NAME_WEIGHT + (ast.get_source_segment(source, node) or "")
                        yield f"{file.relative_to(root)}::{node.name}", text
