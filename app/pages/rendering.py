"""Rendering of page templates. All values are escaped, and only our own script may run."""

from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from app.digest import labels
from app.digest.rendering import TEMPLATES
from app.formatting import FILTERS
from app.pages.limits import LIMITS
from app.pages.static_files import StaticFiles

_TEMPLATES: Final = Path(__file__).parent / "templates"

SECURITY_HEADERS: Final = {
    # Only our own scripts, styles and images; no frames; no forms to other sites.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}
"""On every page. Links to readers' pages are secrets: pages send no `Referer` and are not cached."""

_REDIRECT_HEADERS: Final = {
    name: value for name, value in SECURITY_HEADERS.items() if name != "Content-Security-Policy"
}


def redirect(location: str) -> RedirectResponse:
    """Redirect to a page after a form, so that a reload does not repeat the action."""
    return RedirectResponse(location, HTTPStatus.SEE_OTHER, headers=_REDIRECT_HEADERS)


class PageRenderer:
    """Renders pages. A template is compiled when a page is first rendered with it: all of them take 0.2 s."""

    def __init__(self, static: StaticFiles) -> None:
        self._environment = Environment(
            loader=FileSystemLoader([_TEMPLATES, TEMPLATES]),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.filters |= {**labels.FILTERS, **FILTERS, "static": static.path}
        self._environment.globals["limits"] = LIMITS

    def compile_all(self) -> int:
        """Compile every template, for the boot check; returns their number. Raises `jinja2.TemplateError`."""
        names = self._environment.list_templates(extensions=["j2"])
        for name in names:
            self._environment.get_template(name)
        return len(names)

    def page(self, template: str, *, status_code: int = 200, **context: Any) -> HTMLResponse:
        """Render a template with `context`. Raises `jinja2.UndefinedError` for a missing variable."""
        content = self._environment.get_template(template).render(context)
        return HTMLResponse(content, status_code=status_code, headers=SECURITY_HEADERS)
