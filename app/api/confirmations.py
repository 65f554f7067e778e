"""What the routes of readers need for confirmations of e-mail addresses."""

from typing import Annotated, Any, Final

from fastapi import Depends, Request

from app.api.problems import Problem
from app.config import ApiSettings

NO_CONFIRMATIONS: Final = "confirm needs a link to a page: set PUBLIC_URL and LINK_SECRET"
"""Why a reader with `confirm` is refused."""

MAIL_LIMIT: Final[dict[int | str, dict[str, Any]]] = {
    429: {"model": Problem, "description": "The address has got a confirmation mail within a day, or three in 30 days"}
}


async def _can_confirm(request: Request) -> bool:
    """Whether the settings allow the links of confirmation mails."""
    settings: ApiSettings = request.app.state.settings
    return settings.has_links


CanConfirm = Annotated[bool, Depends(_can_confirm)]
