"""A reader imports a library in a real browser: the file, the progress, the report, and the next digest."""

from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from supabase import AsyncClient

from app.config import ApiSettings
from app.models.tasks import TaskKind
from app.services import Services
from embedded.stack import Ready
from tests.support.browser import chromium, faults, needs_chromium, opened
from tests.support.importer import import_handler
from tests.support.items import copy, save
from tests.support.reader_mails import look
from tests.support.running_api import RunningApi
from tests.support.running_worker import StartMailer, StartWorker, until
from tests.support.schedule import Clock, add_reader
from tests.support.visitors import HOSTILE, Visitor, settings_with_links, visitor_of

SECRET = "0123456789abcdef"
SENT = "select count(*) = $1 from public.deliveries where status = 'sent'"
LIBRARY = f"""
@article{{whales, title={{Songs of whales by radar}}, abstract={{A radar hears the songs of whales in the ocean.}}}}
@article{{lost, year={{2021}}}}
@article{{ice, title={{{HOSTILE}}}, abstract={{A radar reads a glacier.}}}}
"""
NEW = (
    ("More whales by radar", "Songs of whales that cross an ocean, heard by a radar at the coast."),
    ("A telescope on the moon", "It looks at galaxies and needs no atmosphere."),
)


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    """The API has the secret that signs the links in the worker's mails."""
    return settings_with_links(stack, SECRET)


@pytest.fixture
async def visitor(api: RunningApi, client: AsyncClient, clock: Clock) -> AsyncIterator[Visitor]:
    """A reader whose digests are scheduled."""
    await clock.set("2026-11-24T06:00:00Z")
    async with visitor_of(api, client) as visitor:
        visitor.secret = SECRET
        visitor.reader = await add_reader(client, email="ada@example.org", profile={"interests": ["radar"]})
        yield visitor


@needs_chromium
async def test_a_library_is_imported_and_named_by_the_next_digest(
    visitor: Visitor,
    client: AsyncClient,
    database: asyncpg.Connection,
    clock: Clock,
    start_worker: StartWorker,
    start_mailer: StartMailer,
    tmp_path: Path,
) -> None:
    (file := tmp_path / "library.bib").write_text(LIBRARY, encoding="utf-8")
    async with chromium() as browser, opened(browser) as page:
        await page.goto(f"{visitor.http.base_url}{visitor.path('home')}")
        await page.get_by_role("link", name="Import").click()
        assert await faults(page) == {}
        await page.get_by_label("File").set_input_files(file)
        await page.get_by_role("button", name="Import").click()
        await page.get_by_text("Your file has arrived").wait_for()
        assert await page.get_by_role("progressbar").count() == 1
        assert await faults(page) == {}
        await start_worker({TaskKind.IMPORT: import_handler(client)})
        await page.get_by_text("3 entries read: 2 new papers, 0 already there, 1 rejected.").wait_for()
        assert await page.locator("td").all_text_contents() == [
            "3",
            "lost",
            "the entry has no title, no DOI and no arXiv id",
        ]
        assert await faults(page) == {}
        articles = [copy(external_id=title, title=title, abstract=abstract) for title, abstract in NEW]
        await save(client, *articles)
        await look(client, clock, 24)
        await start_mailer()
        await until(database, SENT, 1)
        await page.goto(f"{visitor.http.base_url}{visitor.path('home')}")
        first, *_ = await page.locator(".reason").all_text_contents()
        assert "Songs of whales by radar" in first
    newest = await Services.build(client).digests.list_days(visitor.reader.reader_id, limit=1)
    assert newest[0].first_title == "More whales by radar"


@needs_chromium
async def test_an_import_is_cancelled_on_the_page(
    visitor: Visitor, database: asyncpg.Connection, tmp_path: Path
) -> None:
    (file := tmp_path / "list.txt").write_text("10.1038/ice\n", encoding="utf-8")
    async with chromium() as browser, opened(browser) as page:
        await page.goto(f"{visitor.http.base_url}{visitor.path('home')}/import")
        await page.get_by_label("File").set_input_files(file)
        await page.get_by_label("What to do").select_option("saved")
        await page.get_by_role("button", name="Import").click()
        await page.get_by_role("button", name="Cancel the import").click()
        await page.get_by_text("The import was cancelled").wait_for()
    assert await database.fetchval("select payload ->> 'feedback' from public.tasks where kind = 'import'") == "saved"
    assert not await database.fetchval("select exists (select from public.uploads)")
