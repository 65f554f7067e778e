"""The page of a delivered mail in a real browser, if there is one."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page

from app.config.mail_address import Mailbox
from app.digest.rendering import DigestRenderer
from app.links import Links
from app.mail.digest_mail import digest_message
from app.mail.footer import MailLinks
from app.mail.welcome_mail import welcome_message
from app.models.articles import ArticleKind
from app.models.digests import Digest, Reason, ReasonKind
from tests.support.browser import chromium, faults, needs_chromium, opened
from tests.support.digest_items import ENVELOPE, item_of
from tests.support.reader_mails import body, mail_of
from tests.support.smtp_server import READER, key_of
from tests.support.visitors import digest_of

pytestmark = [needs_chromium, pytest.mark.asyncio(loop_scope="module", loop_factories=["asyncio"])]
DAY = date(2026, 11, 24)
LINKS = MailLinks.signed(Links(["0123456789abcdef"], "https://digest.example.org"), READER, 1, DAY)
ALL_FOOTER_LINKS = 6


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    """One Chromium for this file; each test has its own tab and cookies."""
    async with chromium() as browser:
        yield browser


def usual_digest() -> Digest:
    """Items as they are on most days, with a reason that links to what the reader can change."""
    reason = Reason(kind=ReasonKind.INTEREST, text="matches: ice", change="edit your interests")
    papers = [item_of(ArticleKind.PAPER, n, None, 0.9 - n / 10) for n in range(4)]
    papers[0] = papers[0].model_copy(update={"reasons": (reason,)})
    return digest_of(DAY, *papers, news=tuple(item_of(ArticleKind.NEWS, n, None, 0.5) for n in range(3)))


def long_digest() -> Digest:
    """So many items with so long words that the mail omits items."""
    papers = [item_of(ArticleKind.PAPER, n, ("W" * 300, None)[n % 2], 1 - n / 100) for n in range(90)]
    return digest_of(DAY, *papers, news=(item_of(ArticleKind.NEWS, 1, None, 1.0),), introduction="Ice " * 30)


async def received_page(digest: Digest) -> str:
    """The page of the digest's mail, as a mail program shows it."""
    message = await digest_message(
        digest,
        DigestRenderer().render,
        key=key_of(),
        sender=Mailbox("digest@broadsheet.example"),
        recipient=Mailbox("ada@example.org"),
        date=datetime(2026, 11, 24, 6, tzinfo=UTC),
        links=LINKS,
    )
    return body(mail_of(message.as_bytes()), "html")


async def tab_stops(page: Page) -> list[str]:
    """The texts of what the Tab key reaches, in its order, until the focus leaves the page."""
    found = list[str]()
    while True:
        await page.keyboard.press("Tab")
        text = await page.evaluate("document.activeElement === document.body ? '' : document.activeElement.textContent")
        if not text or len(found) > 200:
            return found
        found.append(text)


@pytest.mark.parametrize("digest", [usual_digest(), long_digest(), digest_of(DAY)], ids=["usual", "long", "empty"])
async def test_a_mail_fits_every_screen_and_is_accessible(browser: Browser, digest: Digest) -> None:
    async with opened(browser) as page:
        await page.set_content(await received_page(digest))
        assert await faults(page) == {}
        assert await page.locator(".mail-foot a").count() >= ALL_FOOTER_LINKS
        assert ("items are omitted" in await page.content()) is (len(digest.papers) > 50)


async def test_every_link_of_a_mail_is_reached_by_keyboard(browser: Browser) -> None:
    async with opened(browser) as page:
        await page.set_content(await received_page(usual_digest()))
        stops = await tab_stops(page)
    assert stops[:4] == ["Title of paper 0", "More like this", "Not for me", "Save"]
    assert stops[-7:] == [
        "Edit your interests",
        "Your page",
        "Read in the browser",
        "Change your preferences",
        "Change the schedule",
        "Pause",
        "Unsubscribe",
    ]
    assert len(stops) == 7 * 4 + 7


async def test_a_mail_without_its_styles_has_one_column(browser: Browser) -> None:
    """As in programs that drop style elements: only inline styles are left."""
    page_text = await received_page(usual_digest())
    bare = page_text.replace("<style>", "<!--").replace("</style>", "-->")
    async with opened(browser) as page:
        await page.set_viewport_size({"width": 320, "height": 900})
        await page.set_content(bare)
        assert await page.evaluate("document.documentElement.scrollWidth") == 320
        assert not await page.locator(".preview").is_visible()
        assert (
            await page.evaluate("getComputedStyle(document.querySelector('h1')).fontFamily.split(',')[0]") == "Georgia"
        )


async def test_the_welcome_mail_fits_every_screen_and_is_accessible(browser: Browser) -> None:
    message = welcome_message(**ENVELOPE, links=LINKS)
    async with opened(browser) as page:
        await page.set_content(body(mail_of(message.as_bytes()), "html"))
        assert await faults(page) == {}
