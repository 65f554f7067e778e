"""A day with a whole worker: fetch from configured sources, digest by the model, callback, and mail."""

import asyncio
import email
import json
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from standardwebhooks import Webhook
from supabase import AsyncClient

import worker.wiring
from app.config.mail_url import FolderUrl
from app.days import yesterday
from app.external.client import open_external
from app.links import Links
from app.mail.open_sender import open_mail_sender
from app.mail.sender import MailLimits
from app.models.articles import Article, ArticleKind
from app.models.digests import Reason, ReasonKind
from app.models.profiles import Profile
from app.models.tasks import TaskKind
from app.ranking.ranking import Ranked
from app.services import Services
from embedded.stack import Ready
from tests.integration.worker.whole_worker import LINK_SECRET, MAIL, NEWS, PAPERS, PROFILE, settings_of, whole_worker
from tests.support.analysis import completion
from tests.support.fixture_types import Serve
from tests.support.processes import WEBHOOK_SECRET
from tests.support.running_worker import until, until_ended
from tests.support.schedule import add_reader
from tests.support.scripted_server import ScriptedServer, answer
from tests.support.source_responses import reply
from tests.support.stored_pages import stored_page
from tests.support.tasks import create, record
from worker.wiring import build_analyst, open_components

NEXT_SECRET = "whsec_" + "QUJD" * 8
GOOD = {"summary": "Radar reads the memory of ice.", "key_points": ["Two changes of course.", "No drilling."]}
OWN = {"user_agent": "Ada's own", "webhook_secret": f"{WEBHOOK_SECRET},{NEXT_SECRET}"}


class Outside:
    """The external services of a worker, each a separate server."""

    def __init__(self, *servers: ScriptedServer) -> None:
        self.arxiv, self.feed, self.model, self.receiver = servers

    @classmethod
    async def start(cls, serve: Serve) -> "Outside":
        pages = [reply(PAPERS.encode()), reply(NEWS.encode()), completion(GOOD), answer(204, "")]
        return cls(*[await serve(page) for page in pages])

    @property
    def settings(self) -> dict[str, str]:
        model = {"openai_api_key": "k-1", "openai_model": "tiny", "openai_base_url": f"{self.model.url}/v1"}
        return {"arxiv_base_url": self.arxiv.url, "arxiv_categories": "cs.AI", "feeds": f"one={self.feed.url}", **model}


async def test_a_day_is_fetched_and_its_digest_called_back(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection, serve: Serve
) -> None:
    outside, day = await Outside.start(serve), yesterday()
    digest = await create(
        client,
        kind=TaskKind.DIGEST,
        source_date=day,
        payload={"profile": PROFILE},
        callback_url=outside.receiver.url,
    )
    async with whole_worker(settings_of(stack, **outside.settings, **OWN)) as running:
        written = await until_ended(database, digest.task_id)
        await until(database, "select exists (select from public.tasks where kind = 'callback' and status is not null)")
        await running.stop()
    fetched = await database.fetchval("select result from public.tasks where kind = 'fetch'")
    counts = {"arxiv": 1, "feed:one": 1}
    assert json.loads(fetched) == {"status": "completed", "counts": counts, "errors": {}}
    assert json.loads(written["result"]) == {"items": 2}
    assert "cs.AI" in outside.arxiv.seen[0], "the listing on workdays, the API at the weekend"
    assert all("user-agent: ada's own" in server.heads[0].lower() for server in (outside.arxiv, outside.feed))
    assert {json.loads(body)["model"] for body in outside.model.bodies} == {"tiny"}
    assert str(GOOD["summary"]) in await stored_page(database)
    callback = await database.fetchval("select task_id from public.tasks where kind = 'callback'")
    assert json.loads((await record(database, callback))["result"]) == {"status": 204}
    headers = dict(line.split(": ", 1) for line in outside.receiver.heads[0].splitlines() if ": " in line)
    for secret in (WEBHOOK_SECRET, NEXT_SECRET):
        Webhook(secret).verify(outside.receiver.bodies[0], headers)
    assert json.loads(outside.receiver.bodies[0])["data"]["task_id"] == str(digest.task_id)


async def test_a_due_reader_gets_a_mail_as_configured(
    stack: Ready, client: AsyncClient, database: asyncpg.Connection, tmp_path: Path
) -> None:
    reader = await add_reader(client, email="ada@example.org", when_empty="notify")
    await database.execute("update public.readers set next_due_at = next_due_at - interval '1 day'")
    settings = settings_of(stack, mail_url=f"folder:{tmp_path}", digest_max_wait_hours="0", **MAIL)
    async with whole_worker(settings) as running:
        await until(database, "select exists (select from public.deliveries where status = 'sent')")
        await running.stop()
    (file,) = await asyncio.to_thread(lambda: list(tmp_path.iterdir()))
    mail = email.message_from_bytes(file.read_bytes())
    assert (mail["From"], mail["To"]) == ("Broadsheet <digest@example.org>", "Ada <ada@example.org>")
    assert mail["Subject"].endswith(": no source could be read")
    address, _, token = mail["List-Unsubscribe"].strip("<>").rpartition("/")
    assert address.startswith("https://digest.example/")
    assert Links([LINK_SECRET], "https://digest.example").read("unsubscribe", token).reader_id == reader.reader_id


async def test_mail_concurrency_and_rate_come_from_the_settings(
    stack: Ready, client: AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    openings = list[Any]()

    def opened(*how: Any) -> Any:
        openings.append(how)
        return open_mail_sender(*how)

    monkeypatch.setattr(worker.wiring, "open_mail_sender", opened)
    chosen = settings_of(stack, mail_url="folder:/nowhere", mail_connections="3", mail_rate="4.5", **MAIL)
    async with open_components(Services.build(client), chosen):
        ((url, _http, limits),) = openings
    assert (url, limits) == (FolderUrl(Path("/nowhere")), MailLimits(concurrency=3, per_second=4.5))


@pytest.mark.parametrize(
    ("changes", "openings"),
    [({}, 2), ({"model_max_calls": "1"}, 1), ({"model_max_calls": "0"}, 0), ({"model_max_tokens": "0"}, 0)],
)
async def test_model_calls_stay_within_the_configured_limit(
    changes: dict[str, str], openings: int, stack: Ready, client: AsyncClient, serve: Serve
) -> None:
    outside = await Outside.start(serve)
    async with open_external() as http:
        analyst = build_analyst(http, Services.build(client), settings_of(stack, **outside.settings, **changes))
        analysed = await analyst.begin(Profile(name="Ada", interests=("radar",))).analyse([ranked(1), ranked(2)])
    assert (analysed.usage.calls, len(outside.model.seen)) == (openings, openings)
    assert all("authorization: bearer k-1" in head.lower() for head in outside.model.heads)


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({}, 8_000),
        ({"openai_max_output_tokens": "3000"}, 3_000),
        ({"model_max_tokens": "9000"}, 3_000),
        ({"openai_max_output_tokens": "90000", "model_max_tokens": "600000"}, 90_000),
    ],
)
async def test_the_output_limit_fits_settings_and_budget(
    changes: dict[str, str], limit: int, stack: Ready, client: AsyncClient, serve: Serve
) -> None:
    outside = await Outside.start(serve)
    form = {"openai_answer_format": "json_object", "openai_reasoning_effort": "low"}
    async with open_external() as http:
        settings = settings_of(stack, **outside.settings, **form, **changes)
        analyst = build_analyst(http, Services.build(client), settings)
        await analyst.begin(Profile(name="Ada", interests=("radar",))).analyse([ranked(1)])
    (sent,) = [json.loads(body) for body in outside.model.bodies]
    assert (sent["max_tokens"], sent["reasoning_effort"]) == (limit, "low")
    assert sent["response_format"] == {"type": "json_object"}


def ranked(number: int) -> Ranked:
    """A selected article that differs from the others."""
    article = Article(
        source="arxiv",
        external_id=f"2611.{number:05d}",
        kind=ArticleKind.PAPER,
        title=f"Ice remembers, part {number}",
        abstract="Radar reads the memory of glaciers, from the surface and without drilling.",
    )
    reason = Reason(kind=ReasonKind.INTEREST, text="matches: radar", words=("radar",), change="edit")
    return Ranked(article, 1.0, (reason,), ("radar",))
