"""Invented editions and readers: words by Zipf's law, each paper of one of many subjects."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import accumulate
from typing import Any

from app.models.articles import Article, ArticleKind
from app.models.profiles import Profile, RatedPaper
from app.ranking.vectors import vector_of

DAY = date(2026, 11, 22)
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
SUBJECTS, SUBJECT_WORDS = 120, 60
COMMON_WORDS, OWN_SHARE = 30_000, 0.3
# An abstract of 180 words has about this many words with a meaning.
TITLE, ABSTRACT = 9, 110
POOL = 30
"""Papers per subject, of which readers like some."""


@dataclass(frozen=True)
class Invented:
    """Papers, and readers who are each interested in two subjects."""

    articles: Sequence[Article]
    readers: Sequence[Profile]
    liked: Sequence[Sequence[RatedPaper]]


class Inventor:
    """Generates papers of invented words; the same seed generates the same papers."""

    def __init__(self, seed: int = 1) -> None:
        self._dice = random.Random(seed)
        self._common = [self._word() for _ in range(COMMON_WORDS)]
        # Cumulated once: each choice would otherwise add up all of them.
        self._weights = list(accumulate(1 / (rank + 3) for rank in range(COMMON_WORDS)))
        self._pools: dict[int, list[RatedPaper]] = {}
        self._subjects = [[self._word() for _ in range(SUBJECT_WORDS)] for _ in range(SUBJECTS)]

    def edition(self, papers: int, readers: int, likes: int) -> Invented:
        """Generate an edition, and readers with `likes` liked papers each."""
        subjects = [self._dice.sample(range(SUBJECTS), 2) for _ in range(readers)]
        return Invented(
            [self._article(number) for number in range(papers)],
            [self._reader(number, each) for number, each in enumerate(subjects)],
            [[self._liked(self._dice.choice(each)) for _ in range(likes)] for each in subjects],
        )

    def labelled(self, documents: int, readers: int, likes: int) -> dict[str, Any]:
        """Generate labelled readers; each names half of the wanted subjects as interests, and likes papers of all."""
        written = [(self._dice.randrange(SUBJECTS), number) for number in range(documents)]
        papers = [
            {"id": str(number), "title": self._text(subject, TITLE), "abstract": self._text(subject, ABSTRACT)}
            for subject, number in written
        ]
        return {"documents": papers, "readers": [self._judge(str(each), written, likes) for each in range(readers)]}

    def _judge(self, name: str, written: Sequence[tuple[int, int]], likes: int) -> dict[str, Any]:
        one, other = self._dice.sample(range(SUBJECTS), 2)
        worth = {one: 5, other: 5}
        liked = [self._dice.choice((one, other)) for _ in range(likes)]
        return {
            "reader": name,
            "interests": [" ".join(self._dice.sample(self._subjects[one], 3)) for _ in range(2)],
            "goals": "",
            "liked": [{"title": self._text(each, TITLE), "abstract": self._text(each, ABSTRACT)} for each in liked],
            "grades": {str(number): worth.get(subject, self._dice.choice((1, 2))) for subject, number in written},
        }

    def _word(self) -> str:
        return "".join(self._dice.choice("bdfgklmnprstvz") + self._dice.choice("aeiou") for _ in range(4))

    def _text(self, subject: int, length: int) -> str:
        own = self._dice.choices(self._subjects[subject], k=round(length * OWN_SHARE))
        words = own + self._dice.choices(self._common, cum_weights=self._weights, k=length - len(own))
        self._dice.shuffle(words)
        return " ".join(words)

    def _article(self, number: int) -> Article:
        subject = self._dice.randrange(SUBJECTS)
        return Article(
            source="arxiv",
            external_id=f"2513.{number:05d}",
            kind=ArticleKind.PAPER,
            title=self._text(subject, TITLE),
            abstract=self._text(subject, ABSTRACT),
            authors=tuple(f"{self._word().title()} {self._word().title()}" for _ in range(5)),
            url=f"https://example.org/abs/2513.{number:05d}",
            categories=(f"cs.{'ABCDEFGH'[subject % 8]}L",),
            published_at=NOON,
        )

    def _reader(self, number: int, subjects: Sequence[int]) -> Profile:
        interests = [" ".join(self._dice.sample(self._subjects[subject], 3)) for subject in subjects for _ in range(3)]
        return Profile(name=f"Reader {number}", interests=tuple(interests), categories=("cs.AL",))

    def _liked(self, subject: int) -> RatedPaper:
        if subject not in self._pools:
            self._pools[subject] = [self._rated(subject) for _ in range(POOL)]
        return self._dice.choice(self._pools[subject])

    def _rated(self, subject: int) -> RatedPaper:
        title = self._text(subject, TITLE)
        vector = vector_of(title, self._text(subject, ABSTRACT))
        return RatedPaper(title=title, liked=True, rated_at=NOON, vector=vector)
