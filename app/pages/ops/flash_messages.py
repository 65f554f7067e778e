"""What a page says after an act: the address that it led to names one of these sentences, and nothing else gets in."""

from http import HTTPStatus
from typing import Final

from fastapi import Request
from fastapi.responses import RedirectResponse

from app.pages.formatting import figure

_SENTENCES: Final = {
    "paused": "Paused: no worker claims it until it is resumed, and what is in hand goes on.",
    "resumed": "Resumed.",
    "replayed": "Replayed: it has all its attempts anew.",
    "cancelled": "Cancelled. A worker that has it in hand was asked to stop.",
    "redelivered": "It is delivered again, under the same id.",
    "sent": "Settled as sent.",
    "again": "It is sent again.",
    "mails": "Mails begin again.",
}


def redirect_with(path: str, done: str) -> RedirectResponse:
    """Lead to a page that says what was done: one of the sentences, or how many tasks were replayed."""
    return RedirectResponse(f"{path}?done={done}", HTTPStatus.SEE_OTHER)


def flash_message(request: Request) -> str | None:
    """What the page is to say, if it was led to by an act."""
    done = request.query_params.get("done", "")
    if done.isascii() and done.isdigit() and len(done) < 10:  # noqa: PLR2004  (more is no number of tasks)
        return f"{figure(int(done))} tasks were replayed: they have all their attempts anew."
    return _SENTENCES.get(done)
