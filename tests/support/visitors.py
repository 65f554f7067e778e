"""A visitor with a reader's links, and the reader of the tests."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID, uuid4

import asyncpg
import httpx
from supabase import AsyncClient

from app.config import ApiSettings
from app.links import Link, Links
from app.models.articles import EditionStatus
from app.models.digests import Digest, DigestItem
from app.models.profiles import Profile
from app.persistence.readers import Reader, Readers
from embedded.stack import Ready
from tests.support.running_api import KEY, RunningApi
from tests.support.tasks import insert_tasks

TODAY = datetime.now(UTC).date()
SECRET = "s" * 32
HOSTILE = '<script>alert(\'x\')</script>"><b id="{{7*7}}">'
PURPOSES = ("unsubscribe", "pause", "schedule", "preferences")
WORDS = {"goals": "", "interests": "", "exclude": "", "authors": "", "categories": "", "language": "en"} | {
    "max_papers": "7",
    "max_news": "6",
}
A_READER: dict[str, Any] = {
    "name": f"Ada {HOSTILE}",
    "email": "ada@example.org",
    "profile": {"title": "T", "goals": f"g {HOSTILE}", "interests": [HOSTILE, "graphs"], "max_papers": 7},
    "timezone": "Europe/Berlin",
    "send_at": "07:00",
    "weekdays": [1, 2],
}


@dataclass
class Visitor:
    """A person with a reader's links."""

    http: httpx.AsyncClient
    readers: Readers
    reader: Reader
    generation: int = 1
    day: date | None = TODAY
    secret: str = SECRET

    def path(self, purpose: str, *, signed_for: str | None = None, secret: str | None = None) -> str:
        link = Link(self.reader.reader_id, self.generation, self.day)
        return f"/r/{purpose}/{Links([secret or self.secret], '').sign(signed_for or purpose, link)}"

    async def get(self, purpose: str) -> httpx.Response:
        return await self.http.get(self.path(purpose))

    async def post(self, purpose: str, **form: Any) -> httpx.Response:
        return await self.http.post(self.path(purpose), data=form)

    @property
    async def now(self) -> Reader:
        return await self.readers.get(self.reader.reader_id)


def settings_with_links(stack: Ready, secret: str = SECRET) -> ApiSettings:
    values = {"supabase_url": stack.url, "supabase_key": stack.secret_key, "api_keys": KEY, "link_secret": secret}
    return ApiSettings.model_validate(values)


@asynccontextmanager
async def visitor_of(api: RunningApi, client: AsyncClient) -> AsyncIterator[Visitor]:
    readers = Readers(client)
    reader = await readers.create("default", A_READER | {"reader_id": str(uuid4())})
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{api.port}", trust_env=False, timeout=30) as http:
        yield Visitor(http, readers, reader)


def digest_of(day: date, *papers: DigestItem, news: tuple[DigestItem, ...] = (), **changes: Any) -> Digest:
    """The digest of a day with these items."""
    plain: dict[str, Any] = {
        "source_date": day,
        "profile": Profile(name="Ada"),
        "introduction": "Chosen for you.",
        "papers": papers,
        "news": news,
        "considered": 500,
        "edition_status": EditionStatus.COMPLETED,
    }
    return Digest(**plain | changes)


async def give_digest(database: asyncpg.Connection, reader_id: UUID, digest: Digest) -> None:
    """Store a digest as written for the reader's day."""
    await insert_tasks(database, 1, kind="digest", status="completed")
    await database.execute(
        "insert into public.digests (task_id, owner, source_date, reader_id, local_day, digest)"
        " select task_id, 'ada', $2, $1, $2, $3 from public.tasks"
        " where kind = 'digest' and task_id not in (select task_id from public.digests)",
        reader_id,
        digest.source_date,
        digest.model_dump_json(),
    )


async def readers_of(database: asyncpg.Connection) -> list[asyncpg.Record]:
    """All rows of readers, with the time of their last change."""
    return list(await database.fetch("select * from public.readers r join public.readers_private p using (reader_id)"))


def assert_only_text(page: httpx.Response) -> None:
    """Check that the page contains no markup of the text."""
    assert "<b " not in page.text
    assert re.findall(r'<script(?! defer src="/static/)|style=| on\w+="|javascript:', page.text) == []
