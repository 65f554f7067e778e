"""Sources that return or raise what a test sets."""

from datetime import UTC, date, datetime, time, timedelta

from app.models.articles import Article, ArticleKind

GOOD = Article(source="good", external_id="1", kind=ArticleKind.NEWS, title="Good news")


class Scripted:
    """A source that follows its script."""

    def __init__(self, name: str, outcome: list[Article] | BaseException, *, essential: bool = True) -> None:
        self.name = name
        self.essential = essential
        self.reads = 0
        self.outcome = outcome

    def complete_from(self, source_date: date) -> datetime:
        return datetime.combine(source_date + timedelta(days=1), time(5), UTC)

    async def fetch(self, _source_date: date) -> list[Article]:
        self.reads += 1
        if isinstance(self.outcome, BaseException):
            raise self.outcome
        return self.outcome


async def quiet(_message: str, _progress: float) -> None:
    return None
