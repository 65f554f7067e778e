"""A digest, its items and the envelope of its mail."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from app.config.mail_address import Mailbox
from app.mail.message import MessageKey
from app.models.articles import Article, ArticleKind
from app.models.digests import AnalysisMethod, Digest, DigestItem

READER = UUID("6d1c5f0e-0000-4000-8000-000000000001")


DAY = date(2026, 11, 24)


MakeDigest = Callable[..., Digest]


ENVELOPE: dict[str, Any] = {
    "key": MessageKey(READER, DAY),
    "sender": Mailbox("digest@broadsheet.example", "Broadsheet"),
    "recipient": Mailbox("ada@example.org", "Ada"),
    "date": datetime(2026, 11, 24, 6, tzinfo=UTC),
}


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
