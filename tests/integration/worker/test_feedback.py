"""The real worker ranks the next digest by a vote and gives it as a reason; a withdrawn vote no longer counts."""

import json
from typing import Any

import asyncpg
from supabase import AsyncClient

from app.persistence.reader_papers import ReaderPapers
from app.ranking.reader_paper import paper_of
from tests.support.feedback import rate
from tests.support.items import copy, save
from tests.support.reader_mails import body, due, look, mails
from tests.support.running_worker import StartMailer, until
from tests.support.schedule import Clock
from tests.support.smtp_server import Postbox
from tests.support.stored_pages import stored_page

TITLE = "Glacier <script>alert(1)</script> \u202eseismology {{ 7*7 }}"
LIKED = paper_of(
    copy(external_id="liked", title=TITLE, abstract="Seismometers on glaciers hear icequakes and calving.")
)
SENT = "select count(*) = $1 from public.deliveries where status = 'sent'"


async def day(
    n: int, client: AsyncClient, database: asyncpg.Connection, clock: Clock
) -> tuple[list[str], list[str], str]:
    """Run a day with two papers; returns the titles in order, the reason of the ice paper, and the page."""
    await save(
        client,
        copy(external_id=f"a{n}", title=f"Radar maps of coast number {n}", abstract="Radar sees coasts and harbours."),
        copy(external_id=f"b{n}", title=f"Icequakes under radar {n}", abstract="Seismometers hear calving glaciers."),
    )
    await look(client, clock, n)
    await until(database, SENT, n - 23)
    stored = await database.fetchval(
        "select digest from public.digests where local_day = $1::text::date", f"2026-11-{n}"
    )
    papers: list[dict[str, Any]] = json.loads(stored)["papers"]
    titles = [paper["article"]["title"] for paper in papers]
    ice = next(paper for paper in papers if "Icequakes" in paper["article"]["title"])
    return titles, [reason["text"] for reason in ice["reasons"]], await stored_page(database, f"2026-11-{n}")


async def test_feedback_changes_the_next_digest_until_withdrawn(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock, box: Postbox, start_mailer: StartMailer
) -> None:
    papers = ReaderPapers(client)
    await save(client, copy(external_id="a24", title="Radar maps of coast number 24", abstract="Radar sees coasts."))
    reader = await due(client, clock)
    await start_mailer()
    await until(database, SENT, 1)
    before, reasons, _ = await day(25, client, database, clock)
    assert before[0].startswith("Radar maps")
    assert not [reason for reason in reasons if "you liked" in reason]
    await rate(papers, reader.reader_id, LIKED, True)
    liked, reasons, page = await day(26, client, database, clock)
    assert liked[0].startswith("Icequakes"), liked
    assert any(
        reason.startswith("close to \u201cGlacier") and reason.endswith(", which you liked") for reason in reasons
    )
    assert "which you liked" in page
    assert "<script>alert" not in page
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    mail = mails(box)[-1]
    assert "which you liked" in body(mail, "plain")
    assert "<script>alert" not in body(mail, "html")
    await rate(papers, reader.reader_id, LIKED, None)
    after, reasons, page = await day(27, client, database, clock)
    assert [title.partition(" ")[0] for title in after] == [title.partition(" ")[0] for title in before]
    assert "which you liked" not in page
