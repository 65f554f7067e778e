"""The demo reader that `make up` creates, so that a first mail exists within a minute."""

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
from app.models.profiles import Profile
from embedded.commands.local_service import LocalService

EXTERNAL_ID = "demo_reader"
TIMEOUT = 60.0
"""Seconds to wait for the fetch, and for the first mail."""


@dataclass(frozen=True)
class DemoReader:
    """The file of the first mail (None if an earlier run sent it), and the URL of the reader's page."""

    mail: Path | None
    page: str


async def demo_reader(services: LocalService, day: date, profile: Profile) -> DemoReader:
    """Fetch the day, create the reader, and wait for its first mail.

    Raises `httpx.HTTPError`, `asyncpg.PostgresError`, and `TimeoutError` if no mail arrives.
    """
    headers = {"X-API-Key": services.api_key}
    async with httpx.AsyncClient(base_url=services.api, headers=headers, trust_env=False, timeout=30) as http:
        await _fetch(http, day)
        reader_id, is_new = await _create_or_find(http, profile)
    database = await asyncpg.connect(services.stack.database_url)
    try:
        if is_new:
            await _make_due_now(database, reader_id)
        page = await _page_url(services, database, reader_id)
    finally:
        await database.close()
    return DemoReader(await _first_mail(services, reader_id) if is_new else None, page)


async def _first_mail(services: LocalService, reader_id: UUID) -> Path:
    async with asyncio.timeout(TIMEOUT):
        while True:
            for mail in services.mailbox.glob(f"digest-*-{reader_id}.eml"):
                return mail
            await asyncio.sleep(0.1)


async def _fetch(http: httpx.AsyncClient, day: date) -> None:
    """Fetch the day and wait for the end, also a failure: a digest uses the items that exist. Raises `TimeoutError`."""
    posted = (await http.post("/v1/fetches", json={"source_date": day.isoformat()})).raise_for_status()
    waiting = True
    async with asyncio.timeout(TIMEOUT):
        while waiting:
            response = await http.get(posted.headers["location"], headers={"Prefer": "wait=20"})
            waiting = response.raise_for_status().json()["finished_at"] is None


async def _create_or_find(http: httpx.AsyncClient, profile: Profile) -> tuple[UUID, bool]:
    """Return the reader's identifier, and whether this call created it."""
    fields: dict[str, Any] = profile.model_dump(mode="json")
    now = datetime.now(UTC)
    reader = {"external_id": EXTERNAL_ID, "name": fields.pop("name"), "email": "demo_reader@example.org"}
    schedule = {"timezone": "UTC", "send_at": f"{now:%H:%M}", "when_empty": "notify"}
    response = await http.post("/v1/readers", json={**reader, **schedule, "profile": fields})
    if response.status_code != HTTPStatus.CONFLICT:
        return UUID(response.raise_for_status().json()["reader_id"]), True
    found = (await http.get("/v1/readers", params={"external_id": EXTERNAL_ID})).raise_for_status()
    return UUID(found.json()["readers"][0]["reader_id"]), False


async def _make_due_now(database: asyncpg.Connection, reader_id: UUID) -> None:
    """Make the first digest due now instead of at the next scheduled time."""
    await database.execute("update public.readers set next_due_at = now() where reader_id = $1", reader_id)
    await database.execute("select public.enqueue_due(100)")


async def _page_url(services: LocalService, database: asyncpg.Connection, reader_id: UUID) -> str:
    """The URL of the reader's page, signed for today, as mails contain it."""
    generation = await database.fetchval(
        "select link_generation from public.readers_private where reader_id = $1", reader_id
    )
    return Links([services.link_secret], services.api).url("home", Link(reader_id, generation, utc_today()))
