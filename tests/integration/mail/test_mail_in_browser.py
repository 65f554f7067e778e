"""The page of a delivered mail in a real browser, if there is one."""

import email
import email.policy
import html
from datetime import UTC, date, datetime
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest

from app.config.mail_address import Mailbox
from app.digest.rendering import DigestRenderer
from app.links import Links
from app.mail.digest_mail import digest_message
from app.mail.footer import MailLinks
from app.models.articles import ArticleKind, EditionStatus
from app.models.digests import Digest
from app.models.profiles import Profile
from tests.support.browser import look, needs_chromium
from tests.support.digest_items import item_of
from tests.support.smtp_server import READER, key_of

DAY = date(2026, 11, 24)
LINKS = MailLinks.signed(Links(["0123456789abcdef"], "https://digest.example.org"), READER, 1, DAY)
# Each frame is a separate screen for the page's media queries.
MEASURE = """
<!DOCTYPE html><meta name="color-scheme" content="light dark">{frames}<pre id="found"></pre><script>
const part = (value) => (value /= 255) <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
const light = (colour) => {{
  const [r, g, b] = colour.match(/\\d+/g).map(Number);
  return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b) + 0.05;
}};
onload = () => {{
  const frames = [...document.querySelectorAll("iframe")];
  document.getElementById("found").textContent = JSON.stringify(frames.map((frame) => {{
    const page = frame.contentDocument, width = frame.clientWidth;
    const outside = [...page.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > width + 1);
    const paper = light(getComputedStyle(page.body).backgroundColor);
    const contrasts = [...page.querySelectorAll(".mail-foot p, .mail-foot a")].map((e) => {{
      const ink = light(getComputedStyle(e).color);
      return Math.max(ink, paper) / Math.min(ink, paper);
    }});
    return {{ width, scroll: page.documentElement.scrollWidth, outside: outside.map((e) => e.className || e.tagName),
      dark: paper < 0.2, links: page.querySelectorAll(".mail-foot a").length, contrast: Math.min(...contrasts) }};
  }}));
}};
</script>"""


async def received_page() -> str:
    """The page of a mail that had to omit items, as a mail program shows it."""
    papers = [item_of(ArticleKind.PAPER, n, ("W" * 300, None)[n % 2], 1 - n / 100) for n in range(60)]
    digest = Digest(
        source_date=DAY,
        profile=Profile(name="Ada"),
        introduction="Ice " * 30,
        papers=tuple(papers),
        news=(item_of(ArticleKind.NEWS, 1, None, 1.0),),
        considered=500,
        edition_status=EditionStatus.COMPLETED,
    )
    message = await digest_message(
        digest,
        DigestRenderer().render,
        key=key_of(),
        sender=Mailbox("digest@broadsheet.example"),
        recipient=Mailbox("ada@example.org"),
        date=datetime(2026, 11, 24, 6, tzinfo=UTC),
        links=LINKS,
    )
    read = email.message_from_bytes(message.as_bytes(), policy=email.policy.strict)
    assert isinstance(read, EmailMessage)
    part = read.get_body(("html",))
    assert part is not None
    page: str = part.get_content()
    return page


@pytest.mark.asyncio(loop_factories=["asyncio"])
@needs_chromium
@pytest.mark.parametrize(("scheme", "dark"), [(1, False), (0, True)], ids=["light", "dark"])
async def test_the_mails_page_fits_and_its_footer_is_readable(tmp_path: Path, scheme: int, dark: bool) -> None:
    page = await received_page()
    assert "items are omitted" in page
    frames = "".join(f'<iframe width="{w}" height="900" srcdoc="{html.escape(page)}"></iframe>' for w in (375, 700))
    (tmp_path / "measure.html").write_text(MEASURE.format(frames=frames), encoding="utf-8")
    for seen, width in zip(await look(tmp_path, scheme), (375, 700), strict=True):
        expected: dict[str, Any] = {"width": width, "scroll": width, "outside": [], "dark": dark, "links": 7}
        assert seen == seen | expected
        # WCAG 2.2 requires 4.5 for small text.
        assert float(str(seen["contrast"])) >= 4.5
