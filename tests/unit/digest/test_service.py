"""The digest service: its calls, and how rated papers and a model's order reach the digest."""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from typing import cast
from uuid import UUID, uuid4

from app.digest.analysis import Analysed, Analysis, Analyst, ExtractiveAnalyst
from app.digest.service import DigestService
from app.models.articles import Article, Edition, EditionStatus
from app.models.digests import ReasonKind
from app.models.profiles import Profile
from app.persistence.editions import Editions
from app.persistence.tasks import TaskStateManager
from app.ranking.ranking import Ranked, RankingSettings
from tests.support.articles import MakeArticle, rated

DAY = date(2025, 3, 4)
READER = Profile(name="Ada", interests=("graph neural networks",))


class StoredEdition:
    """A stored edition that counts its calls."""

    def __init__(self, articles: list[Article], *, complete: bool = True) -> None:
        self.calls: list[str] = []
        self._articles = articles
        self._complete = complete

    async def get_edition(self, source_date: date) -> Edition:
        self.calls.append("edition")
        now = datetime(2025, 3, 5, tzinfo=UTC)
        completed = {"status": EditionStatus.COMPLETED, "complete": self._complete}
        return Edition.model_validate({"source_date": source_date, **completed, "created_at": now, "updated_at": now})

    async def get_articles(self, source_date: date) -> list[Article]:
        self.calls.append("articles")
        return self._articles if source_date == DAY else []


class ReversingAnalyst:
    """An analyst that reverses the order."""

    def begin(self, profile: Profile) -> Analysis:
        self._plain = ExtractiveAnalyst().begin(profile)
        return self

    async def reorder(self, articles: Sequence[Article]) -> Sequence[int]:
        return range(len(articles))[::-1]

    async def analyse(self, items: Sequence[Ranked]) -> Analysed:
        return await self._plain.analyse(items)


async def ignore_progress(message: str, progress: float) -> None:
    """A progress callback that does nothing."""


def service(daily: StoredEdition, analyst: Analyst) -> DigestService:
    # With the edition there, no task is read: a call on this would fail.
    tasks = cast(TaskStateManager, None)
    return DigestService(cast(Editions, daily), tasks, analyst)


async def test_a_second_digest_of_a_day_makes_one_call(make_article: MakeArticle) -> None:
    daily = StoredEdition([make_article(title="A graph neural network")])
    digests = service(daily, ExtractiveAnalyst())
    for _ in range(3):
        digest = await digests.write(uuid4(), DAY, READER, RankingSettings(), ignore_progress)
        assert digest.papers[0].article.title == "A graph neural network"
        assert digest.papers[0].reasons[0].text == digest.papers[0].reason == "matches: graph neural networks"
    assert daily.calls == ["edition", "articles", "edition", "edition"]


class NoFetchTasks:
    """Task storage in which no day needs a fetch."""

    def __init__(self) -> None:
        self.days: list[date] = []

    async def refresh_fetch(self, source_date: date, *, waiting: UUID) -> None:
        assert isinstance(waiting, UUID)
        self.days.append(source_date)


async def test_of_many_digests_of_an_incomplete_day_one_refetches(make_article: MakeArticle) -> None:
    daily, tasks = StoredEdition([make_article()], complete=False), NoFetchTasks()
    digests = DigestService(cast(Editions, daily), cast(TaskStateManager, tasks), ExtractiveAnalyst())
    for _ in range(3):
        await digests.write(uuid4(), DAY, READER, RankingSettings(), ignore_progress)
    assert tasks.days == [DAY]


async def test_the_digest_has_the_models_order(make_article: MakeArticle) -> None:
    edition = [make_article(title=f"Graph {word} of neural networks") for word in ("edges", "nodes", "paths")]
    plain = await service(StoredEdition(edition), ExtractiveAnalyst()).write(
        uuid4(), DAY, READER, RankingSettings(), ignore_progress
    )
    turned = await service(StoredEdition(edition), ReversingAnalyst()).write(
        uuid4(), DAY, READER, RankingSettings(), ignore_progress
    )
    assert [item.article for item in turned.papers] == [item.article for item in plain.papers][::-1]


async def test_rated_papers_reach_the_ranking(make_article: MakeArticle) -> None:
    ice = make_article(title="Ice remembers", abstract="Crystals in a glacier remember how the ice has flowed.")
    digests = service(StoredEdition([make_article(title="Flow", abstract=ice.abstract)]), ExtractiveAnalyst())
    without = await digests.write(uuid4(), DAY, READER, RankingSettings(), ignore_progress)
    liked = await digests.write(uuid4(), DAY, READER, RankingSettings(), ignore_progress, [rated(ice)])
    assert without.papers == ()
    assert liked.papers[0].article.title == "Flow"
    (reason,) = [each for each in liked.papers[0].reasons if each.kind is ReasonKind.LIKED]
    assert "Ice remembers" in reason.text
