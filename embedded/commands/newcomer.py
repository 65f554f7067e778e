"""The reader that `make up` makes, so that there is a mail to look at within the minute."""

import asyncio
from datetime import UTC, date, datetime
from http import HTTPStatus
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
import httpx

from app.models import Profile
from embedded.commands.together import Together

EXTERNAL_ID = "newcomer"
PATIENCE = 60.0
"""Seconds until the first mail is there, or is not."""


async def first_mail(services: Together, day: date, profile: Profile) -> Path | None:
    """Have the day fetched, make the reader, and wait for its first mail; None where the reader was there already.

    Raises `httpx.HTTPError`, `asyncpg.PostgresError`, and `TimeoutError` where no mail comes.
    """
    headers = {"X-API-Key": services.api_key}
    async with httpx.AsyncClient(base_url=services.api, headers=headers, trust_env=False, timeout=30) as http:
        await _fetched(http, day)
        reader_id = await _made(http, profile)
    if reader_id is None:
        return None
    await _due_now(services.stack.database_url, reader_id)
    async with asyncio.timeout(PATIENCE):
        while True:
            for mail in services.mailbox.glob(f"digest-*-{reader_id}.eml"):
                return mail
            await asyncio.sleep(0.1)


async def _fetched(http: httpx.AsyncClient, day: date) -> None:
    """Wait for the fetch to end, however it does: a digest takes what there is."""
    posted = (await http.post("/v1/fetches", json={"source_date": day.isoformat()})).raise_for_status()
    waiting = True
    while waiting:
        answer = await http.get(posted.headers["location"], headers={"Prefer": "wait=20"})
        waiting = answer.raise_for_status().json()["finished_at"] is None


async def _made(http: httpx.AsyncClient, profile: Profile) -> UUID | None:
    words: dict[str, Any] = profile.model_dump(mode="json")
    now = datetime.now(UTC)
    reader = {"external_id": EXTERNAL_ID, "name": words.pop("name"), "address": "newcomer@example.org"}
    schedule = {"zone": "UTC", "send_at": f"{now:%H:%M}", "on_nothing": "line"}
    answer = await http.post("/v1/readers", json={**reader, **schedule, "profile": words})
    if answer.status_code == HTTPStatus.CONFLICT:
        return None
    return UUID(answer.raise_for_status().json()["reader_id"])


async def _due_now(database_url: str, reader_id: UUID) -> None:
    """Let the schedule that begins at its next occurrence begin with this one."""
    database = await asyncpg.connect(database_url)
    try:
        await database.execute("update public.readers set next_due_at = now() where reader_id = $1", reader_id)
        await database.execute("select public.enqueue_due(100)")
    finally:
        await database.close()
