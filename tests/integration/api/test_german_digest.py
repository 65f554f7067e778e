"""A digest in German by a model that echoes its request: page, mail, feed and the reader's page, in a real browser."""

import html
import os
from pathlib import Path
from typing import Any

import asyncpg
import feedparser
import httpx
import pytest
from playwright.async_api import Page
from supabase import AsyncClient

from app.config import ApiSettings
from app.digest.model_analysis import AnalysisSettings, ModelAnalyst
from app.digest.openai_model import ModelSettings, build_model
from app.external.client import open_external
from app.links import Link, Links
from app.persistence.readers import Reader
from app.services import Services
from embedded.stack import Ready
from tests.support.browser import chromium, faults, needs_chromium, opened
from tests.support.items import copy, save
from tests.support.model_servers import Request, completed, data_of, is_order, model_server
from tests.support.reader_mails import body, due, mails
from tests.support.running_api import RunningApi
from tests.support.running_worker import StartMailer, until
from tests.support.schedule import Clock
from tests.support.scripted_server import Step
from tests.support.smtp_server import Postbox
from tests.support.stored_pages import stored_page
from tests.support.visitors import settings_with_links

LINK_SECRET = "0123456789abcdef"
PAPERS = (
    ("Glaciers by radar", "Radar, radar: the ice and the crevasses of a glacier, seen from above."),
    ("Whales by radar", "A radar hears the songs of whales in the ocean, at night and by day."),
)
NO_ABSTRACT = ("Radar without an abstract", "")
MARKED = "[lang=de]"
UNMARKED = """() => {
    const copy = document.body.cloneNode(true);
    copy.querySelectorAll("[lang=de]").forEach((e) => e.remove());
    return copy.textContent;
}"""
SENT = "select exists (select from public.deliveries where status = 'sent')"
SCREENSHOTS = os.environ.get("BROADSHEET_SCREENSHOTS")
"""A folder to which the pages are written as images, to be looked at."""


def echo(request: Request) -> Step:
    """Answer in German if the request asks for it; with an article without an abstract the model refuses."""
    if is_order(request):
        return completed({"order": [1]})
    article = data_of(request)["article"]
    if not article["abstract"]:
        return completed(None, refusal="Dazu kann ich nichts sagen.")
    german = "BCP 47 tag de," in request["messages"][0]["content"]
    title = article["title"]
    text = (
        f"Zusammenfassung über „{title}“: größere Überraschungen." if german else f"A summary of {title}, in English."
    )
    points = [f"Erstens: {title}.", "Zweitens: Straßenhöhen."] if german else ["First.", "Second."]
    return completed({"summary": text, "key_points": points})


@pytest.fixture
def settings(stack: Ready, database_reset: None) -> ApiSettings:  # noqa: ARG001  (run first)
    values = settings_with_links(stack, LINK_SECRET).model_dump() | {"public_url": "https://digest.example"}
    return ApiSettings.model_validate(values)


async def sent_digest(
    client: AsyncClient, database: asyncpg.Connection, clock: Clock, start_mailer: StartMailer
) -> Reader:
    """Write and send the digest of a German reader."""
    await save(client, *(_article(title, abstract) for title, abstract in (*PAPERS, NO_ABSTRACT)))
    reader = await due(client, clock, profile={"interests": ["radar"], "language": "de"})
    async with model_server(echo) as server, open_external() as http:
        model = build_model(http, ModelSettings("k-1", "tiny-1", server.url))
        services = Services.build(client)
        await start_mailer(analyst=ModelAnalyst(model, AnalysisSettings(), services.breakers, services.cache))
        await until(database, SENT)
    return reader


def _article(title: str, abstract: str) -> Any:
    return copy(external_id=title, url=f"https://x.example/{title.replace(' ', '-')}", title=title, abstract=abstract)


async def check(page: Page, name: str) -> None:
    """Check that the model's texts, and only these, are marked as German."""
    marked = await page.locator(MARKED).all_text_contents()
    assert len(marked) == 4, "two summaries and two lists"
    assert all("Zusammenfassung" in text or "Erstens" in text for text in marked)
    assert await page.evaluate("document.documentElement.lang") == "en"
    rest = await page.evaluate(UNMARKED)
    assert "Zusammenfassung" not in rest
    assert "1 item quotes the abstract" in rest
    await shoot(page, name)


async def shoot(page: Page, name: str) -> None:
    if SCREENSHOTS:
        await page.set_viewport_size({"width": 800, "height": 900})
        await page.emulate_media(color_scheme="light")
        await page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


@needs_chromium
async def test_a_german_digest_is_marked_on_page_mail_and_feed(
    client: AsyncClient,
    database: asyncpg.Connection,
    clock: Clock,
    box: Postbox,
    start_mailer: StartMailer,
    api: RunningApi,
) -> None:
    reader = await sent_digest(client, database, clock, start_mailer)
    address = f"http://127.0.0.1:{api.port}"
    links = Links([LINK_SECRET], address)
    (mail,) = mails(box)
    day = await database.fetchval("select local_day from public.digests")
    feed = links.export_urls(reader.reader_id, 1).feed
    async with chromium() as browser, opened(browser) as page:
        # The page's own address forbids scripts, with which it is examined here.
        await page.set_content(await stored_page(database))
        await check(page, "page")
        await page.set_content(body(mail, "html"))
        await check(page, "mail")
        await page.goto(f"{address}/r/home/{links.sign('home', Link(reader.reader_id, 1, day))}")
        await check(page, "home")
        assert await faults(page) == {}
        await page.goto(f"{address}/r/preferences/{links.sign('preferences', Link(reader.reader_id, 1, day))}")
        assert await page.locator("#language").input_value() == "de"
        assert await faults(page) == {}
        await shoot(page, "preferences")
        async with httpx.AsyncClient(trust_env=False) as http:
            atom = (await http.get(feed)).text
        await page.set_content("<br>".join(each.content[0].value for each in feedparser.parse(atom).entries))
        await shoot(page, "feed")
    assert 'xml:lang="en"' in atom
    entries = html.unescape(atom).split("<entry>")[1:]
    german = [entry for entry in entries if "Zusammenfassung" in entry]
    assert [entry.count('<p lang="de" dir="auto">') for entry in german] == [3, 3]
    assert [entry.count("<p>Reason") for entry in entries] == [1, 1, 1]
    assert "Straßenhöhen" in body(mail, "plain")
