"""A digest as one HTML page for browsers and mail programs, without scripts and external resources."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from app.digest.labels import FILTERS
from app.models.digests import AnalysisMethod, Digest, DigestItem, PageLinks, ReasonKind
from app.time_slice import TimeSlice

TEMPLATES: Final = Path(__file__).parent / "templates"
"""The folder with the templates of items, which the pages of readers use too."""
_SPACE: Final = re.compile(r"/\*.*?\*/|\s+(?=[{};])|(?<=[{};,])\s+|(?<=:)\s+", re.DOTALL)


class DigestRenderer:
    """Renders digests. The first one compiles the templates."""

    def __init__(self) -> None:
        environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        environment.filters |= FILTERS
        self._environment = environment
        style, at, media = _SPACE.sub("", (TEMPLATES / "digest.css").read_text(encoding="utf-8")).partition("@media")
        self._style, self._media = Markup(style), Markup(at + media)  # noqa: S704  (the project's own files)

    async def render(self, digest: Digest, links: PageLinks | None = None) -> str:
        """Return the page, in a mail with the reader's `links`.

        Article texts are escaped, and links that are not http(s) are omitted. Yields to the event loop between items.
        """
        items = (*digest.papers, *digest.news)
        by_model = sum(item.analysis is AnalysisMethod.MODEL for item in items)
        pieces = self._environment.get_template("digest.html.j2").generate(
            digest=digest,
            style=self._style,
            media=self._media,
            by_model=by_model,
            by_extract=len(items) - by_model,
            links=links,
            changes=_changes(items, links),
        )
        page, time_slice = [], TimeSlice()
        for piece in pieces:
            page.append(piece)
            await time_slice.checkpoint()
        return "".join(page)


def _changes(items: Sequence[DigestItem], links: PageLinks | None) -> dict[str, str | None]:
    """Return what the reader can change, and the address of the page where."""
    kinds = {reason.change: reason.kind for item in items for reason in item.reasons}
    if links is None:
        return dict.fromkeys(kinds)
    return {change: links.home if kind is ReasonKind.LIKED else links.preferences for change, kind in kinds.items()}
