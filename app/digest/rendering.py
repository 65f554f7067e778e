"""A digest as one HTML page for mail clients, without scripts and external resources."""

from pathlib import Path
from typing import Final

from jinja2 import DictLoader, Environment, StrictUndefined
from markupsafe import Markup

from app.digest.labels import FILTERS
from app.digest.styles import inlined
from app.models.articles import ItemLinks
from app.models.digests import AnalysisMethod, Digest
from app.time_slice import TimeSlice

_TEMPLATES: Final = Path(__file__).parent / "templates"


class DigestRenderer:
    """Renders digests. The constructor reads the templates and inlines their styles once."""

    def __init__(self) -> None:
        style = (_TEMPLATES / "digest.css").read_text(encoding="utf-8")
        # Styles are inlined into the templates, so that rendered pages with article texts are never parsed.
        sources = {path.name: inlined(path.read_text(encoding="utf-8"), style) for path in _TEMPLATES.glob("*.j2")}
        environment = Environment(
            loader=DictLoader(sources),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= FILTERS
        self._template = environment.get_template("digest.html.j2")
        # At-rules cannot be inlined: dark mode and small screens stay in the head, for clients that support them.
        self._style = Markup(style[style.index("@media") :])  # noqa: S704  -- the project's own file

    async def render(self, digest: Digest, links_of: ItemLinks | None = None) -> str:
        """Return the page. In a mail, `links_of` returns the feedback links of an item.

        Article texts are escaped, and links that are not http(s) are omitted. Yields to the event loop between items.
        """
        items = (*digest.papers, *digest.news)
        by_model = sum(item.analysis is AnalysisMethod.MODEL for item in items)
        pieces = self._template.generate(
            digest=digest,
            style=self._style,
            by_model=by_model,
            by_extract=len(items) - by_model,
            has_samples=any(item.article.is_sample for item in items),
            links_of=links_of,
            changes=list(dict.fromkeys(reason.change for item in items for reason in item.reasons)),
        )
        page, time_slice = [], TimeSlice()
        for piece in pieces:
            page.append(piece)
            await time_slice.checkpoint()
        return "".join(page)
