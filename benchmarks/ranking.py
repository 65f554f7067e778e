"""The ranking: its quality on labelled readers compared with simple baselines, and its cost for a worker.

DATA=folder contains sets of labelled readers; without it, a small invented set shows only that everything runs.
WINDOWS=3 joins each window of a set with the two behind it: the candidates are then as many as on a real day.
"""

import asyncio
import os
import time
import tracemalloc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from app.models.articles import Article, ArticleKind
from app.models.profiles import Profile, RatedPaper
from app.ranking.calibration import THRESHOLD
from app.ranking.counts import count
from app.ranking.feedback_model import FeedbackModel
from app.ranking.index import Index
from app.ranking.interest_query import InterestQuery
from app.ranking.ranking import RankingSettings, rank
from app.ranking.scores import Scores as Scoring
from app.ranking.vectors import vector_of
from benchmarks.loop_steps import loop_steps
from benchmarks.processes import resident_mb
from benchmarks.ranking_edition import DAY, NOON, Inventor
from benchmarks.ranking_readers import (
    Labelled,
    Paper,
    Ranker,
    Reader,
    Scores,
    interval,
    invented_set,
    numbered,
    pooled,
    read_sets,
)
from benchmarks.ranking_rivals import bm25, learners
from benchmarks.report import percentile, save, show

LIKES, DRAWS = (0, 1, 3, 5, 10, 20), 4
PAPERS, READERS, MANY = 1_500, 200, 5_000


def ours(labelled: Labelled) -> Ranker:
    """Our ranking: the edition's index and scores; an excluded duplicate is last."""
    articles = [_article(document.id, document) for document in labelled.documents]
    index = asyncio.run(_indexed(articles))
    place = {article.external_id: number for number, article in enumerate(index.articles)}
    numbers = np.array([place.get(document.id, len(place)) for document in labelled.documents])

    def scores(reader: Reader, liked: Sequence[Paper]) -> Scores:
        # Without validation, because a title may be longer than the service's limit for an interest.
        profile = Profile.model_construct(name="Reader", goals=reader.goals, interests=tuple(reader.interests))
        feedback = FeedbackModel.of([_rated(paper) for paper in liked], DAY)
        strengths: Scores = np.append(Scoring(index, profile, InterestQuery.of(profile), feedback).chance, -1)
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


def quality(windows: Sequence[Labelled]) -> dict[str, dict[str, float]]:
    """Each ranking's nDCG@10, loss, difference to bm25s and shares above the threshold, by number of liked papers."""
    rankers = [{"ours": ours(each), "bm25s": bm25(each), **learners(each)} for each in windows]
    known = LIKES if any(reader.liked for each in windows for reader in each.readers) else (0,)
    found: dict[str, dict[str, float]] = {}
    for likes in known:
        names = ("ours", "bm25s") if likes == 0 else rankers[0]
        values = {name: _measured(windows, [each[name] for each in rankers], likes) for name in names}
        base = values["bm25s"].ndcg
        found |= {f"{likes} liked: {name}": value.row(base) for name, value in values.items()}
    return found


@dataclass(frozen=True)
class Measured:
    """One ranking with a number of liked papers: nDCG by reader, and sums over all pairs and candidates."""

    ndcg: list[float]
    wrong: float
    pairs: float
    above: Scores
    """The shares of the wanted and of the unwanted candidates that are above the threshold."""

    def row(self, base: Sequence[float]) -> dict[str, float]:
        """Return the figures that are shown."""
        mean, low, high = interval([value - other for value, other in zip(self.ndcg, base, strict=True)])
        loss = self.wrong / max(self.pairs, 1e-9)
        shares = {"wanted": float(self.above[0]), "unwanted": float(self.above[1])}
        return {
            "ndcg": float(np.nanmean(self.ndcg)),
            "loss": loss,
            "difference": mean,
            "low": low,
            "high": high,
        } | shares


def _measured(windows: Sequence[Labelled], rankers: Sequence[Ranker], likes: int) -> Measured:
    ndcg, wrong, pairs = list[float](), 0.0, 0.0
    above = np.zeros((2, 2))
    for labelled, ranker in zip(windows, rankers, strict=True):
        for reader in labelled.readers:
            each = []
            for draw in range(DRAWS if 0 < likes < len(reader.liked) else 1):
                scores = ranker(reader, reader.few(likes, draw))
                each.append(labelled.ndcg(reader, scores))
                lost = labelled.inversions(reader, scores)
                wrong, pairs = wrong + lost[0], pairs + lost[1]
                wanted = labelled.wanted(reader)
                sums = [((scores >= THRESHOLD) & wanted).sum(), ((scores >= THRESHOLD) & ~wanted).sum()]
                above += np.array([sums, [wanted.sum(), (~wanted).sum()]])
            ndcg.append(float(np.mean(each)))
    return Measured(ndcg, wrong, pairs, above[0] / np.maximum(above[1], 1))


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
    async with loop_steps() as steps:
        begin = time.thread_time()
        await _indexed(articles)
        took = time.thread_time() - begin
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


def _shown(row: str, figures: dict[str, float]) -> list[str]:
    values = [f"{value:.3f}" for value in figures.values()]
    return values if row.endswith("ours") else [*values[:-2], "", ""]


def _show_loss(group: str, draws: Sequence[dict[str, dict[str, float]]]) -> None:
    """The loss as defined in the paper of the gold standard: the mean over the draws."""
    rows = [[row, f"{np.mean([draw[row]['loss'] for draw in draws]):.3f}"] for row in draws[0]]
    show(f"ranking, {group}: the loss over {len(draws)} draws", ["", "loss"], rows)


def main() -> None:
    """Measure, print and save."""
    folder = os.environ.get("DATA")
    sets = read_sets(Path(folder)) if folder else {"invented": [invented_set()]}
    if not folder:
        print("DATA is not set: this set is invented, so its figures do not measure quality.\n")
    count = int(os.environ.get("WINDOWS") or 1)
    sets = {name: pooled(windows, count) for name, windows in sets.items()}
    measured: dict[str, Any] = {name: quality(labelled) for name, labelled in sets.items()}
    for name, found in measured.items():
        show(
            f"ranking, {name}: {sum(len(each.readers) for each in sets[name])} readers; the difference to bm25s with "
            "its 95 % interval; of wanted and unwanted candidates, the share above the threshold",
            ["", "nDCG@10", "loss", "difference", "from", "to", "wanted", "unwanted"],
            [[row, *_shown(row, each)] for row, each in found.items()],
        )
    for group, names in numbered(measured).items():
        _show_loss(group, [measured[name] for name in names])
    costs = asyncio.run(cost()) | asyncio.run(many_readers())
    show(
        f"ranking, CPU time and memory: {PAPERS:,} invented papers",
        ["figure", "value"],
        [[name.replace("_", " "), f"{value:,.1f}"] for name, value in costs.items()],
    )
    save("ranking", {"sets": measured, "cost": costs})


if __name__ == "__main__":
    main()
