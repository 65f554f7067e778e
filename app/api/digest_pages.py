"""The page of a stored digest, rendered when somebody opens it: most digests are read only as mails."""

from typing import Annotated, Final, cast

from fastapi import Depends, Request
from fastapi.responses import HTMLResponse

from app.digest.rendering import DigestRenderer
from app.persistence.digests import StoredDigest

_HEADERS: Final = {
    # The page has inline styles and no scripts: content that escaped sanitizing could not run.
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; sandbox allow-popups",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class DigestPages:
    """Renders stored digests. A digest that an earlier version of the code wrote gets the page of this version."""

    def __init__(self) -> None:
        self._renderer = DigestRenderer()

    async def response(self, stored: StoredDigest, *, cacheable: bool = True) -> HTMLResponse:
        """Return the digest's page. `cacheable`: whether browsers may keep it.

        Yields to the event loop between items. Raises `UnreadableResponse` if the stored document is no digest.
        """
        page = await self._renderer.render(stored.read())
        return HTMLResponse(page, headers=_HEADERS if cacheable else _HEADERS | {"Cache-Control": "no-store"})


async def get_digest_pages(request: Request) -> DigestPages:
    """Return the app's renderer of digests."""
    return cast(DigestPages, request.app.state.digest_pages)


DigestPagesOf = Annotated[DigestPages, Depends(get_digest_pages)]
