"""A digest as one HTML page that mail clients and phones show well: no script, nothing loaded from elsewhere."""

from datetime import date
from pathlib import Path
from typing import Final

import css_inline
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.models import SAMPLE_CATEGORY, AnalysisMethod, Article, Digest
from app.sources.text import safe_link

_TEMPLATES: Final = Path(__file__).parent / "templates"
_SHOWN_AUTHORS: Final = 4
_SHOWN_CATEGORIES: Final = 3
_SOURCES: Final = {"arxiv": "arXiv", "newsapi": "NewsAPI"}


class DigestRenderer:
    """Renders digests; the templates are read once, when it is built."""

    def __init__(self) -> None:
        environment = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters |= {
            "link": safe_link,
            "day": _day,
            "byline": _byline,
            "origin": _origin,
            "sections": _sections,
            "percent": lambda score: round(100 * score),
        }
        self._template = environment.get_template("digest.html.j2")
        self._style = (_TEMPLATES / "digest.css").read_text(encoding="utf-8")
        # At-rules cannot be inlined: those for the dark and for the phone stay in the head, for clients that know them.
        self._inliner = css_inline.CSSInliner(keep_at_rules=True, load_remote_stylesheets=False)

    def render(self, digest: Digest) -> str:
        """Return the page. Whatever an article's text contains is shown as text; links are http(s) or left out."""
        items = (*digest.papers, *digest.news)
        by_model = sum(item.analysis is AnalysisMethod.MODEL for item in items)
        page = self._template.render(
            digest=digest,
            style=self._style,
            by_model=by_model,
            by_extract=len(items) - by_model,
            has_samples=any(item.article.is_sample for item in items),
        )
        return self._inliner.inline(page)


def _day(value: date) -> str:
    return f"{value:%A}, {value.day} {value:%B %Y}"


def _byline(article: Article) -> str:
    names = article.authors[:_SHOWN_AUTHORS]
    others = len(article.authors) - len(names)
    return ", ".join(names) + (f" and {others} others" if others > 1 else " and another" if others else "")


def _sections(article: Article) -> str:
    names = [name for name in article.categories if name != SAMPLE_CATEGORY]
    return ", ".join(names[:_SHOWN_CATEGORIES])


def _origin(source: str) -> str:
    """Return a source's name as people say it: `feed:nature` is nature."""
    return _SOURCES.get(source, source.removeprefix("feed:"))
