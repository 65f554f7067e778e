"""Excerpts instead of a model's summaries, as a whole worker reports them."""

import asyncpg
from supabase import AsyncClient

from app.days import yesterday
from app.models.tasks import TaskKind
from app.persistence.operator import Operator
from embedded.stack import Ready
from tests.integration.worker.whole_worker import NEWS, PAPERS, PROFILE, settings_of, whole_worker
from tests.support.fixture_types import Serve
from tests.support.model_servers import cut_off, model_server
from tests.support.running_worker import until_ended
from tests.support.source_responses import reply
from tests.support.stored_pages import stored_page
from tests.support.tasks import create


async def test_excerpts_are_reported_with_their_reason(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection, serve: Serve
) -> None:
    arxiv, feed = await serve(reply(PAPERS.encode())), await serve(reply(NEWS.encode()))
    digest = await create(client, kind=TaskKind.DIGEST, source_date=yesterday(), payload={"profile": PROFILE})
    async with model_server(cut_off) as model:
        sources = {"arxiv_base_url": arxiv.url, "arxiv_categories": "cs.AI", "feeds": f"one={feed.url}"}
        settings = settings_of(stack, openai_api_key="k-1", openai_base_url=model.url, **sources)
        async with whole_worker(settings) as running:
            await until_ended(database, digest.task_id)
            metrics = await running.page("/metrics")
            await running.stop()
    page = await stored_page(database)
    assert "2 items quote the abstract, because the language model wrote no summary" in page
    assert 'broadsheet_model_fallbacks_total{reason="cut_off"} 2.0' in metrics
    assert 'broadsheet_model_fallbacks_total{reason="busy"} 0.0' in metrics
    today = (await Operator(client).overview()).model_usage_today
    assert [(each.reason, each.items) for each in today.fallbacks] == [("cut_off", 2)]
    failed = [record for record in running.log if record["event"] == "model request failed"]
    assert {record["reason"] for record in failed} == {"cut_off"}
    assert "OPENAI_MAX_OUTPUT_TOKENS" in failed[0]["error"]
