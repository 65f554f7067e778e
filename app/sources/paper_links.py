"""What a reader looks for on a paper: where it was published, and links to its PDF, its DOI and its code."""

import re
from typing import Final
from urllib.parse import quote

from app.models.articles import Article
from app.sources.text import plain, safe_link

MAX_VENUE: Final = 200
_MAX_TEXT: Final = 10_000
_CODE: Final = re.compile(
    r"(?<![\w.@-])(?:https?://)?(?:www\.)?"
    r"((?:github\.com|gitlab\.com|bitbucket\.org|codeberg\.org)/[\w.-]{1,100}/[\w.-]{1,100}"
    r"|huggingface\.co/(?:datasets/|spaces/)?[\w.-]{1,100}/[\w.-]{1,100})",
    re.IGNORECASE | re.ASCII,
)


def code_url(*texts: str) -> str | None:
    """Return the address of the first code repository that one of these texts names; None if there is none."""
    for text in texts:
        if found := _CODE.search(text[:_MAX_TEXT]):
            return safe_link(f"https://{found[1].rstrip('.-')}")
    return None


def doi_url(article: Article) -> str | None:
    """Return the address of the paper by its DOI."""
    return safe_link(f"https://doi.org/{quote(article.doi, safe='/:;()')}") if article.doi else None


def links_of(article: Article) -> list[tuple[str, str]]:
    """Return the article's further links, each as a label and an address."""
    links = (("PDF", safe_link(article.pdf_url)), ("DOI", doi_url(article)), ("Code", safe_link(article.code_url)))
    return [(label, link) for label, link in links if link]


def venue(article: Article) -> str:
    """Return where the paper was published, and the authors' comment, such as `Accepted at ICML 2026`."""
    return plain(". ".join(part.rstrip(". ") for part in (article.journal_ref, article.comment) if part), MAX_VENUE)
