"""Three callers of the API, and the objects of one of them."""

from typing import Any
from uuid import UUID

import asyncpg
from supabase import AsyncClient

from app.persistence.outcomes import Completed
from app.persistence.reader_papers import PaperInput, ReaderPapers
from app.persistence.schedule import Schedule
from tests.contract.callers import DIGEST, Callers
from tests.support.feedback import rate
from tests.support.schedule import add_reader, write_digests
from tests.support.tasks import DAY, Claimer
from tests.support.visitors import digest_of

BODIES: dict[str, Any] = {
    "/v1/digests": DIGEST,
    "/v1/digests/batch": {"digests": [DIGEST, DIGEST]},
    "/v1/fetches": {"source_date": "2026-03-04"},
    "/v1/readers": {"external_id": "one", "name": "Bot", "timezone": "UTC", "send_at": "07:00"},
    "/v1/readers/import": {"external_id": "two", "name": "Bot", "timezone": "UTC", "send_at": "07:00"},
    "/v1/readers/{reader_id}": {"name": "Mallory"},
    "/v1/readers/{reader_id}/papers": {"papers": [{"doi": "10.1038/x", "liked": True}]},
    "/v1/readers/{reader_id}/library": {"id": "users/475425"},
    "/v1/deliveries/pause": {"reason": "because"},
    "/v1/deliveries/resume": {"pending": "skip"},
    "/v1/deliveries/{delivery_id}/resolve": {"status": "sent"},
    "/v1/admin/replays": {"kind": "digest"},
    "/v1/admin/kinds/{kind}/pause": {"reason": "because"},
}
SECRET = "xyzzy"


class World:
    """The callers, and ada's objects: a written digest, its callback, a fetch, and used idempotency keys."""

    def __init__(self, callers: Callers, database: asyncpg.Connection) -> None:
        self.callers = callers
        self.database = database
        self.ids: dict[str, str] = {}
        self.paper: UUID | None = None

    async def furnish(self, client: AsyncClient) -> None:
        await self._furnish_reader(client)
        ada = self.callers.ada
        body = DIGEST | {"callback_url": "https://example.com/hook"}
        digest = (await ada.post("/v1/digests", json=body, headers={"Idempotency-Key": "first"})).json()
        worker = Claimer(client)
        claimed = await worker.claim_one()
        written = digest_of(DAY, introduction=SECRET).model_dump(mode="json")
        await worker.finish(claimed, Completed({"items": 1}, written))
        for path in ("/v1/digests", "/v1/digests/batch", "/v1/fetches"):
            made = (await ada.post(path, json=BODIES[path], headers={"Idempotency-Key": path})).json()
            self.ids[path] = made["tasks"][0]["task_id"] if "tasks" in made else made["task_id"]
        callback = await self.database.fetchval("select task_id::text from public.tasks where kind = 'callback'")
        library = f"@misc{{a, title={{{SECRET}}}}}"
        papers, headers = f"/v1/readers/{self.ids['/v1/readers']}/papers", {"Content-Type": "application/x-bibtex"}
        imported = (await ada.post(papers, content=library, headers=headers)).json()["task_id"]
        self.ids |= {"/v1/digests": digest["task_id"], "/v1/callbacks": callback, "/v1/imports": imported}

    async def _furnish_reader(self, client: AsyncClient) -> None:
        """A reader with a written digest and a pending mail."""
        reader = await add_reader(client, owner="ada", name=SECRET, external_id="ada", email="ada@example.org")
        await self.database.execute("update public.readers set next_due_at = next_due_at - interval '1 day'")
        await Schedule(client).enqueue_due()
        assert await write_digests(client, SECRET) == 1
        paper = PaperInput(keys=("doi:10.1038/x",), doi="10.1038/x", title=SECRET)
        self.paper = await rate(ReaderPapers(client), reader.reader_id, paper, True)
        delivery = await self.database.fetchval("select delivery_id::text from public.deliveries")
        self.ids |= {"/v1/readers": str(reader.reader_id), "/v1/deliveries": delivery}

    async def adas_ids(self) -> list[str]:
        return [
            row[0] for row in await self.database.fetch("select task_id::text from public.tasks where owner = 'ada'")
        ]
