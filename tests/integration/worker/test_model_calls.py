"""The calls of a model by a whole worker: few with a model that thinks, and one for all digests with a profile."""

import json

import asyncpg
from supabase import AsyncClient

from app.days import yesterday
from app.models.digests import Digest
from app.models.tasks import TaskKind
from embedded.stack import Ready
from tests.integration.worker.whole_worker import NOWHERE, settings_of, whole_worker
from tests.support.fixture_types import Serve
from tests.support.model_servers import data_of, model_server, reasoning_content
from tests.support.running_worker import until
from tests.support.source_responses import ATOM_HEAD, reply
from tests.support.tasks import create

DIGESTS = 50
WORDS = (
    *("glacier", "whale", "asteroid", "bridge", "volcano", "forest", "harbour", "desert", "tunnel", "orchard"),
    *("monsoon", "lighthouse"),
)
ENTRIES = "".join(
    f"<entry><id>http://arxiv.org/abs/2611.{number:05d}v1</id><title>Radar of a {word}</title>"
    f"<summary>Radar shows the {word}, and how each {word} changes from {word} to {word}.</summary></entry>"
    for number, word in enumerate(WORDS)
)


async def test_fifty_digests_of_a_thinking_model_share_three_calls(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection, serve: Serve
) -> None:
    arxiv = await serve(reply(f"{ATOM_HEAD}{ENTRIES}</feed>".encode()))
    for number in range(DIGESTS):
        profile = {"name": f"Reader {number}", "interests": ["radar"]}
        await create(client, kind=TaskKind.DIGEST, source_date=yesterday(), payload={"profile": profile})
    async with model_server(reasoning_content) as model:
        places = {"arxiv_base_url": arxiv.url, "arxiv_categories": "cs.AI", "feeds": f"none={NOWHERE}/rss"}
        settings = settings_of(stack, openai_api_key="k-1", openai_base_url=model.url, concurrency="120", **places)
        async with whole_worker(settings) as running:
            await until(database, "select count(*) = $1 from public.digests", DIGESTS)
            await running.stop()
        requests = model.requests
    rows = await database.fetch("select digest from public.digests")
    digests = [Digest.model_validate(json.loads(row["digest"])) for row in rows]
    assert {len(digest.papers) for digest in digests} == {12}
    assert all(item.analysis == "model" for digest in digests for item in digest.papers)
    assert (len(requests), len({json.dumps(data_of(request)) for request in requests})) == (3, 3)
    assert sum(digest.usage.calls for digest in digests) == 3
