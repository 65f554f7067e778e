"""Forms are accepted from this site's own pages alone."""

from http import HTTPStatus

from fastapi import Request

from app.config import ApiSettings
from app.errors import BroadsheetError


class FormRejected(BroadsheetError):
    """The form is not from a page of this site, or not of this session. Nothing was changed."""

    status = HTTPStatus.FORBIDDEN
    title = "Form rejected"


def require_own_site(request: Request) -> None:
    """Raise `FormRejected` if the browser reports that another site sent this form.

    The origin `null` is accepted: browsers send it because of our no-referrer policy (Fetch standard, "append a request
    `Origin` header"). Browsers that send neither header are covered by the form token.
    """
    site, origin = request.headers.get("sec-fetch-site", "same-origin"), request.headers.get("origin", "null")
    settings: ApiSettings = request.app.state.settings
    own = {"null", settings.public_url} | {f"{scheme}://{request.headers.get('host')}" for scheme in ("http", "https")}
    if site != "same-origin" or origin not in own:
        raise FormRejected("The form was sent from another site.")
