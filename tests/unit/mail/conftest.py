"""A digest in which a test can set every string, and a reader's links."""

from typing import Any

import pytest

from app.links import Links
from app.mail.footer import MailLinks
from app.models.articles import ArticleKind, EditionStatus
from app.models.digests import Digest
from app.models.profiles import Profile
from tests.support.digest_items import DAY, READER, MakeDigest, item_of


@pytest.fixture
def links() -> MailLinks:
    return MailLinks.signed(Links(["0123456789abcdef"], "https://digest.example.org"), READER, 1, DAY)


@pytest.fixture
def make_digest() -> MakeDigest:
    """Build a digest with this many papers and news; `text` replaces every string, and the best item comes first."""

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
