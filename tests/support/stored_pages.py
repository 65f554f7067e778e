"""The page of a stored digest, as the API renders it."""

import json

import asyncpg

from app.api.digest_pages import DigestPages
from app.persistence.digests import StoredDigest


async def stored_page(database: asyncpg.Connection, local_day: str | None = None) -> str:
    """The page of the only digest, or of the only one of a day."""
    (document,) = await database.fetch(
        "select digest from public.digests where $1::text is null or local_day = $1::text::date", local_day
    )
    response = await DigestPages().response(StoredDigest(digest=json.loads(document["digest"])))
    return bytes(response.body).decode()
