"""The two parts of a short mail: a page with a heading and paragraphs in the look of a digest, and the same as text."""

from collections.abc import Iterable
from html import escape
from typing import Final, NamedTuple

# Mail programs support dark-mode rules only in the head; all other styles are inline.
_DARK: Final = (
    "<style>@media (prefers-color-scheme: dark) { body { background: #0f0e0c !important; color: #e9e3d6 !important; } "
    ".sheet { background: #181613 !important; } a { color: inherit !important; } }</style>"
)
_BODY: Final = "margin:0;padding:0;background:#efeae0;color:#1d1b18;font:16px/1.5 Georgia,'Times New Roman',Times,serif"
_TITLE: Final = "margin:0;font-size:26px;line-height:1.2"
_SHEET: Final = "max-width:680px;margin:0 auto;padding:24px;background:#fdfbf6"


class LetterLink(NamedTuple):
    """A paragraph that is a link."""

    label: str
    url: str


def letter_page(title: str, paragraphs: Iterable[str | LetterLink]) -> str:
    """Return the page. `title` and `paragraphs` are text, and are escaped."""
    written = "\n".join(f'<p style="margin:0;padding:12px 0 0">{_written(each)}</p>' for each in paragraphs)
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        f'<title>{escape(title)}</title>\n{_DARK}\n</head>\n<body style="{_BODY}">\n'
        f'<main class="sheet" style="{_SHEET}">\n<h1 style="{_TITLE}">{escape(title)}</h1>\n'
        f"{written}\n</main>\n</body>\n</html>\n"
    )


def letter_text(paragraphs: Iterable[str | LetterLink]) -> str:
    """Return the paragraphs as plain text; a link is its address."""
    return "\n\n".join(each if isinstance(each, str) else each.url for each in paragraphs) + "\n"


def _written(paragraph: str | LetterLink) -> str:
    if isinstance(paragraph, str):
        return escape(paragraph)
    return f'<a href="{escape(paragraph.url)}">{escape(paragraph.label)}</a>'
