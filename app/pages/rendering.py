"""Makes pages of templates: whatever is put into them is text, and nothing in them runs but the one script."""

from pathlib import Path
from typing import Any, Final

from fastapi.responses import HTMLResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.digest import labels
from app.pages.formatting import FILTERS
from app.pages.static_files import StaticFiles

_TEMPLATES: Final = Path(__file__).parent / "templates"

SECURITY_HEADERS: Final = {
    # No script and no style but our own files, no frame, no form to elsewhere, nothing from another address.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""On every page; the links to a reader's place are secrets, so no address may leave by `Referer` and none is kept."""


class PageRenderer:
    """Renders pages; the templates are read once, when it is built."""

    def __init__(self, static: StaticFiles) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(_TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {**labels.FILTERS, **FILTERS, "static": static.path}
        for name in self._environment.list_templates():
            self._environment.get_template(name)

    def page(self, template: str, *, status: int = 200, **shown: Any) -> HTMLResponse:
        """Answer with a template of the room, filled with `shown`; what it lacks raises `jinja2.UndefinedError`."""
        content = self._environment.get_template(template).render(shown)
        return HTMLResponse(content, status_code=status, headers=SECURITY_HEADERS)
