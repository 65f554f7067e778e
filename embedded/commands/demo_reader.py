"""The reader that `make up` makes, so that there is a mail to look at within the minute."""

import asyncio
from dataclasses import dataclass
from datetime import UTC, date, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from app.days import utc_today
from app.links import Link, Links
from app.models import Profile
from embedded.commands.local_service import LocalService

EXTERNAL_ID = "demo_reader"
PATIENCE = 60.0
"""Seconds until the first mail is there, or is not."""


@dataclass(frozen=True)
class DemoReader:
    """The first mail, None where it came in an earlier run, and the address of the reader's page."""

    mail: Path | None
    page: str


async def demo_reader(services: LocalService, day: date, profile: Profile) -> DemoReader:
    """Have the day fetched, make the reader, and wait for its first mail.

    Raises `httpx.HTTPError`, `asyncpg.PostgresError`, and `TimeoutError` where no mail comes.
    """
    headers = {"X-API-Key": services.api_key}
    async with httpx.AsyncClient(base_url=services.api, headers=headers, trust_env=False, timeout=30) as http:
        await _fetched(http, day)
        reader_id, is_new = await _made(http, profile)
    database = await asyncpg.connect(services.stack.database_url)
    try:
        if is_new:
            await _due_now(database, reader_id)
        page = await _page(services, database, reader_id)
    finally:
        await database.close()
    return DemoReader(await _first_mail(services, reader_id) if is_new else None, page)


async def _first_mail(services: LocalService, reader_id: UUID) -> Path:
    async with asyncio.timeout(PATIENCE):
        while True:
            for mail in services.mailbox.glob(f"digest-*-{reader_id}.eml"):
                return mail
            await asyncio.sleep(0.1)


async def _fetched(http: httpx.AsyncClient, day: date) -> None:
    """Wait for the fetch to end, however it does: a digest takes what there is. Raises `TimeoutError`."""
    posted = (await http.post("/v1/fetches", json={"source_date": day.isoformat()})).raise_for_status()
    waiting = True
    async with asyncio.timeout(PATIENCE):
        while waiting:
            answer = await http.get(posted.headers["location"], headers={"Prefer": "wait=20"})
            waiting = answer.raise_for_status().json()["finished_at"] is None


async def _made(http: httpx.AsyncClient, profile: Profile) -> tuple[UUID, bool]:
    """Make the reader, or find it; says which."""
    words: dict[str, Any] = profile.model_dump(mode="json")
    now = datetime.now(UTC)
    reader = {"external_id": EXTERNAL_ID, "name": words.pop("name"), "email": "demo_reader@example.org"}
    schedule = {"timezone": "UTC", "send_at": f"{now:%H:%M}", "when_empty": "notify"}
    answer = await http.post("/v1/readers", json={**reader, **schedule, "profile": words})
    if answer.status_code != HTTPStatus.CONFLICT:
        return UUID(answer.raise_for_status().json()["reader_id"]), True
    found = (await http.get("/v1/readers", params={"external_id": EXTERNAL_ID})).raise_for_status()
    return UUID(found.json()["readers"][0]["reader_id"]), False


async def _due_now(database: asyncpg.Connection, reader_id: UUID) -> None:
    """Let the schedule that begins at its next occurrence begin with this one."""
    await database.execute("update public.readers set next_due_at = now() where reader_id = $1", reader_id)
    await database.execute("select public.enqueue_due(100)")


async def _page(services: LocalService, database: asyncpg.Connection, reader_id: UUID) -> str:
    """The address that mails call the reader's page, signed for today."""
    generation = await database.fetchval(
        "select link_generation from public.readers_private where reader_id = $1", reader_id
    )
    return Links([services.link_secret], services.api).url("home", Link(reader_id, generation, utc_today()))
