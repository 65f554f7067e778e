"""The path of a digest from top to bottom: rank the articles, analyse the best ones, compose the digest."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date

from app.digest.analysis import Analyst
from app.models.articles import Article, EditionStatus
from app.models.digests import Digest
from app.models.profiles import Profile, RatedPaper
from app.models.values import ReportProgress
from app.ranking.index import Index
from app.ranking.ranking import Ranking, RankingSettings, rank


@dataclass(frozen=True, slots=True)
class Material:
    """What a digest is written from.

    `index` has the articles. The reader rated `papers`, and has seen the articles in `shown`.
    `introduce` returns the introduction, `keys_of` all keys of the selected articles; `source_errors` are for readers.
    """

    source_date: date
    index: Index
    status: EditionStatus
    source_errors: Mapping[str, str]
    introduce: Callable[[Ranking], str]
    papers: Sequence[RatedPaper] = ()
    shown: Sequence[int] = ()
    keys_of: Callable[[Iterable[Article]], tuple[str, ...]] = field(default=lambda _: ())


class DigestWriter:
    """Writes digests of any material."""

    def __init__(self, analyst: Analyst) -> None:
        self._analyst = analyst

    async def write(
        self, material: Material, profile: Profile, settings: RankingSettings, report: ReportProgress
    ) -> Digest:
        """Return the digest for the profile."""
        await report(f"ranking {len(material.index.articles):,} articles", 0.2)
        analysis = self._analyst.begin(profile)
        ranking = await rank(material.index, profile, settings, material.papers, analysis.reorder, material.shown)
        chosen = [*ranking.papers, *ranking.news]
        await report(f"analysing {len(chosen)} articles", 0.4)
        analysed = await analysis.analyse(chosen)
        return Digest(
            source_date=material.source_date,
            profile=profile,
            introduction=material.introduce(ranking),
            papers=analysed.items[: len(ranking.papers)],
            news=analysed.items[len(ranking.papers) :],
            considered=ranking.considered,
            edition_status=material.status,
            source_errors=dict(material.source_errors),
            usage=analysed.usage,
            keys=material.keys_of(ranked.article for ranked in chosen),
        )
