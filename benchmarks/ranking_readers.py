"""Labelled readers: sets read from a folder, or a small invented set."""

import json
import math
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel

from benchmarks.ranking_edition import Inventor

Scores = npt.NDArray[np.floating]
Ranker = Callable[["Reader", Sequence["Paper"]], Scores]
"""Scores all documents of a set for a reader who likes these papers."""

FOREGROUND: Final = 10
_GOOD: Final = 3
_RESAMPLES: Final = 4_000


class Paper(BaseModel):
    """A paper that a reader likes."""

    title: str
    abstract: str | None = None


class Document(Paper):
    """A paper of a set."""

    id: str


class Reader(BaseModel):
    """A reader's interests and liked papers, and their grades of documents: 1 to 5, or 1 for relevant."""

    reader: str
    interests: list[str]
    goals: str
    liked: list[Paper]
    grades: dict[str, float]

    def few(self, count: int, draw: int) -> list[Paper]:
        """Draw `count` liked papers, if possible from those that the interests do not name."""
        if count >= len(self.liked):
            return self.liked
        others = [paper for paper in self.liked if paper.title not in self.interests] or self.liked
        return random.Random(f"{self.reader}-{draw}").sample(others, min(count, len(others)))


class Labelled(BaseModel):
    """A set of documents and readers."""

    documents: list[Document]
    readers: list[Reader]

    @property
    def graded(self) -> bool:
        """Whether it has grades, not only relevant or not."""
        return any(grade > 1 for reader in self.readers for grade in reader.grades.values())

    def ndcg(self, reader: Reader, scores: Scores) -> float:
        """nDCG@10 for one reader; ungraded documents have no value."""
        gains = [_gain(reader.grades.get(document.id, 0.0), graded=self.graded) for document in self.documents]
        order = np.argsort(-scores, kind="stable")[:FOREGROUND]
        best = _dcg(sorted(gains, reverse=True)[:FOREGROUND])
        return _dcg([gains[place] for place in order]) / best if best else math.nan

    def wanted(self, reader: Reader) -> npt.NDArray[np.bool_]:
        """Which documents a reader wanted."""
        gains = [_gain(reader.grades.get(document.id, 0.0), graded=self.graded) for document in self.documents]
        return np.array(gains) > 0

    def inversions(self, reader: Reader, scores: Scores) -> tuple[float, float]:
        """The weight of a reader's wrongly ordered pairs, and of all pairs; the weight is the difference of grades."""
        place = {document.id: number for number, document in enumerate(self.documents)}
        judged = [(grade, float(scores[place[name]])) for name, grade in reader.grades.items()]
        wrong = total = 0.0
        for number, (grade, score) in enumerate(judged):
            for other, than in judged[:number]:
                total += abs(grade - other)
                if grade != other:
                    order = (score - than) * (grade - other)
                    wrong += abs(grade - other) * (0.5 if order == 0 else float(order < 0))
        return wrong, total


class Windows(BaseModel):
    """A set of windows, each with different readers whose candidates come from this window only."""

    windows: list[Labelled]


def read_sets(folder: Path) -> dict[str, list[Labelled]]:
    """Read every set of a folder and of its folder `windows`, by its file's name, as windows.

    Raises `FileNotFoundError` if there is none.
    """
    files = sorted([*folder.glob("*.json"), *folder.glob("windows/*.json")])
    if not files:
        raise FileNotFoundError(f"{folder} holds no set: put files of documents and readers there, as NAME.json.")
    return {file.stem: _windows(json.loads(file.read_text(encoding="utf-8"))) for file in files}


def _windows(read: dict[str, Any]) -> list[Labelled]:
    return Windows.model_validate(read).windows if "windows" in read else [Labelled.model_validate(read)]


def pooled(windows: Sequence[Labelled], count: int) -> list[Labelled]:
    """Add to the documents of each window those of the windows behind it, up to `count` windows; readers stay theirs.

    Nobody graded the added documents for a reader, so that some are unwanted only because nobody looked.
    """
    if count < 1:
        raise ValueError(f"WINDOWS is {count}: set it to 1 or more.")
    several = [*windows, *windows]
    return [
        Labelled(
            documents=[
                document for each in several[number : number + min(count, len(windows))] for document in each.documents
            ],
            readers=window.readers,
        )
        for number, window in enumerate(windows)
    ]


_NUMBERED = re.compile(r"(.+?)[-_]?\d+")


def numbered(names: Iterable[str]) -> dict[str, list[str]]:
    """Group the sets that are draws of one set (`d_20_1`, `d_20_2`), by the common part of their names."""
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for name in names:
        if found := _NUMBERED.fullmatch(name):
            groups[found[1]].append(name)
    return {group: each for group, each in groups.items() if len(each) > 1}


def invented_set() -> Labelled:
    """A small set of invented words: its figures show only that everything runs."""
    return Labelled.model_validate(Inventor(seed=7).labelled(documents=400, readers=24, likes=20))


def _gain(grade: float, *, graded: bool) -> float:
    return max(0.0, grade - _GOOD) if graded else grade


def _dcg(gains: Sequence[float]) -> float:
    return sum(gain / math.log2(place + 2) for place, gain in enumerate(gains))


def interval(differences: Sequence[float]) -> tuple[float, float, float]:
    """The mean of paired differences, and the ends of its 95 % bootstrap interval."""
    known = np.array([each for each in differences if not math.isnan(each)])
    dice = np.random.default_rng(1)
    means = known[dice.integers(0, len(known), (_RESAMPLES, len(known)))].mean(axis=1)
    low, high = np.percentile(means, [2.5, 97.5])
    return float(known.mean()), float(low), float(high)
