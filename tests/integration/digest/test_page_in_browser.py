"""The page in a real browser, if there is one."""

import html
from pathlib import Path

import pytest

from app.digest.rendering import DigestRenderer
from app.models.digests import Digest
from tests.support.browser import look, needs_chromium

# Each frame is a separate screen for the page's media queries; elements that overflow it are reported.
MEASURE = """
<!DOCTYPE html><meta name="color-scheme" content="light dark">{frames}<pre id="found"></pre><script>
onload = () => {{
  const frames = [...document.querySelectorAll("iframe")];
  document.getElementById("found").textContent = JSON.stringify(frames.map((frame) => {{
    const page = frame.contentDocument, width = frame.clientWidth;
    const outside = [...page.body.querySelectorAll("*")].filter((e) => e.getBoundingClientRect().right > width + 1);
    return {{ width, scroll: page.documentElement.scrollWidth, outside: outside.map((e) => e.className || e.tagName),
      background: getComputedStyle(page.body).backgroundColor, empty: page.body.scrollHeight < 2000 }};
  }}));
}};
</script>"""


@needs_chromium
@pytest.mark.parametrize(("scheme", "background"), [(1, "rgb(239, 234, 224)"), (0, "rgb(15, 14, 12)")])
async def test_the_page_fits_a_phone_and_a_mail_client(
    sample_digest: Digest, tmp_path: Path, scheme: int, background: str
) -> None:
    first = sample_digest.papers[0]
    # A word without a break, as in hostile or careless titles.
    long = first.article.model_copy(update={"title": "W" * 300, "authors": ("N" * 120,), "categories": ("c" * 60,) * 3})
    papers = (first.model_copy(update={"article": long, "key_points": ("P" * 220,)}), *sample_digest.papers)
    errors = {"feed:Nature": "https://" + "e" * 200}
    page = await DigestRenderer().render(
        sample_digest.model_copy(update={"papers": (*papers, papers[0]), "news": (papers[0],), "source_errors": errors})
    )
    frames = "".join(f'<iframe width="{w}" height="900" srcdoc="{html.escape(page)}"></iframe>' for w in (375, 800))
    (tmp_path / "measure.html").write_text(MEASURE.format(frames=frames), encoding="utf-8")
    for seen, width in zip(await look(tmp_path, scheme), (375, 800), strict=True):
        assert seen == seen | {"width": width, "scroll": width, "outside": [], "background": background, "empty": False}
