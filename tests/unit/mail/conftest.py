"""A digest whose every string a test may choose, and a reader's links."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

import pytest

from app.links import Links
from app.mail.footer import MailLinks
from app.mail.message import MessageKey
from app.mail_address import Mailbox
from app.models import AnalysisMethod, Article, ArticleKind, Digest, DigestItem, EditionStatus, Profile

READER = UUID("6d1c5f0e-0000-4000-8000-000000000001")
DAY = date(2026, 11, 24)
MakeDigest = Callable[..., Digest]

ENVELOPE: dict[str, Any] = {
    "key": MessageKey(READER, DAY),
    "sender": Mailbox("digest@broadsheet.example", "Broadsheet"),
    "recipient": Mailbox("ada@example.org", "Ada"),
    "date": datetime(2026, 11, 24, 6, tzinfo=UTC),
}


@pytest.fixture
def links() -> MailLinks:
    return MailLinks.signed(Links(["0123456789abcdef"], "https://digest.example.org"), READER, 1, DAY)


def item_of(kind: ArticleKind, number: int, text: str | None, score: float) -> DigestItem:
    article = Article(
        source="arxiv" if kind is ArticleKind.PAPER else "feed:Nature",
        external_id=f"{kind}-{number}",
        kind=kind,
        title=text or f"Title of {kind} {number}",
        authors=(text,) * 6 if text else ("A. Author", "B. Writer"),
        url=f"https://arxiv.example/abs/{number}",
        categories=(text,) if text else ("cs.LG",),
    )
    summary = text or f"What {kind} {number} says."
    return DigestItem(
        article=article,
        score=score,
        reason=text or "matches: ice",
        summary=summary,
        key_points=(summary, summary),
        analysis=AnalysisMethod.EXTRACTIVE,
    )


@pytest.fixture
def make_digest() -> MakeDigest:
    """Build a digest of so many papers and news; `text` stands in for every string, and the best item comes first."""

    def make(papers: int = 3, news: int = 2, *, text: str | None = None, **changes: Any) -> Digest:
        plain: dict[str, Any] = {
            "source_date": DAY,
            "profile": Profile(name=(text or "").strip()[:100].strip() or "Ada"),
            "introduction": text or "Three papers and two news items were selected for you.",
            "papers": tuple(item_of(ArticleKind.PAPER, n, text, 1 - n / 100) for n in range(papers)),
            "news": tuple(item_of(ArticleKind.NEWS, n, text, 1 - n / 50) for n in range(news)),
            "considered": 500,
            "edition_status": EditionStatus.COMPLETED,
        }
        return Digest(**plain | changes)

    return make
