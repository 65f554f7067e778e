"""The ranking: its quality for labelled readers compared with bm25s, and its CPU time and memory in a worker.

DATA=folder contains sets of labelled readers; without it, a small invented set shows only that everything runs.
"""

import asyncio
import os
import time
import tracemalloc
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import bm25s
import numpy as np
import Stemmer

from app.models import Article, ArticleKind, Profile, RatedPaper
from app.ranking.counts import count
from app.ranking.index import Index
from app.ranking.ranking import RankingSettings, rank
from app.ranking.scores import Scores as Scoring
from app.ranking.taste import FeedbackModel
from app.ranking.vectors import vector_of
from app.ranking.wish import InterestQuery
from benchmarks.processes import resident_mb
from benchmarks.ranking_edition import DAY, NOON, Inventor
from benchmarks.ranking_readers import Labelled, Paper, Ranker, Reader, Scores, interval, invented_set, read_sets
from benchmarks.report import percentile, save, show

LIKES, DRAWS = (0, 1, 3, 5, 10, 20), 4
PAPERS, READERS, MANY = 1_500, 200, 5_000


def rival(labelled: Labelled) -> Ranker:
    """bm25s with its stop words and Snowball's stems, on title and abstract; it ignores liked papers."""
    stemmer = Stemmer.Stemmer("english")
    texts = [f"{document.title} {document.abstract or ''}" for document in labelled.documents]
    index = bm25s.BM25()
    index.index(bm25s.tokenize(texts, stopwords="en", stemmer=stemmer, show_progress=False), show_progress=False)

    def scores(reader: Reader, _liked: Sequence[Paper]) -> Scores:
        asked = " ".join([*reader.interests, reader.goals])
        tokens = bm25s.tokenize([asked], stopwords="en", stemmer=stemmer, return_ids=False, show_progress=False)
        return np.asarray(index.get_scores(tokens[0]), dtype=np.float64)

    return scores


def ours(labelled: Labelled) -> Ranker:
    """Our ranking: the edition's index and scores; an excluded duplicate is last."""
    articles = [_article(document.id, document) for document in labelled.documents]
    index = asyncio.run(_indexed(articles))
    place = {article.external_id: number for number, article in enumerate(index.articles)}
    numbers = np.array([place.get(document.id, len(place)) for document in labelled.documents])

    def scores(reader: Reader, liked: Sequence[Paper]) -> Scores:
        # Without validation, because a title may be longer than the service's limit for an interest.
        profile = Profile.model_construct(name="Reader", goals=reader.goals, interests=tuple(reader.interests))
        taste = FeedbackModel.of([_rated(paper) for paper in liked], DAY)
        strengths: Scores = np.append(Scoring(index, profile, InterestQuery.of(profile), taste).strength, -1)
        return np.take(strengths, numbers)

    return scores


async def _indexed(articles: Sequence[Article]) -> Index:
    return await Index.of([await count(articles)], DAY)


def _article(name: str, paper: Paper) -> Article:
    abstract = paper.abstract or ""
    return Article(source="set", external_id=name, kind=ArticleKind.PAPER, title=paper.title, abstract=abstract)


def _rated(paper: Paper) -> RatedPaper:
    vector = vector_of(paper.title, paper.abstract or "")
    return RatedPaper(title=paper.title, liked=True, rated_at=NOON, vector=vector)


def quality(labelled: Labelled) -> dict[str, dict[str, float]]:
    """nDCG@10, inversion loss and the paired difference to bm25s, by how many papers are liked."""
    other, own = rival(labelled), ours(labelled)
    base = [labelled.ndcg(reader, other(reader, ())) for reader in labelled.readers]
    found = {"bm25s": _row(base, base, _loss(labelled, other, 0, 0))}
    for likes in LIKES if any(reader.liked for reader in labelled.readers) else (0,):
        draws = range(DRAWS if 0 < likes < max(LIKES) else 1)
        each = [
            [labelled.ndcg(reader, own(reader, reader.few(likes, draw))) for reader in labelled.readers]
            for draw in draws
        ]
        loss = float(np.mean([_loss(labelled, own, likes, draw) for draw in draws]))
        found[f"{likes} liked"] = _row(np.mean(each, axis=0).tolist(), base, loss)
    return found


def _loss(labelled: Labelled, ranker: Ranker, likes: int, draw: int) -> float:
    pairs = [labelled.inversions(each, ranker(each, each.few(likes, draw))) for each in labelled.readers]
    return sum(wrong for wrong, _ in pairs) / max(sum(total for _, total in pairs), 1e-9)


def _row(values: Sequence[float], base: Sequence[float], loss: float) -> dict[str, float]:
    mean, low, high = interval([value - other for value, other in zip(values, base, strict=True)])
    return {"ndcg": float(np.nanmean(values)), "loss": loss, "difference": mean, "low": low, "high": high}


async def cost() -> dict[str, float]:
    """CPU time in milliseconds for a first and a further reader of an edition, and the memory of its index."""
    invented = Inventor().edition(PAPERS, READERS, likes=200)
    found = await _first(invented.articles)
    index = await _indexed(invented.articles)
    for likes in (0, 20, 200):
        took = []
        for profile, liked in zip(invented.readers, invented.liked, strict=True):
            begin = time.thread_time()
            await rank(index, profile, RankingSettings(), liked[:likes])
            took.append((time.thread_time() - begin) * 1e3)
        found[f"further_reader_{likes}_liked_ms"] = percentile(took, 0.5)
    return found


async def _first(articles: Sequence[Article]) -> dict[str, float]:
    steps: list[float] = []
    watching = asyncio.create_task(_watch(steps))
    await asyncio.sleep(0)
    begin = time.thread_time()
    await _indexed(articles)
    took = time.thread_time() - begin
    watching.cancel()
    tracemalloc.start()
    index = await _indexed(articles)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return {
        "index_papers": float(len(index.articles)),
        "index_ms": took * 1e3,
        "longest_step_ms": max(steps) * 1e3,
        "index_mb": held / 1e6,
    }


async def _watch(steps: list[float]) -> None:
    last = time.thread_time()
    while True:
        await asyncio.sleep(0)
        now = time.thread_time()
        steps.append(now - last)
        last = now


async def many_readers() -> dict[str, float]:
    """Rank one edition for many readers in turn: the growth of memory, and the share of the edition that is shown."""
    invented = Inventor().edition(PAPERS, MANY, likes=20)
    index = await _indexed(invented.articles)
    shown: set[str] = set()
    after: list[float] = []
    for number, (profile, liked) in enumerate(zip(invented.readers, invented.liked, strict=True), start=1):
        ranking = await rank(index, profile, RankingSettings(), liked)
        shown |= {item.article.external_id for item in ranking.papers}
        if number in (MANY // 10, MANY):
            after.append(resident_mb())
    return {"readers": MANY, "different_papers_shown": len(shown), "memory_growth_mb": after[1] - after[0]}


def main() -> None:
    """Measure, print and save."""
    folder = os.environ.get("DATA")
    sets = read_sets(Path(folder)) if folder else {"invented": invented_set()}
    if not folder:
        print("DATA is not set: this set is invented, so its figures do not measure quality.\n")
    measured: dict[str, Any] = {name: quality(labelled) for name, labelled in sets.items()}
    for name, found in measured.items():
        show(
            f"ranking, {name}: {len(sets[name].readers)} readers; the difference to bm25s with its 95 % interval",
            ["", "nDCG@10", "loss", "difference", "from", "to"],
            [[row, *(f"{value:.3f}" for value in each.values())] for row, each in found.items()],
        )
    costs = asyncio.run(cost()) | asyncio.run(many_readers())
    show(
        f"ranking, CPU time and memory: {PAPERS:,} invented papers",
        ["figure", "value"],
        [[name.replace("_", " "), f"{value:,.1f}"] for name, value in costs.items()],
    )
    save("ranking", {"sets": measured, "cost": costs})


if __name__ == "__main__":
    main()
